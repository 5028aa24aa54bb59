/** Requests of the HTTP component, by the runtime's own fetch, so that what holds for flow code's requests holds here. */
import { setTimeout as wait } from "node:timers/promises";
import { http as described } from "../../../shared/builtIns/http.ts";
import { messageOf } from "../../../shared/errors.ts";
import { type ActionPerform, type BuiltInContext, implement } from "./implement.ts";
import {
  clip,
  flag,
  fromPairs,
  isGiven,
  list,
  optionalNumber,
  requiredText,
  text,
  textOf,
} from "./values.ts";

type Params = Record<string, unknown>;

/** A response is held in memory, and in the run's step results. */
const responseBytesMax = 32 * 1024 * 1024;
const retriesMax = 10;
const delayMsMax = 60_000;
const shownCharactersMax = 500;

const methods = new Set(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]);

const send =
  (method?: string): ActionPerform =>
  (context, params) =>
    request(context, method ?? requiredText(params, "method").toUpperCase(), params);

export const http = implement(described, {
  actions: {
    httpGet: send("GET"),
    httpPost: send("POST"),
    httpPut: send("PUT"),
    httpPatch: send("PATCH"),
    httpDelete: send("DELETE"),
    httpHead: send("HEAD"),
    httpRequest: send(),
  },
  triggers: {},
});

