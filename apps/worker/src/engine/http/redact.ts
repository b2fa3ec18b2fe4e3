// Takes out of a text what is nobody's business: a service may repeat in its answer what it was sent.

/** Shorter texts are no secrets, and would leave holes in what is to be read. */
const SECRET_CHARS_MIN = 8;

/** `text` without any of the hidden texts in it; of a header's value also the part after its scheme. */
export function redact(text: string, hidden: readonly string[]): string {
  const secrets = hidden.flatMap((one) => [one, one.replace(/^\w+ +/, '')]).filter((one) => one.length >= SECRET_CHARS_MIN);
  return secrets.toSorted((a, b) => b.length - a.length).reduce((left, secret) => left.replaceAll(secret, '[redacted]'), text);
}
