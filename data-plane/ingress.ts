/**
 * The only file that knows uWebSockets.js: bytes in, answer out, limits, aborts. What a request means is
 * decided by its handlers. From the last byte of a body to the handler's word all is synchronous, and a request
 * takes two closures: what happens in between must stay cheap.
 */

import type { HttpRequest, HttpResponse, TemplatedApp, us_listen_socket } from "uWebSockets.js";
import { STATUS_CODES } from "node:http";
import type { TlsFiles } from "../shared/config.ts";
import { ConfigurationError, type ErrorCode, errorBody, errorCatalogue } from "../shared/errors.ts";
import { newId } from "../shared/ids.ts";
import { type MetricsRequest, metricsRefusal } from "../shared/metricsAccess.ts";
import type { CompiledInstance } from "./replica/compiled.ts";
import type { StoredResult } from "./resultFiles.ts";
import { resultsPath } from "./storedResults.ts";

/** A request to a webhook URL. */
export interface IncomingRequest {
  /** Upper case. */
  readonly method: string;
  readonly token: string;
  /** What follows the token, with its slash, or "". */
  readonly pathFragment: string;
  /** Raw, without "?". */
  readonly query: string;
  /** Names in lower case: the transport has lowered them. Without Api-Key. */
  readonly headers: [name: string, value: string][];
  /** Of several Api-Key headers all, joined with commas. */
  apiKey: string | undefined;
  /** These are of the first header of their name, and "" where there is none. */
  contentType: string;
  contentEncoding: string;
  invokeType: string;
  isDebug: boolean;
  remoteAddress: string;
  requestId: string;
  /** True where the sender gave no request id that could be used: it is a new UUIDv7 then, that an execution may have, too. */
  hasOwnId: boolean;
  readonly receivedAtMs: number;
  /**
   * As sent: Content-Encoding not undone. Empty until it was read whole; then the transport's own memory, which it
   * takes back when `handle` returns: who goes on later copies it.
   */
  body: Buffer;
  /** What it turned out to be, where answers are told of. */
  known: KnownRequest | null;
}

export interface KnownRequest {
  /** The execution's uuid, and JSON of its `EntryMeta`. */
  executionId: string | null;
  metaJson: string | null;
  /** Where it was routed to and refused. */
  instance: CompiledInstance | null;
}

/** What is told of an answered request. */
export interface AnsweredRequest
  extends Pick<IncomingRequest, "method" | "token" | "headers" | "requestId" | "receivedAtMs" | "known"> {
  /** Of the body, as far as it was read. */
  bytes: number;
}

export interface Answer {
  status: number;
  /** Of an error of ours. */
  code?: ErrorCode;
  headers: readonly (readonly [name: string, value: string])[];
  body: string | Buffer;
}

/** What is known of a request that was refused before it was read whole. */
export type RefusedRequest = Pick<IncomingRequest, "method" | "token" | "remoteAddress" | "requestId">;

/** Who sent it, from the connection's other end and what stands in X-Forwarded-For. */
type SenderAddress = (peer: string, forwardedFor: string | undefined) => string;

/** Answers requests. Nothing happens where the sender is gone. */
export interface Replies {
  /** 200 with the execution's node id. */
  accept(request: IncomingRequest, executionId: string): void;
  send(request: IncomingRequest, answer: Answer): void;
}

export interface IngressHandlers {
  /** Asked before the body is read: a code refuses at once. */
  refuseEarly(request: IncomingRequest): ErrorCode | null;
  /** Must not throw, and must answer in the end. */
  handle(request: IncomingRequest, replies: Replies): void;
  onRefused(request: RefusedRequest, code: ErrorCode): void;
  isHealthy(): boolean;
  isReady(): boolean;
  /** The text of `/metrics`; null where it can't be had. */
  metrics(): Promise<string | null>;
  /** A result that was too large for its answer, by what follows `/results/`; null where there is none to have. */
  result(signed: string): Promise<StoredResult | null>;
}

