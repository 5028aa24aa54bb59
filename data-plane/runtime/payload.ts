/** The trigger's payload: the request as spectral's `TriggerPayload` has it. */
import { type ParsedBody, parseBody } from "../parse.ts";
import type { RunAttributes, RunMeta } from "./messages.ts";

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

/** `body`: in memory of the run's own. A promise only where the body's parser has one. */
export function buildPayload(
  request: RunMeta["request"],
  body: Buffer | null,
  attributes: RunAttributes,
  isDebug: boolean,
): BuiltPayload | Promise<BuiltPayload> {
  const headers = createHeaders(request.headers);
  const bytes = body ?? Buffer.alloc(0);
  const contentType = headers["content-type"] ?? "";
  const build = (parsed: ParsedBody): BuiltPayload => ({
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
  });
  const parsed = parseBody(bytes, contentType);
  return parsed instanceof Promise ? parsed.then(build) : build(parsed);
}

/**
 * Headers under the names as they were sent, and readable in any case. The names are plain own properties, so
 * that listing, JSON, spreading and cloning give what was sent; only a name that is not there in that case
 * reaches the prototype, which looks it up in lower case.
 */
export function createHeaders(
  sent: readonly (readonly [name: string, value: string])[],
): Record<string, string> {
  // Without a prototype at first, so that any name is a property; and so that V8 makes no hidden class for each.
  const headers: Record<string, string> = Object.create(null);
  for (const [name, value] of sent) {
    const known = name in headers ? name : ownName(headers, name);
    if (known === undefined) headers[name] = value;
    else headers[known] = `${headers[known]}, ${value}`;
  }
  return Object.setPrototypeOf(headers, new Proxy({}, new AnyCase(headers)));
}

/** The name under which a header stands, whatever its case; undefined where it was not sent. */
function ownName(headers: Record<string, string>, key: string): string | undefined {
  const lower = key.toLowerCase();
  for (const name of Object.keys(headers)) {
    if (name.length === lower.length && name.toLowerCase() === lower) return name;
  }
  return undefined;
}

class AnyCase implements ProxyHandler<object> {
  readonly headers: Record<string, string>;

  constructor(headers: Record<string, string>) {
    this.headers = headers;
  }

  get(target: object, key: string | symbol, receiver: Record<string, string>): unknown {
    const name = typeof key === "string" ? ownName(this.headers, key) : undefined;
    if (name === undefined) return Reflect.get(target, key, receiver);
    return Object.hasOwn(receiver, name) ? receiver[name] : undefined;
  }

  has(target: object, key: string | symbol): boolean {
    return (typeof key === "string" && ownName(this.headers, key) !== undefined) || Reflect.has(target, key);
  }

  /** Writing to the headers object makes an own property of it, never one of the prototype. */
  set(_target: object, key: string | symbol, value: unknown, receiver: object): boolean {
    Object.defineProperty(receiver, key, { value, writable: true, enumerable: true, configurable: true });
    return true;
  }
}

/** A parameter that was sent more than once has its values joined by commas. */
function createQueryParameters(query: string): Record<string, string> {
  if (query === "") return {};
  const parameters = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(query)) {
    const before = parameters.get(name);
    parameters.set(name, before === undefined ? value : `${before},${value}`);
  }
  return Object.fromEntries(parameters);
}
