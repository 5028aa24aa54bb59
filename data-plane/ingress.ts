/**
 * The only file that knows uWebSockets.js: bytes in, answer out, limits, aborts. What a request means is
 * decided by its handlers.
 */

import type { HttpRequest, HttpResponse, TemplatedApp, us_listen_socket } from "uWebSockets.js";
import { STATUS_CODES } from "node:http";
import { setTransportLimits, type TlsFiles } from "../shared/config.ts";
import { ConfigurationError, type ErrorCode, errorBody, errorCatalogue } from "../shared/errors.ts";
import { newId } from "../shared/ids.ts";

/** A request to a webhook URL, read whole. */
export interface IncomingRequest {
  /** Upper case. */
  method: string;
  token: string;
  /** What follows the token, with its slash, or "". */
  pathFragment: string;
  /** Raw, without "?". */
  query: string;
  /** Names in lower case: the transport has lowered them. */
  headers: [name: string, value: string][];
  remoteAddress: string;
  /** As sent: Content-Encoding not undone. */
  body: Buffer;
  requestId: string;
  receivedAtMs: number;
}

export interface Answer {
  status: number;
  headers: readonly (readonly [name: string, value: string])[];
  body: string | Buffer;
}

/** What is known of a request that was refused before it was read whole. */
export type RefusedRequest = Pick<IncomingRequest, "method" | "token" | "remoteAddress" | "requestId">;

/** Who sent it, from the connection's other end and what stands in X-Forwarded-For. */
type SenderAddress = (peer: string, forwardedFor: string | undefined) => string;

export interface IngressHandlers {
  /** Asked before the body is read: a code refuses at once. */
  refuseEarly(request: RefusedRequest): ErrorCode | null;
  /** Must not reject. */
  handle(request: IncomingRequest): Promise<Answer>;
  onRefused(request: RefusedRequest, code: ErrorCode): void;
  isHealthy(): boolean;
  isReady(): boolean;
}

export interface IngressOptions {
  host: string;
  port: number;
  bodyBytesMax: number;
  requestTimeoutMs: number;
  senderAddress: SenderAddress;
  /** With TLS: a certificate and key that belong together. */
  tls: TlsFiles | null;
  handlers: IngressHandlers;
}

export interface Ingress {
  port: number;
  /** Requests that were begun and not answered yet. */
  openRequests(): number;
  /** New connections get the certificate that is in the files now; throws where that can't be used. */
  renewCertificate(): void;
  /** Stops accepting connections; open ones may finish. */
  stopListening(): void;
  /** Closes what is still open. */
  close(): void;
}

/** All bodies being read together; above it new ones are answered 503. Keeps memory bounded under a flood. */
const bodyBytesInFlightMax = 512 * 1024 * 1024;
/** What is read past the limit, and thrown away, so that an honest sender gets to read its refusal. */
const discardedBytesMax = 32 * 1024 * 1024;
const headersBytesMax = 32 * 1024;
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
 * What an app can do beyond its typings: hand the connections that it accepts to another app. So a renewed
 * certificate takes over without a moment in which nobody listens, and open connections stay where they are.
 * (Two apps that listen on one port, and the old one closed, loses what waits in its queue.)
 */
interface App extends TemplatedApp {
  getDescriptor(): unknown;
  addChildAppDescriptor(descriptor: unknown): void;
  removeChildAppDescriptor(descriptor: unknown): void;
}
const methods = new Set(["GET", "POST", "PUT", "PATCH", "DELETE"]);
const requestIdPattern = /^[\x21-\x7e]{1,128}$/;

