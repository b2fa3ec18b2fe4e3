// Content negotiation (RFC 9110, section 12.5.1) between the two forms of an event log.

/** True when Accept names text/event-stream and does not prefer application/json. Wildcards get JSON: that is what tools send without thinking. */
export function wantsEventStream(accept: string | undefined): boolean {
  if (accept === undefined) return false;
  const qualities = new Map(accept.split(',').map((range) => parseRange(range)));
  const stream = qualities.get('text/event-stream') ?? 0;
  return stream > 0 && stream >= (qualities.get('application/json') ?? 0);
}

function parseRange(range: string): [string, number] {
  const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
  const quality = parameters.find((parameter) => parameter.startsWith('q='));
  const value = quality === undefined ? 1 : Number(quality.slice(2));
  return [type, Number.isNaN(value) ? 0 : value];
}
