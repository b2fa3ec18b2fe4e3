// What is wrong with the request of an http phase as it is written. What its functions make is looked at when a request is sent.
import type { HttpDefinition } from './define-flow.ts';

/** RFC 9110 tokens. */
const HEADER_NAME_PATTERN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$/;
const HEADER_VALUE_PATTERN = /^[\t\x20-\x7e\x80-\xff]*$/;
/** Headers that the request itself decides about. */
const OWN_HEADERS = new Set([
  'accept-encoding',
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'expect',
  'host',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'webhook-id',
  'webhook-signature',
  'webhook-timestamp',
]);

/** Sentences about the parts of `http` that are no functions; empty when there is nothing wrong. */
export function httpProblems<Input>({ url, headers }: Pick<HttpDefinition<Input>['http'], 'url' | 'headers'>): string[] {
  return [...(typeof url === 'string' ? urlProblems(url) : []), ...(typeof headers === 'object' ? headerProblems(headers) : [])];
}

/** What is wrong with an address; it is not repeated, since it may hold secrets. */
export function urlProblems(url: string): string[] {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || (parsed.protocol !== 'http:' && parsed.protocol !== 'https:'))
    return ['http.url must be an address that begins with http:// or https://'];
  return parsed.username === '' && parsed.password === '' ? [] : ['http.url must not have a user name or password in it: use http.headers'];
}

/** What is wrong with headers; values are not repeated. */
export function headerProblems(headers: Readonly<Record<string, string>>): string[] {
  return Object.entries(headers).flatMap(([name, value]) => {
    if (!HEADER_NAME_PATTERN.test(name)) return ['http.headers has a name that is none of a header'];
    if (OWN_HEADERS.has(name.toLowerCase())) return [`http.headers must not set ${name.toLowerCase()}`];
    return HEADER_VALUE_PATTERN.test(value) ? [] : [`http.headers: the value of ${name} cannot be sent`];
  });
}