export interface IngressOptions {
  host: string;
  port: number;
  bodyBytesMax: number;
  requestTimeoutMs: number;
  senderAddress: SenderAddress;
  /** True where proxies are trusted: X-Forwarded-For counts. */
  readsForwardedFor: boolean;
  /** With TLS: a certificate and key that belong together. */
  tls: TlsFiles | null;
  mayReadMetrics(request: MetricsRequest): boolean;
  handlers: IngressHandlers;
  /** Told of each request that was accepted and answered at once (or would be: `isGone`); null: nobody asks. */
  onAccepted: ((request: AnsweredRequest, isGone: boolean) => void) | null;
  /** Told of every other answer; its status is null where the sender was gone. */
  onAnswered: ((request: AnsweredRequest, status: number | null, code: ErrorCode | null) => void) | null;
  /** Requests that were begun and not answered yet. */
  onOpenRequests(count: number): void;
  /**
   * Null for the one that listens and serves alone. With several: where this one's app is to be handed to, so that
   * the one that listens hands connections to it, in the place of an earlier one where there was one.
   */
  handOver: ((descriptor: unknown, replaces: unknown) => void) | null;
  /** Whether this is the one that listens. */
  isListening: boolean;
}

export interface IngressCounts {
  /** To webhook URLs. */
  requests: number;
  /** By their status. */
  answers: Record<number, number>;
  /** Those with an error of ours, by its code. */
  refusals: Partial<Record<ErrorCode, number>>;
}

export interface Ingress {
  /** Null where another one listens. */
  port: number | null;
  /** Where this one listens: an app of another thread, that takes connections from now on. */
  addApp(descriptor: unknown, replaces: unknown): void;
  /** New connections get the certificate that is in the files now; throws where that can't be used. */
  renewCertificate(): void;
  /** Stops accepting connections; open ones may finish. */
  stopListening(): void;
  stats(): IngressCounts;
  /** Closes what is still open. */
  close(): void;
}

/** All bodies being read together; above it new ones are answered 503. Keeps memory bounded under a flood. */
const bodyBytesInFlightMax = 512 * 1024 * 1024;
/** What is read past the limit, and thrown away, so that an honest sender gets to read its refusal. */
const discardedBytesMax = 32 * 1024 * 1024;
/** Taken by uWebSockets.js from the environment of the process, so it is set before a thread loads it. */
export const headersBytesMax = 32 * 1024;
const retryAfterSeconds = 5;
/** An app that was replaced has answered by then, whatever its requests waited for. */
const replacedAppMs = 15 * 60_000;
const securityHeaders = [["x-content-type-options", "nosniff"]] as const;
const tlsSecurityHeaders = [...securityHeaders, ["strict-transport-security", "max-age=31536000"]] as const;
const listenExclusivePort = 1;
type ListenExclusively = (
  host: string,
  port: number,
  options: number,
  done: (socket: us_listen_socket | false) => void,
) => void;
/**
 * What an app can do beyond its typings: hand the connections that it accepts to another app, also to one of
 * another thread. So a renewed certificate takes over without a moment in which nobody listens, and open
 * connections stay where they are. (Two apps that listen on one port, and the old one closed, loses what waits in
 * its queue; and a second process could take the port unseen.)
 */
interface App extends TemplatedApp {
  getDescriptor(): unknown;
  addChildAppDescriptor(descriptor: unknown): void;
  removeChildAppDescriptor(descriptor: unknown): void;
}
const methods = new Set(["GET", "POST", "PUT", "PATCH", "DELETE"]);
const requestIdLengthMax = 128;

/** What all requests of an ingress share. */
interface Room {
  options: IngressOptions;
  handlers: IngressHandlers;
  replies: Replies;
  open: OpenRequests;
  /** Bytes of bodies that are being read. */
  bytesInFlight: number;
  requests: number;
  accepted: number;
  answers: Record<number, number>;
  refusals: Partial<Record<ErrorCode, number>>;
  /** The addresses of peers as they are written, to as they are known: parsing one takes a microsecond. */
  peers: Map<string, string>;
  /**
   * The headers of an accepted webhook's answer, from the first one's value to the last one's, which is to follow: a
   * call into uWebSockets.js costs 0.4 µs, and it writes the value as it is.
   */
  acceptedHeaders: string;
  /** Large results on their way. */
  results: number;
}

