/** The request as the record has it, from the texts that are there: nothing is written out twice. */

const requestMark = ',"request":{';
/** Taken before any flow code runs, which may put something else in its place. */
const { stringify, parse } = JSON;

/**
 * JSON of the `StoredRequest`: the meta's request with its body. The meta is one flat JSON object whose last member
 * is the request (journal/entry.ts); inside of JSON texts quotes are escaped, so the mark stands there once.
 */
export function requestJsonOf(meta: string, body: Uint8Array | null): string {
  const bodyJson = body === null ? "null" : `"${base64(body)}"`;
  const at = meta.indexOf(requestMark);
  if (at >= 0 && meta.endsWith("}}") && meta.length > at + requestMark.length + 2)
    return `{"body":${bodyJson},${meta.slice(at + requestMark.length, -1)}`;
  const { request } = parse(meta) as { request: object };
  return stringify({ ...request, body: body === null ? null : base64(body) });
}

const base64 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
