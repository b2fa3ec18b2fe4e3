// Every error a client can meet: one line each. HTTP status, title and the worker's reaction come from here and from nowhere else;
// the API documentation is made from the same table.

/** What the one who meets the error should do: never retry as it is, retry later, or report a fault of ours. */
export type ErrorClass = 'invalid' | 'unauthorized' | 'forbidden' | 'not-found' | 'conflict' | 'limited' | 'transient' | 'bug';

type ErrorRow = { status: number; class: ErrorClass; title: string };

export const ERROR_TABLE = {
  'malformed-json': { status: 400, class: 'invalid', title: 'The body is not JSON.' },
  'empty-body': { status: 400, class: 'invalid', title: 'A body is required.' },
  'invalid-encoding': { status: 400, class: 'invalid', title: 'The bytes are not valid in their declared encoding.' },
  'invalid-cursor': { status: 400, class: 'invalid', title: 'The cursor is not one of ours for this list.' },
  'idempotency-key-invalid': { status: 400, class: 'invalid', title: 'The Idempotency-Key must be 1 to 255 visible ASCII characters.' },
  unauthorized: { status: 401, class: 'unauthorized', title: 'A valid API key is required.' },
  'invalid-credentials': { status: 401, class: 'unauthorized', title: 'The credentials are not valid.' },
  'insufficient-role': { status: 403, class: 'forbidden', title: 'The role of this key does not allow that.' },
  csrf: { status: 403, class: 'forbidden', title: 'The request does not come from this origin.' },
  'quota-exceeded': { status: 403, class: 'limited', title: 'A quota is used up.' },
  'not-found': { status: 404, class: 'not-found', title: 'There is nothing here.' },
  'method-not-allowed': { status: 405, class: 'invalid', title: 'This method is not allowed here.' },
  'not-acceptable': { status: 406, class: 'invalid', title: 'No acceptable representation exists.' },
  'request-timeout': { status: 408, class: 'invalid', title: 'The request did not arrive in time.' },
  'invalid-state': { status: 409, class: 'conflict', title: 'The current status does not allow that.' },
  'idempotency-in-progress': { status: 409, class: 'conflict', title: 'The first request with this Idempotency-Key is still in progress.' },
  'already-exists': { status: 409, class: 'conflict', title: 'It exists already.' },
  'precondition-failed': { status: 412, class: 'conflict', title: 'It has changed since it was read.' },
  'payload-too-large': { status: 413, class: 'invalid', title: 'The body is too large.' },
  'unsupported-media-type': { status: 415, class: 'invalid', title: 'This media type is not supported here.' },
  'unsupported-file': { status: 415, class: 'invalid', title: 'This kind of file cannot be imported.' },
  validation: { status: 422, class: 'invalid', title: 'The request is well-formed but not valid.' },
  'unknown-field': { status: 422, class: 'invalid', title: 'A field is not known here.' },
  'unknown-flow': { status: 422, class: 'invalid', title: 'No flow definition has this name.' },
  'unknown-dataset': { status: 422, class: 'invalid', title: 'No dataset has this name.' },
  'invalid-flow': { status: 422, class: 'invalid', title: 'The phases of this flow do not fit together.' },
  'invalid-id': { status: 422, class: 'invalid', title: 'The id is not valid.' },
  'forbidden-key': { status: 422, class: 'invalid', title: 'A key is not allowed in JSON sent here.' },
  'nul-character': { status: 422, class: 'invalid', title: 'Text must not contain the NUL character.' },
  'invalid-unicode': { status: 422, class: 'invalid', title: 'Text must be valid Unicode.' },
  'too-deep': { status: 422, class: 'invalid', title: 'The JSON is nested too deeply or has too many keys.' },
  'idempotency-key-reused': { status: 422, class: 'invalid', title: 'This Idempotency-Key was used with another body.' },
  'url-not-allowed': { status: 422, class: 'invalid', title: 'This address is not allowed as a source.' },
  'empty-file': { status: 422, class: 'invalid', title: 'The file is empty.' },
  'rate-limited': { status: 429, class: 'limited', title: 'Too many requests.' },
  internal: { status: 500, class: 'bug', title: 'Something went wrong on our side.' },
  'dependency-unavailable': { status: 503, class: 'transient', title: 'A part this request needs is not available.' },
  'insufficient-storage': { status: 507, class: 'limited', title: 'There is no room to store this.' },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERROR_TABLE;

/** Stable base of the problem `type`; the code is appended. */
export const PROBLEM_TYPE_BASE = 'https://millrace.dev/problems/';