/** Listens, or waits to be handed connections. Throws `ConfigurationError` where the port is taken. */
export async function startIngress(options: IngressOptions): Promise<Ingress> {
  const uws = (await import("uWebSockets.js")).default;
  const { handlers, tls, handOver } = options;
  const room: Room = {
    options,
    handlers,
    replies: {
      accept: (request, id) => sendAccepted(room, request, id),
      send: (request, answer) => reply(room, request, answer),
    },
    open: { first: null, count: 0 },
    bytesInFlight: 0,
    requests: 0,
    accepted: 0,
    answers: {},
    refusals: {},
    peers: new Map(),
    acceptedHeaders: [
      "application/json",
      ...(tls === null ? securityHeaders : tlsSecurityHeaders).map((header) => header.join(": ")),
      "prismatic-executionid: ",
    ].join("\r\n"),
    results: 0,
  };
  const makeApp = () => {
    const app = tls === null ? uws.App() : uws.SSLApp(tlsOptions(tls));
    app.get("/healthz", (response) => sendPlain(response, options, handlers.isHealthy() ? 200 : 503));
    app.get("/readyz", (response) => sendPlain(response, options, handlers.isReady() ? 200 : 503));
    app.get("/metrics", (response, request) => sendMetrics(room, response, request));
    app.get(`${resultsPath}*`, (response, request) => sendResult(room, response, request));
    app.any("/trigger/*", (response, request) => receive(room, response, request));
    app.any("/*", (response, request) => {
      const requestId = newId();
      const method = request.getCaseSensitiveMethod();
      const remoteAddress = addressOf(room, response, headerValue(request, "x-forwarded-for"));
      handlers.onRefused({ method, token: "", remoteAddress, requestId }, "ENDPOINT_NOT_FOUND");
      const answer = refusal("ENDPOINT_NOT_FOUND", requestId);
      const answered = {
        method,
        token: "",
        headers: [],
        requestId,
        receivedAtMs: Date.now(),
        known: null,
        bytes: 0,
      };
      options.onAnswered?.(answered, answer.status, "ENDPOINT_NOT_FOUND");
      send(room, response, answer);
    });
    return app as App;
  };
  const acceptor = options.isListening ? makeApp() : null;
  const socket = acceptor === null ? null : await listen(acceptor, options);
  const sweeper = setInterval(() => refuseSlow(room), Math.min(1000, options.requestTimeoutMs));
  sweeper.unref();
  let listening = true;
  const stopListening = () => {
    if (listening && socket !== null) uws.us_listen_socket_close(socket);
    listening = false;
  };
  const addApp = (descriptor: unknown, replaces: unknown) => {
    acceptor!.addChildAppDescriptor(descriptor);
    if (replaces !== null) acceptor!.removeChildAppDescriptor(replaces);
  };
  /** The app that connections are handed to; null: the one that accepts them. */
  let serving: App | null = null;
  const replaced = new Set<App>();
  const serveAnew = () => {
    const next = makeApp();
    const last = serving;
    serving = next;
    (handOver ?? addApp)(next.getDescriptor(), last === null ? null : last.getDescriptor());
    if (last === null) return;
    replaced.add(last);
    const timer = setTimeout(() => {
      replaced.delete(last);
      last.close();
    }, replacedAppMs);
    timer.unref();
  };
  if (handOver !== null) serveAnew();
  return {
    port: socket === null ? null : uws.us_socket_local_port(socket),
    addApp,
    renewCertificate: serveAnew,
    stopListening,
    stats() {
      const answers = { ...room.answers };
      if (room.accepted > 0) answers[200] = (answers[200] ?? 0) + room.accepted;
      return { requests: room.requests, answers, refusals: { ...room.refusals } };
    },
    close() {
      stopListening();
      clearInterval(sweeper);
      for (const each of [acceptor, serving, ...replaced]) each?.close();
      replaced.clear();
    },
  };
}

async function listen(app: App, { host, port }: IngressOptions): Promise<us_listen_socket> {
  const socket = await new Promise<us_listen_socket | false>((resolve) => {
    // Without the option a second process could take the same port unseen. The typings lack this overload.
    (app.listen as unknown as ListenExclusively).call(app, host, port, listenExclusivePort, resolve);
  });
  if (socket !== false) return socket;
  throw new ConfigurationError(
    `The data plane can't listen on ${host}:${port}: the port is in use or not allowed. Set SWITCHYARD_INGRESS_PORT or SWITCHYARD_HOST.`,
  );
}

