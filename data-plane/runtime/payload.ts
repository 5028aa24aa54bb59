/** The trigger's payload: the request as spectral's `TriggerPayload` has it. */
import type { StoredRequest } from "../../shared/reports.ts";
import { parseBody } from "../parse.ts";
import type { RunAttributes } from "./messages.ts";

export interface TriggerPayload extends RunAttributes {
  headers: Record<string, string>;
  queryParameters: Record<string, string>;
  rawBody: { data: Buffer; contentType: string };
  body: { data: unknown; contentType: string };
  pathFragment: string;
  globalDebug: boolean;
}

export interface BuiltPayload {
  payload: TriggerPayload;
  /** Why the body is there as text only, or null. */
  warning: string | null;
}

export async function buildPayload(
  request: StoredRequest,
  attributes: RunAttributes,
  isDebug: boolean,
): Promise<BuiltPayload> {
  const headers = createHeaders(request.headers);
  const bytes = request.body === null ? Buffer.alloc(0) : decodeBody(request.body);
  const contentType = headers["content-type"] ?? "";
  const parsed = await parseBody(bytes, contentType);
  return {
    payload: {
      headers,
      queryParameters: createQueryParameters(request.query),
      rawBody: { data: bytes, contentType },
      body: parsed.ok
        ? { data: parsed.data, contentType: parsed.contentType }
        : { data: bytes.toString("utf8"), contentType },
      pathFragment: request.pathFragment,
      ...attributes,
      globalDebug: isDebug,
    },
    warning: parsed.ok
      ? null
      : `The body is not what its Content-Type says, so it is given as text: ${parsed.message}`,
  };
}

/** In memory of its own: what `Buffer.from` takes from the shared pool would keep and show its neighbours. */
function decodeBody(base64: string): Buffer {
  const bytes = Buffer.alloc(Buffer.byteLength(base64, "base64"));
  bytes.write(base64, "base64");
  return bytes;
}

/**
 * Headers under the names as they were sent, and readable in any case. The names are plain own properties, so
 * that listing, JSON, spreading and cloning give what was sent; only a name that is not there in that case
 * reaches the prototype, which looks it up in lower case.
 */
export function createHeaders(
  sent: readonly (readonly [name: string, value: string])[],
): Record<string, string> {
  const nameByLower = new Map<string, string>();
  const values = new Map<string, string>();
  for (const [name, value] of sent) {
    const known = nameByLower.get(name.toLowerCase());
    if (known === undefined) {
      nameByLower.set(name.toLowerCase(), name);
      values.set(name, value);
    } else {
      values.set(known, `${values.get(known)}, ${value}`);
    }
  }
  const nameOf = (key: string | symbol): string | undefined =>
    typeof key === "string" ? nameByLower.get(key.toLowerCase()) : undefined;
  const anyCase = new Proxy(
    {},
    {
      get(target, key, receiver) {
        const name = nameOf(key);
        if (name === undefined) return Reflect.get(target, key, receiver);
        return Object.hasOwn(receiver, name) ? receiver[name] : undefined;
      },
      has: (target, key) => nameOf(key) !== undefined || Reflect.has(target, key),
      // Writing to the headers object makes an own property of it, never one of the prototype.
      set(_target, key, value, receiver) {
        Object.defineProperty(receiver, key, { value, writable: true, enumerable: true, configurable: true });
        return true;
      },
    },
  );
  const headers = Object.create(anyCase) as Record<string, string>;
  for (const [name, value] of values) {
    Object.defineProperty(headers, name, { value, writable: true, enumerable: true, configurable: true });
  }
  return headers;
}

/** A parameter that was sent more than once has its values joined by commas. */
function createQueryParameters(query: string): Record<string, string> {
  const parameters = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(query)) {
    const before = parameters.get(name);
    parameters.set(name, before === undefined ? value : `${before},${value}`);
  }
  return Object.fromEntries(parameters);
}
