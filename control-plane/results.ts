/**
 * Stored step results and request payloads over HTTP. Their addresses are signed, name one object, and
 * expire: whoever may read an object over GraphQL can hand its address to a plain HTTP client.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Invocation } from "../shared/invocations.ts";
import type { StoredRequest } from "../shared/reports.ts";
import { readSignedPath, signPath } from "../shared/signedPaths.ts";
import type { Urls } from "./context.ts";
import type { Store } from "./store/store.ts";
import { readExecutionRequest, readRejectionRequest, readStepResults } from "./store/storedObjects.ts";

export type StoredObject =
  | { kind: "stepResult"; executionId: string; attempt: number; sequence: number }
  | { kind: "executionRequest"; executionId: string }
  | { kind: "rejectionRequest"; rejectionId: string };

const addressLifetimeMs = 10 * 60_000;
const signedLengthMax = 512;

/** The address of one stored object, good for ten minutes. */
export function signedAddress(store: Store, urls: Urls, object: StoredObject): string {
  const { room, subject } = nameOf(object);
  const signed = signPath(store.pepper, `stored ${room}`, subject, addressLifetimeMs);
  return urls.control(`/${room}/${signed}`);
}

/** Answers `GET /results/<signed>` (msgpack) and `GET /payloads/<signed>` (JSON). */
export async function handleResults(
  store: Store,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.method !== "GET") {
    return send(response, 405, "application/json", errorJson("Use GET."), { allow: "GET" });
  }
  const path = (request.url ?? "").split("?", 1)[0]!;
  const object = openPath(store, path);
  if (object === null) {
    return send(response, 403, "application/json", errorJson("This address is not valid, or has expired."));
  }
  const found = await readObject(store, object);
  if (found === null) {
    return send(response, 404, "application/json", errorJson("What this address named is no longer stored."));
  }
  send(response, 200, found.contentType, found.body);
}

/** What a person may see of a stored request: everything but keys, credentials and cookies. */
export function shownRequest(request: StoredRequest): ShownRequest {
  const headers: Record<string, string> = Object.create(null);
  for (const [name, value] of request.headers) {
    const shown = isSecretName(name) ? redacted : value;
    headers[name] = headers[name] === undefined ? shown : `${headers[name]}, ${shown}`;
  }
  const queryParameters: Record<string, string> = Object.create(null);
  for (const [name, value] of new URLSearchParams(request.query)) {
    const shown = isSecretName(name) ? redacted : value;
    queryParameters[name] = queryParameters[name] === undefined ? shown : `${queryParameters[name]},${shown}`;
  }
  const contentType = request.headers.find(([name]) => name.toLowerCase() === "content-type")?.[1] ?? "";
  return {
    method: request.method,
    headers,
    contentType,
    queryParameters,
    pathFragment: request.pathFragment,
    body: request.body,
    receivedAt: new Date(request.receivedAtMs).toISOString(),
    requestId: request.requestId,
    ...(request.invocation === undefined ? {} : { invocation: request.invocation }),
  };
}

export interface ShownRequest {
  method: string;
  headers: Record<string, string>;
  contentType: string;
  queryParameters: Record<string, string>;
  pathFragment: string;
  /** Base64, or null where there was none. */
  body: string | null;
  /** What started it, where that was no request. */
  invocation?: Invocation;
  receivedAt: string;
  /** What the sender called it, or was told that it is called. */
  requestId: string;
}

const redacted = "[redacted]";
/** Headers and query parameters that commonly carry credentials; signatures of a body are no secret. */
const isSecretName = (name: string): boolean =>
  /^(authorization|proxy-authorization|cookie|set-cookie)$|api[-_]?key|access[-_]?key|token|secret|password|passwd|credential/i.test(
    name,
  );

function nameOf(object: StoredObject): { room: "results" | "payloads"; subject: string } {
  switch (object.kind) {
    case "stepResult":
      return { room: "results", subject: [object.executionId, object.attempt, object.sequence].join("/") };
    case "executionRequest":
      return { room: "payloads", subject: `execution/${object.executionId}` };
    case "rejectionRequest":
      return { room: "payloads", subject: `rejection/${object.rejectionId}` };
  }
}

/** The object that a path opens, or null where its signature is wrong or too old. */
function openPath(store: Store, path: string): StoredObject | null {
  const match = /^\/(results|payloads)\/([\w.-]+)$/.exec(path);
  const [, room, signed] = match ?? [];
  if (room === undefined || signed === undefined || signed.length > signedLengthMax) return null;
  const subject = readSignedPath(store.pepper, `stored ${room}`, signed);
  if (subject === null) return null;
  const [first = "", second = "", third = ""] = subject.split("/");
  if (room === "results") {
    return { kind: "stepResult", executionId: first, attempt: Number(second), sequence: Number(third) };
  }
  return first === "execution"
    ? { kind: "executionRequest", executionId: second }
    : { kind: "rejectionRequest", rejectionId: second };
}

async function readObject(
  store: Store,
  object: StoredObject,
): Promise<{ contentType: string; body: Buffer } | null> {
  if (object.kind === "stepResult") {
    const results = await readStepResults(store, object);
    return results === null ? null : { contentType: "application/msgpack", body: results };
  }
  const request =
    object.kind === "executionRequest"
      ? await readExecutionRequest(store, object.executionId)
      : await readRejectionRequest(store, object.rejectionId);
  if (request === null) return null;
  return {
    contentType: "application/json",
    body: Buffer.from(JSON.stringify(shownRequest(request)), "utf8"),
  };
}

const errorJson = (message: string): Buffer => Buffer.from(JSON.stringify({ error: { message } }), "utf8");

function send(
  response: ServerResponse,
  status: number,
  contentType: string,
  body: Buffer,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, {
    "content-type": contentType,
    "content-length": body.length,
    "cache-control": "private, no-store",
    "x-content-type-options": "nosniff",
    ...headers,
  });
  response.end(body);
}