/** The answer for a refusal: its status and the error body. `retryAfter`: seconds. */
export function refusal(
  code: ErrorCode,
  requestId: string,
  { executionId, retryAfter = null }: { executionId?: string; retryAfter?: number | null } = {},
): Answer {
  const { status } = errorCatalogue[code];
  const headers: [string, string][] = [
    ["content-type", "application/json"],
    ["x-request-id", requestId],
  ];
  if (status === 503 || status === 429)
    headers.push(["retry-after", String(retryAfter ?? retryAfterSeconds)]);
  if (status === 405) headers.push(["allow", [...methods].join(", ")]);
  if (executionId !== undefined) headers.push(["prismatic-executionid", executionId]);
  return { status, code, headers, body: errorBody(code, requestId, executionId) };
}

/** An incoming request with what only this file looks at. */
interface OpenRequest extends IncomingRequest {
  readonly response: HttpResponse;
  /** Copies of what came, where it did not come in one piece. */
  chunks: Buffer[];
  bytes: number;
  /** The bytes of `chunks`. */
  heldBytes: number;
  /** Of Content-Length; 0 where there is no body; -1 for a chunked one. */
  declaredBytes: number;
  forwardedFor: string | undefined;
  /** lingering: refused in the middle of its body; what still comes is thrown away so that the refusal is read. */
  state: "reading" | "lingering" | "handling" | "done";
  /** Decided before the body was read whole; answered after it, or the sender would fail at its own sending. */
  refusal: ErrorCode | null;
  /** Whether it was asked for. A body that comes in one piece needs no asking: it is handled at once. */
  isAsked: boolean;
  /** In the list of those that are open. */
  previous: OpenRequest | null;
  next: OpenRequest | null;
}

interface OpenRequests {
  first: OpenRequest | null;
  count: number;
}

const noBody = Buffer.alloc(0);

function receive(room: Room, response: HttpResponse, request: HttpRequest): void {
  const { options } = room;
  const own = readHead(room, response, request);
  response.onAborted(() => finish(room, own));
  room.requests++;
  addOpen(room, own);
  if (!methods.has(own.method)) own.refusal = "METHOD_NOT_ALLOWED";
  else if (own.declaredBytes > options.bodyBytesMax) own.refusal = "BODY_TOO_LARGE";
  else if (room.bytesInFlight > bodyBytesInFlightMax) own.refusal = "JOURNAL_FULL";
  const isHopeless = own.declaredBytes > options.bodyBytesMax + discardedBytesMax;
  if (own.refusal !== null && isHopeless) linger(room, own);
  response.onData((chunk, isLast) => takeChunk(room, own, chunk, isLast));
}

function takeChunk(room: Room, own: OpenRequest, chunk: ArrayBuffer, isLast: boolean): void {
  const { bodyBytesMax } = room.options;
  if (own.state === "lingering" && isLast) {
    finish(room, own);
    own.response.end();
  }
  if (own.state !== "reading") return;
  if (!isLast && !own.isAsked) {
    own.isAsked = true;
    own.refusal ??= room.handlers.refuseEarly(own);
  }
  own.bytes += chunk.byteLength;
  if (own.refusal === null && own.bytes > bodyBytesMax) {
    own.refusal = "BODY_TOO_LARGE";
    dropChunks(room, own);
  }
  if (own.refusal !== null) {
    if (isLast) refuse(room, own, own.refusal);
    else if (own.bytes > bodyBytesMax + discardedBytesMax) linger(room, own);
    return;
  }
  if (!isLast) {
    if (chunk.byteLength === 0) return;
    // The chunk's memory is taken back when this returns, so it is copied.
    own.chunks.push(Buffer.from(chunk.slice(0)));
    own.heldBytes += chunk.byteLength;
    room.bytesInFlight += chunk.byteLength;
    return;
  }
  const last = Buffer.from(chunk);
  own.state = "handling";
  own.body = own.chunks.length === 0 ? last : Buffer.concat([...own.chunks, last]);
  dropChunks(room, own);
  room.handlers.handle(own, room.replies);
  own.body = noBody;
}