/** A status that is no success, with what the server said of it. */
class StatusError extends Error {
  override name = "HttpStatusError";
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

async function request(context: BuiltInContext, method: string, params: Params): Promise<unknown> {
  if (!methods.has(method)) throw new Error(`There is no method ${clip(method)}.`);
  if (flag(params, "ignoreSslErrors"))
    throw new Error(
      'The input "ignoreSslErrors" is not supported: trust the server\'s certificate authority (NODE_EXTRA_CA_CERTS) instead.',
    );
  const url = urlOf(params);
  const { body, contentType } = method === "GET" || method === "HEAD" ? noBody : bodyOf(params["data"]);
  const headers = headersOf(params, contentType);
  const retries = Math.min(optionalNumber(params, "maxRetries") ?? 0, retriesMax);
  for (let retry = 0; ; retry++) {
    try {
      return await sendOnce(context, { method, url, headers, body }, params);
    } catch (error) {
      if (retry >= retries || !isWorthRetrying(error, flag(params, "retryOnAllErrors"))) throw error;
      const ms = delayMs(params, retry);
      context.logger["warn"]!(
        `${method} ${url.origin}${url.pathname} failed, again in ${ms} ms: ${messageOf(error)}`,
      );
      await wait(ms);
    }
  }
}

interface Sent {
  method: string;
  url: URL;
  headers: Headers;
  body: string | Uint8Array | URLSearchParams | undefined;
}

async function sendOnce(context: BuiltInContext, { method, url, headers, body }: Sent, params: Params) {
  const timeoutMs = optionalNumber(params, "timeout");
  const isDebug = flag(params, "debugRequest");
  if (isDebug)
    context.logger["debug"]!("Request", { method, url: url.href, headers: Object.fromEntries(headers) });
  let response: Response;
  let bytes: Buffer;
  try {
    response = await fetch(url, {
      method,
      headers,
      body: body as BodyInit,
      ...(timeoutMs === undefined ? {} : { signal: AbortSignal.timeout(timeoutMs) }),
    });
    bytes = await readBody(response);
  } catch (error) {
    throw reachError(error, method, url, timeoutMs);
  }
  const received = Object.fromEntries(response.headers);
  if (isDebug) context.logger["debug"]!("Response", { status: response.status, headers: received });
  if (!response.ok) {
    const said = bytes.toString("utf8").slice(0, shownCharactersMax);
    throw new StatusError(
      response.status,
      `${method} ${url.origin}${url.pathname} was answered ${response.status} ${response.statusText}: ${said}`,
    );
  }
  const data = dataOf(bytes, text(params, "responseType") || "json");
  if (flag(params, "includeFullResponse") || method === "HEAD")
    return { data: { data, status: response.status, statusText: response.statusText, headers: received } };
  return data instanceof Uint8Array
    ? { data, contentType: received["content-type"] ?? "application/octet-stream" }
    : { data };
}

/** Read as it comes, so that one that is too large ends there. */
async function readBody(response: Response): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > responseBytesMax)
      throw new TooLarge(`The response is larger than ${responseBytesMax} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

class TooLarge extends Error {}

function reachError(error: unknown, method: string, url: URL, timeoutMs: number | undefined): unknown {
  if (error instanceof TooLarge) return error;
  const { name, cause } = error as { name?: unknown; cause?: unknown };
  const reason = name === "TimeoutError" ? `no answer within ${timeoutMs} ms` : messageOf(cause ?? error);
  return new Error(`${method} ${url.origin}${url.pathname} failed: ${reason}`, { cause: error });
}

function isWorthRetrying(error: unknown, isAnything: boolean): boolean {
  if (error instanceof TooLarge) return false;
  return isAnything || !(error instanceof StatusError) || error.status >= 500;
}

function delayMs(params: Params, retry: number): number {
  const given = optionalNumber(params, "retryDelayMS") ?? 0;
  const ms = flag(params, "useExponentialBackoff") ? (given || 100) * 2 ** retry : given;
  return Math.min(Math.max(ms, 0), delayMsMax);
}

function urlOf(params: Params): URL {
  const given = requiredText(params, "url");
  let url: URL;
  try {
    url = new URL(given);
  } catch {
    throw new Error(`The input "url" is not a URL: ${clip(given)}.`);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:")
    throw new Error(`The input "url" must start with http: or https:, but is ${clip(given)}.`);
  for (const [name, value] of Object.entries(fromPairs(list(params, "queryParams"))))
    url.searchParams.append(name, textOf(value));
  return url;
}

const noBody = { body: undefined, contentType: undefined };

function bodyOf(data: unknown): { body: Sent["body"]; contentType: string | undefined } {
  if (!isGiven(data)) return noBody;
  if (data instanceof Uint8Array) return { body: data, contentType: "application/octet-stream" };
  if (typeof data !== "string") return { body: JSON.stringify(data), contentType: "application/json" };
  return { body: data, contentType: /^\s*[[{]/.test(data) ? "application/json" : "text/plain" };
}

function headersOf(params: Params, contentType: string | undefined): Headers {
  const headers = new Headers();
  if (contentType !== undefined) headers.set("content-type", contentType);
  const responseType = text(params, "responseType") || "json";
  headers.set("accept", responseType === "json" ? "application/json, text/plain, */*" : "*/*");
  for (const [name, value] of Object.entries(authorizationOf(params["connection"]))) headers.set(name, value);
  for (const [name, value] of Object.entries(fromPairs(list(params, "headers")))) {
    try {
      headers.set(name, textOf(value));
    } catch {
      throw new Error(`The header ${clip(name)} can't be sent with what it is given.`);
    }
  }
  return headers;
}

/** Of a connection with a token, a user name and password, or an API key. */
function authorizationOf(connection: unknown): Record<string, string> {
  if (typeof connection !== "object" || connection === null) return {};
  const { token, fields = {} } = connection as {
    token?: { access_token?: unknown };
    fields?: Record<string, unknown>;
  };
  if (isGiven(token?.access_token)) return { authorization: `Bearer ${textOf(token!.access_token)}` };
  if (isGiven(fields["username"])) {
    const pair = `${textOf(fields["username"])}:${textOf(fields["password"])}`;
    return { authorization: `Basic ${Buffer.from(pair).toString("base64")}` };
  }
  if (!isGiven(fields["apiKey"])) return {};
  const name = textOf(fields["headerKey"]) || "authorization";
  const scheme = textOf(fields["authScheme"]);
  return { [name]: `${scheme === "" ? "" : `${scheme} `}${textOf(fields["apiKey"])}` };
}

/** Text that is not JSON stays text. */
function dataOf(bytes: Buffer, responseType: string): unknown {
  if (responseType === "binary") return bytes;
  const said = bytes.toString("utf8");
  if (responseType !== "json" || said === "") return said;
  try {
    return JSON.parse(said);
  } catch {
    return said;
  }
}