/** Listens; throws `ConfigurationError` where the port is taken. */
export async function startIngress(options: IngressOptions): Promise<Ingress> {
  setTransportLimits({ headersBytesMax });
  const uws = (await import("uWebSockets.js")).default;
  const { handlers } = options;
  const open = new Set<OpenRequest>();
  const inFlight = { bytes: 0 };
  const { tls } = options;
  const makeApp = () => {
    const app = tls === null ? uws.App() : uws.SSLApp(tlsOptions(tls));
    app.get("/healthz", (response) => sendPlain(response, options, handlers.isHealthy() ? 200 : 503));
    app.get("/readyz", (response) => sendPlain(response, options, handlers.isReady() ? 200 : 503));
    app.any("/trigger/*", (response, request) => receive(response, request, options, open, inFlight));
    app.any("/*", (response, request) => {
      const requestId = newId();
      const method = request.getCaseSensitiveMethod();
      const remoteAddress = options.senderAddress(peerOf(response), headerValue(request, "x-forwarded-for"));
      handlers.onRefused({ method, token: "", remoteAddress, requestId }, "ENDPOINT_NOT_FOUND");
      send(response, options, refusal("ENDPOINT_NOT_FOUND", requestId));
    });
    return app as App;
  };
  const app = makeApp();
  const socket = await new Promise<us_listen_socket | false>((resolve) => {
    // Without the option a second process could take the same port unseen. The typings lack this overload.
    (app.listen as unknown as ListenExclusively).call(
      app,
      options.host,
      options.port,
      listenExclusivePort,
      resolve,
    );
  });
  if (socket === false) {
    throw new ConfigurationError(
      `The data plane can't listen on ${options.host}:${options.port}: the port is in use or not allowed. Set SWITCHYARD_INGRESS_PORT or SWITCHYARD_HOST.`,
    );
  }
  const sweeper = setInterval(() => refuseSlow(open, options), Math.min(1000, options.requestTimeoutMs));
  sweeper.unref();
  let listening = true;
  const stopListening = () => {
    if (listening) uws.us_listen_socket_close(socket);
    listening = false;
  };
  /** The app that new connections are handed to; null: the one that accepts them. */
  let renewed: App | null = null;
  const replaced = new Set<App>();
  return {
    port: uws.us_socket_local_port(socket),
    openRequests: () => open.size,
    renewCertificate() {
      const next = makeApp();
      app.addChildAppDescriptor(next.getDescriptor());
      const last = renewed;
      renewed = next;
      if (last === null) return;
      app.removeChildAppDescriptor(last.getDescriptor());
      replaced.add(last);
      const timer = setTimeout(() => {
        replaced.delete(last);
        last.close();
      }, replacedAppMs);
      timer.unref();
    },
    stopListening,
    close() {
      stopListening();
      clearInterval(sweeper);
      for (const each of [app, ...(renewed === null ? [] : [renewed]), ...replaced]) each.close();
      replaced.clear();
    },
  };
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
  return { status, headers, body: errorBody(code, requestId, executionId) };
}

interface OpenRequest {
  incoming: IncomingRequest;
  response: HttpResponse;
  chunks: Buffer[];
  bytes: number;
  /** lingering: refused in the middle of its body; what still comes is thrown away so that the refusal is read. */
  state: "reading" | "lingering" | "handling" | "done";
  /** Decided before the body was read whole; answered after it, or the sender would fail at its own sending. */
  refusal: ErrorCode | null;
  /** Lets go of what it holds; it is answered or gone. */
  finish(): void;
}

function receive(
  response: HttpResponse,
  request: HttpRequest,
  options: IngressOptions,
  open: Set<OpenRequest>,
  inFlight: { bytes: number },
): void {
  const { handlers, bodyBytesMax } = options;
  const incoming = readHead(response, request, options);
  let heldBytes = 0;
  const release = () => {
    inFlight.bytes -= heldBytes;
    heldBytes = 0;
    own.chunks = [];
  };
  const finish = () => {
    release();
    own.state = "done";
    open.delete(own);
  };
  const own: OpenRequest = {
    incoming,
    response,
    chunks: [],
    bytes: 0,
    state: "reading",
    refusal: null,
    finish,
  };
  response.onAborted(finish);
  open.add(own);
  const declared = declaredLength(incoming.headers);
  if (!methods.has(incoming.method)) own.refusal = "METHOD_NOT_ALLOWED";
  else if (declared > bodyBytesMax) own.refusal = "BODY_TOO_LARGE";
  else if (inFlight.bytes > bodyBytesInFlightMax) own.refusal = "JOURNAL_FULL";
  else own.refusal = handlers.refuseEarly(incoming);

  const refuse = (code: ErrorCode) => {
    finish();
    handlers.onRefused(incoming, code);
    send(response, options, refusal(code, incoming.requestId), { isHead: incoming.method === "HEAD" });
  };
  const linger = (code: ErrorCode) => {
    release();
    own.state = "lingering";
    handlers.onRefused(incoming, code);
    sendHead(response, options, refusal(code, incoming.requestId));
  };
  const isHopeless = declared > bodyBytesMax + discardedBytesMax;
  if (own.refusal !== null && isHopeless) linger(own.refusal);

  response.onData((chunk, isLast) => {
    if (own.state === "lingering" && isLast) {
      finish();
      response.end();
    }
    if (own.state !== "reading") return;
    own.bytes += chunk.byteLength;
    if (own.refusal === null && own.bytes > bodyBytesMax) {
      own.refusal = "BODY_TOO_LARGE";
      release();
    }
    if (own.refusal !== null) {
      if (isLast) refuse(own.refusal);
      else if (own.bytes > bodyBytesMax + discardedBytesMax) linger(own.refusal);
      return;
    }
    // The chunk's memory is taken back when this returns, so it is copied.
    if (chunk.byteLength > 0) {
      own.chunks.push(Buffer.from(chunk.slice(0)));
      heldBytes += chunk.byteLength;
      inFlight.bytes += chunk.byteLength;
    }
    if (!isLast) return;
    own.state = "handling";
    incoming.body = own.chunks.length === 1 ? own.chunks[0]! : Buffer.concat(own.chunks);
    release();
    void handlers.handle(incoming).then((answer) => {
      if (own.state === "done") return;
      finish();
      send(response, options, answer);
    });
  });
}