function dropChunks(room: Room, own: OpenRequest): void {
  room.bytesInFlight -= own.heldBytes;
  own.heldBytes = 0;
  own.chunks = [];
}

/** Lets go of what it holds: it is answered or gone. */
function finish(room: Room, own: OpenRequest): void {
  if (own.heldBytes > 0) dropChunks(room, own);
  removeOpen(room, own);
  own.state = "done";
}

/** A list through the requests themselves: each comes and goes, and a Set of them pays for that with hashing anew. */
function addOpen({ open, options }: Room, own: OpenRequest): void {
  own.next = open.first;
  if (open.first !== null) open.first.previous = own;
  open.first = own;
  options.onOpenRequests(++open.count);
}

function removeOpen({ open, options }: Room, own: OpenRequest): void {
  if (own.state === "done") return;
  const { previous, next } = own;
  if (previous === null) open.first = next;
  else previous.next = next;
  if (next !== null) next.previous = previous;
  own.previous = null;
  own.next = null;
  options.onOpenRequests(--open.count);
}

function refuse(room: Room, own: OpenRequest, code: ErrorCode, { closeConnection = false } = {}): void {
  finish(room, own);
  room.handlers.onRefused(own, code);
  room.options.onAnswered?.(own, errorCatalogue[code].status, code);
  send(room, own.response, refusal(code, own.requestId), { closeConnection, isHead: own.method === "HEAD" });
}

function linger(room: Room, own: OpenRequest): void {
  dropChunks(room, own);
  own.state = "lingering";
  const code = own.refusal!;
  room.handlers.onRefused(own, code);
  room.options.onAnswered?.(own, errorCatalogue[code].status, code);
  sendHead(room, own.response, refusal(code, own.requestId));
}

/** The request whose headers are being read: so one function serves for all, instead of a closure for each. */
let readingHeaders: OpenRequest;

function readHead(room: Room, response: HttpResponse, request: HttpRequest): OpenRequest {
  const path = request.getUrl();
  const slash = path.indexOf("/", triggerPath.length);
  const own: OpenRequest = {
    method: request.getCaseSensitiveMethod().toUpperCase(),
    token: slash < 0 ? path.slice(triggerPath.length) : path.slice(triggerPath.length, slash),
    pathFragment: slash < 0 ? "" : path.slice(slash),
    // Undefined where the URL has no "?", whatever its type says.
    query: request.getQuery() ?? "",
    headers: [],
    apiKey: undefined,
    contentType: "",
    contentEncoding: "",
    invokeType: "",
    isDebug: false,
    remoteAddress: "",
    requestId: "",
    hasOwnId: false,
    receivedAtMs: Date.now(),
    body: noBody,
    known: null,
    response,
    chunks: [],
    bytes: 0,
    heldBytes: 0,
    declaredBytes: 0,
    forwardedFor: undefined,
    state: "reading",
    refusal: null,
    isAsked: false,
    previous: null,
    next: null,
  };
  readingHeaders = own;
  request.forEach(readHeader);
  if (!isRequestId(own.requestId)) {
    own.requestId = newId();
    own.hasOwnId = true;
  }
  own.remoteAddress = addressOf(room, response, own.forwardedFor);
  return own;
}

const triggerPath = "/trigger/";

function readHeader(name: string, value: string): void {
  const own = readingHeaders;
  switch (name) {
    case "api-key":
      own.apiKey = joined(own.apiKey, value);
      return;
    case "content-length":
      if (own.declaredBytes === 0) own.declaredBytes = Number(value);
      break;
    case "transfer-encoding":
      if (own.declaredBytes === 0) own.declaredBytes = -1;
      break;
    case "content-type":
      own.contentType ||= value;
      break;
    case "content-encoding":
      own.contentEncoding ||= value;
      break;
    case "x-request-id":
      own.requestId ||= value;
      break;
    case "x-forwarded-for":
      own.forwardedFor = joined(own.forwardedFor, value);
      break;
    case "prismatic-invoke-type":
      own.invokeType ||= value;
      break;
    case "prismatic-debug":
      own.isDebug ||= value === "true";
      break;
  }
  own.headers.push([name, value]);
}

const joined = (before: string | undefined, value: string): string =>
  before === undefined ? value : `${before},${value}`;

/** Visible ASCII, and not longer than any sender needs. */
function isRequestId(text: string): boolean {
  if (text.length === 0 || text.length > requestIdLengthMax) return false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code < 0x21 || code > 0x7e) return false;
  }
  return true;
}

const peersMax = 10_000;

function addressOf(room: Room, response: HttpResponse, forwardedFor: string | undefined): string {
  const { senderAddress, readsForwardedFor } = room.options;
  const peer = peerOf(response);
  if (readsForwardedFor && forwardedFor !== undefined) return senderAddress(peer, forwardedFor);
  let address = room.peers.get(peer);
  if (address === undefined) {
    address = senderAddress(peer, undefined);
    if (room.peers.size >= peersMax) room.peers.clear();
    room.peers.set(peer, address);
  }
  return address;
}

function refuseSlow(room: Room): void {
  const latest = Date.now() - room.options.requestTimeoutMs;
  for (let own = room.open.first, next: OpenRequest | null; own !== null; own = next) {
    next = own.next;
    if (own.receivedAtMs > latest) continue;
    if (own.state === "lingering") own.response.close();
    if (own.state === "reading")
      refuse(room, own, own.refusal ?? "REQUEST_TIMEOUT", { closeConnection: true });
  }
}

/** Requests come from this file, so they are its own. */
const openRequest = (request: IncomingRequest): OpenRequest => request as OpenRequest;

function sendAccepted(room: Room, request: IncomingRequest, executionId: string): void {
  const own = openRequest(request);
  const isGone = own.state === "done";
  if (room.options.onAccepted !== null) room.options.onAccepted(own, isGone);
  if (isGone) return;
  finish(room, own);
  room.accepted++;
  const { response } = own;
  const headers = `${room.acceptedHeaders}${executionId}`;
  response.cork(() => {
    response.writeHeader("content-type", headers);
    response.end(`{"executionId":"${executionId}"}`);
  });
}

function reply(room: Room, request: IncomingRequest, answer: Answer): void {
  const own = openRequest(request);
  const isGone = own.state === "done";
  room.options.onAnswered?.(own, isGone ? null : answer.status, answer.code ?? null);
  if (isGone) return;
  finish(room, own);
  send(room, own.response, answer);
}

function sendMetrics(room: Room, response: HttpResponse, request: HttpRequest): void {
  const who = {
    peer: peerOf(response),
    forwardedFor: request.getHeader("x-forwarded-for") || undefined,
    authorization: request.getHeader("authorization"),
  };
  if (!room.options.mayReadMetrics(who)) {
    const body = JSON.stringify({ error: { message: metricsRefusal } });
    sendPlain(response, room.options, 401, body);
    return;
  }
  let isGone = false;
  response.onAborted(() => {
    isGone = true;
  });
  void room.handlers.metrics().then((text) => {
    if (isGone) return;
    response.cork(() => {
      if (text === null) sendPlain(response, room.options, 500, metricsFailure);
      else sendPlain(response, room.options, 200, text, "text/plain; version=0.0.4; charset=utf-8");
    });
  });
}

/** Each holds a piece of its result, and a file. */
const resultsAtOnceMax = 64;
const resultGone = JSON.stringify({ error: { message: "This address is not valid, or has expired." } });

function sendResult(room: Room, response: HttpResponse, request: HttpRequest): void {
  const signed = request.getUrl().slice(resultsPath.length);
  const download: Download = { isGone: false, wake() {} };
  response.onAborted(() => {
    download.isGone = true;
    download.wake();
  });
  if (room.results >= resultsAtOnceMax) {
    sendPlain(response, room.options, 503);
    return;
  }
  room.results++;
  pour(room, response, signed, download)
    .catch(() => {
      if (!download.isGone) response.close();
    })
    .finally(() => {
      room.results--;
    });
}

interface Download {
  isGone: boolean;
  /** Ends a wait for the receiver. */
  wake(): void;
}