function readHead(
  response: HttpResponse,
  request: HttpRequest,
  { senderAddress }: IngressOptions,
): IncomingRequest {
  const path = request.getUrl().slice("/trigger/".length);
  const slash = path.indexOf("/");
  const headers: [string, string][] = [];
  request.forEach((name, value) => {
    headers.push([name, value]);
  });
  const given = request.getHeader("x-request-id");
  return {
    method: request.getCaseSensitiveMethod().toUpperCase(),
    token: slash < 0 ? path : path.slice(0, slash),
    pathFragment: slash < 0 ? "" : path.slice(slash),
    // Undefined where the URL has no "?", whatever its type says.
    query: request.getQuery() ?? "",
    headers,
    remoteAddress: senderAddress(peerOf(response), headerValue(request, "x-forwarded-for")),
    body: Buffer.alloc(0),
    requestId: requestIdPattern.test(given) ? given : newId(),
    receivedAtMs: Date.now(),
  };
}

/** The length that Content-Length names; 0 where there is no body; -1 for a chunked one. */
function declaredLength(headers: [string, string][]): number {
  for (const [name, value] of headers) {
    if (name === "content-length") return Number(value);
    if (name === "transfer-encoding") return -1;
  }
  return 0;
}

function refuseSlow(open: Set<OpenRequest>, options: IngressOptions): void {
  const latest = Date.now() - options.requestTimeoutMs;
  for (const own of open) {
    if (own.incoming.receivedAtMs > latest) continue;
    if (own.state === "lingering") own.response.close();
    if (own.state !== "reading") continue;
    const code = own.refusal ?? "REQUEST_TIMEOUT";
    own.finish();
    options.handlers.onRefused(own.incoming, code);
    send(own.response, options, refusal(code, own.incoming.requestId), { closeConnection: true });
  }
}

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
function sendHead(response: HttpResponse, options: IngressOptions, answer: Answer): void {
  response.cork(() => {
    writeHead(response, options, answer);
    response.write(answer.body);
  });
}

function send(
  response: HttpResponse,
  options: IngressOptions,
  answer: Answer,
  { closeConnection = false, isHead = false } = {},
): void {
  response.cork(() => {
    writeHead(response, options, answer);
    if (isHead) response.endWithoutBody(Buffer.byteLength(answer.body), closeConnection);
    else response.end(answer.body, closeConnection);
  });
}

function writeHead(response: HttpResponse, options: IngressOptions, { status, headers }: Answer): void {
  response.writeStatus(`${status} ${STATUS_CODES[status] ?? "Unknown"}`);
  writeSecurityHeaders(response, options);
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

function sendPlain(response: HttpResponse, options: IngressOptions, status: 200 | 503): void {
  response.writeStatus(`${status} ${STATUS_CODES[status]}`);
  writeSecurityHeaders(response, options);
  response.writeHeader("content-type", "application/json");
  response.end(JSON.stringify({ status: status === 200 ? "ok" : "unavailable" }));
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