/** Piece by piece, no faster than it is received. */
async function pour(room: Room, response: HttpResponse, signed: string, download: Download): Promise<void> {
  const result = await room.handlers.result(signed);
  try {
    if (download.isGone) return;
    if (result === null) {
      response.cork(() => sendPlain(response, room.options, 404, resultGone));
      return;
    }
    for (let isFirst = true; !download.isGone; isFirst = false) {
      const piece = await result.read(response.getWriteOffset());
      if (download.isGone) return;
      if (piece.length === 0) throw new Error("The stored result is cut short.");
      const isWritable = new Promise<void>((resolve) => {
        download.wake = resolve;
      });
      response.onWritable(() => {
        download.wake();
        return true;
      });
      let [isTaken, isDone] = [false, false];
      response.cork(() => {
        if (isFirst) {
          response.writeStatus(`${result.status} ${STATUS_CODES[result.status] ?? "Unknown"}`);
          writeSecurityHeaders(response, room.options);
          writeHeaders(response, [["cache-control", "private, no-store"], ...result.headers]);
        }
        [isTaken, isDone] = response.tryEnd(piece, result.bytes);
      });
      if (isDone) return;
      if (!isTaken) await isWritable;
    }
  } finally {
    result?.close();
  }
}

const metricsFailure = JSON.stringify({ error: { message: "The metrics could not be gathered." } });

const headerNamePattern = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const headersOfServer = new Set([
  ...tlsSecurityHeaders.map(([name]) => name),
  "content-length",
  "transfer-encoding",
  "connection",
  "keep-alive",
  "date",
]);

/** Status, headers and body, with the end still to come. */
function sendHead(room: Room, response: HttpResponse, answer: Answer): void {
  response.cork(() => {
    writeHead(room, response, answer);
    response.write(answer.body);
  });
}

function send(
  room: Room,
  response: HttpResponse,
  answer: Answer,
  { closeConnection = false, isHead = false } = {},
): void {
  response.cork(() => {
    writeHead(room, response, answer);
    if (isHead) response.endWithoutBody(Buffer.byteLength(answer.body), closeConnection);
    else response.end(answer.body, closeConnection);
  });
}

function writeHead({ options, answers, refusals }: Room, response: HttpResponse, answer: Answer): void {
  const { status, code, headers } = answer;
  answers[status] = (answers[status] ?? 0) + 1;
  if (code !== undefined) refusals[code] = (refusals[code] ?? 0) + 1;
  response.writeStatus(`${status} ${STATUS_CODES[status] ?? "Unknown"}`);
  writeSecurityHeaders(response, options);
  writeHeaders(response, headers);
}

function writeHeaders(response: HttpResponse, headers: Answer["headers"]): void {
  for (const [name, value] of headers) {
    // Flow code names some of these; what could split the response, or is written already, is left out.
    if (!headerNamePattern.test(name) || headersOfServer.has(name.toLowerCase())) continue;
    response.writeHeader(name, value.replace(/[\r\n\0]+/g, " "));
  }
}

function writeSecurityHeaders(response: HttpResponse, { tls }: IngressOptions): void {
  for (const [name, value] of tls === null ? securityHeaders : tlsSecurityHeaders) {
    response.writeHeader(name, value);
  }
}

/** What is not a webhook's answer, so it is not counted as one. */
function sendPlain(
  response: HttpResponse,
  options: IngressOptions,
  status: 200 | 401 | 404 | 500 | 503,
  body = JSON.stringify({ status: status === 200 ? "ok" : "unavailable" }),
  contentType = "application/json",
): void {
  response.writeStatus(`${status} ${STATUS_CODES[status]}`);
  writeSecurityHeaders(response, options);
  response.writeHeader("content-type", contentType);
  response.end(body);
}

/** A header's value; where it was sent several times, all of them in their order, joined with commas. */
function headerValue(request: HttpRequest, wanted: string): string | undefined {
  // Asked first, because most requests do not have it.
  if (request.getHeader(wanted) === "") return undefined;
  const values: string[] = [];
  request.forEach((name, value) => {
    if (name === wanted) values.push(value);
  });
  return values.join(",");
}

const tlsOptions = ({ certFile, keyFile }: TlsFiles) => ({
  cert_file_name: certFile,
  key_file_name: keyFile,
});

const peerOf = (response: HttpResponse): string =>
  Buffer.from(response.getRemoteAddressAsText()).toString("latin1");
