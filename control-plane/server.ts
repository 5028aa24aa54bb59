/** The control plane's HTTP: GraphQL, health, and the files that go in and out. */
import { randomUUID } from "node:crypto";
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from "node:http";
import { createServer as createTlsServer, type Server as TlsServer } from "node:https";
import { GraphQLError } from "graphql";
import { createYoga, maskError } from "graphql-yoga";
import { clientAddress, trustedProxyList } from "../shared/addresses.ts";
import { ConfigurationError, messageOf } from "../shared/errors.ts";
import { mayReadMetrics, metricsRefusal } from "../shared/metricsAccess.ts";
import { readTlsFiles, watchTlsFiles } from "../shared/tls.ts";
import { createApiEvents, newSeenRequest, type SeenRequest, seeOperations } from "./apiEvents.ts";
import { callerOf, createRateLimit, documentLimits, isPageRequest, requestProblem } from "./apiLimits.ts";
import { handleAuditExport } from "./auditExport.ts";
import type { Authenticator } from "./auth.ts";
import type { Services, Viewer } from "./context.ts";
import { callbackPath } from "./oauth/authorize.ts";
import { handleOAuthCallback } from "./oauth/callback.ts";
import { handleResults } from "./results.ts";
import { schema } from "./schema/index.ts";
import { handleBundle, handleMedia, handleUpload } from "./uploads.ts";

export interface ControlServer {
  /** The port that was taken, where 0 was asked for. */
  port: number;
  /** Stops accepting, lets what runs finish until the limit, then cuts it off. */
  stop(timeoutMs: number): Promise<void>;
}

const headerBytesMax = 32 * 1024;
const headersTimeoutMs = 15_000;
const requestTimeoutMs = 10 * 60_000;

interface ServerContext {
  viewer: Viewer | null;
  requestId: string;
  remoteAddress: string;
  seen: SeenRequest;
}

export async function startServer(services: Services, authenticator: Authenticator): Promise<ControlServer> {
  let isDraining = false;
  const { log, config } = services;
  const noteRequest = createApiEvents(config, log, services.metrics);
  const rateLimit = createRateLimit(config.apiRequestsPerSecond);
  const yoga = createYoga<ServerContext, Services>({
    schema,
    graphqlEndpoint: "/api",
    landingPage: false,
    graphiql: { title: "Switchyard", defaultQuery: "query { authenticatedUser { name org { name } } }" },
    // The page with everything in it, since it must also work where there is no internet; 9 MB, read when asked for.
    renderGraphiQL: async (options) =>
      (await import("@graphql-yoga/render-graphiql")).renderGraphiQL(options),
    logging: {
      debug: (...args) => log.debug(args.map(String).join(" ")),
      info: (...args) => log.info(args.map(String).join(" ")),
      warn: (...args) => log.warn(args.map(String).join(" ")),
      error: () => {},
    },
    multipart: false,
    // Each caller has a limit of its own, by Content-Length, which must be there: see `apiLimits.ts`.
    maxRequestBodySize: false,
    // Answered here, for all of the API's answers alike.
    cors: false,
    plugins: [documentLimits(config), seeOperations()],
    context: () => services,
    maskedErrors: {
      maskError: (error, message, isDev) => {
        const original = error instanceof GraphQLError ? error.originalError : error;
        if (original === undefined || isPublicError(original)) return error as Error;
        log.error({ err: original }, "a GraphQL operation failed");
        return maskError(error, message, isDev);
      },
    },
  });

  const trustedProxies = trustedProxyList(services.config.trustedProxies);
  const addressOf = ({ socket, headers }: IncomingMessage): string =>
    clientAddress(
      socket.remoteAddress ?? "",
      [headers["x-forwarded-for"]].flat().join(",") || undefined,
      trustedProxies,
    );

  const originOf = (request: IncomingMessage) => ({
    remoteAddress: addressOf(request),
    requestId: requestIdOf(request),
  });

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
    if (path === "/healthz") return sendJson(response, 200, { status: "ok" });
    if (path === "/readyz") return ready(response);
    if (path === "/metrics") return metrics(request, response);
    if (path === "/api") return api(request, response);
    if (path === "/audit.jsonl") {
      const viewer = await authenticator.viewer(request.headers.authorization, originOf(request));
      return handleAuditExport(services, viewer, request, response);
    }
    if (path.startsWith("/uploads/")) return handleUpload(services, request, response);
    if (path.startsWith("/results/") || path.startsWith("/payloads/")) {
      return handleResults(services.store, request, response);
    }
    if (path === callbackPath) return handleOAuthCallback(services, originOf(request), request, response);
    if (request.method !== "GET" && request.method !== "HEAD") {
      return sendJson(response, 405, { error: { message: "Use GET." } });
    }
    if (path.startsWith("/media/")) return handleMedia(services, request, response);
    if (path.startsWith("/bundles/")) {
      const viewer = await authenticator.viewer(request.headers.authorization, originOf(request));
      if (viewer === null || viewer === "refused" || viewer.role !== "DATA_PLANE") {
        return sendJson(response, 401, { error: { message: "A data plane's token is required." } });
      }
      return handleBundle(services, request, response);
    }
    sendJson(response, 404, { error: { message: "There is nothing at this address. GraphQL is at /api." } });
  };

  const ready = async (response: ServerResponse): Promise<void> => {
    if (isDraining) return sendJson(response, 503, { status: "draining" });
    // Reads the store: a plane that can't is not ready.
    await services.feed.state();
    sendJson(response, 200, { status: "ready", liveDataPlanes: services.feed.liveDataPlanes().length });
  };

  const metrics = async ({ socket, headers }: IncomingMessage, response: ServerResponse): Promise<void> => {
    const who = {
      peer: socket.remoteAddress ?? "",
      forwardedFor: [headers["x-forwarded-for"]].flat()[0],
      authorization: headers.authorization,
    };
    if (!mayReadMetrics(who, config.metricsToken)) {
      return sendJson(response, 401, { error: { message: metricsRefusal } });
    }
    const { contentType } = services.metrics;
    const text = await services.metrics.text();
    response.writeHead(200, { "content-type": contentType }).end(text);
  };

  const api = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const startMs = performance.now();
    const { requestId, remoteAddress } = originOf(request);
    const seen = newSeenRequest();
    let viewer: Viewer | null = null;
    response.setHeader("x-request-id", requestId);
    response.once("close", () => {
      const status = response.writableFinished ? response.statusCode : null;
      noteRequest({ seen, requestId, viewer, status, durationMs: performance.now() - startMs });
    });
    // A token is never sent by a browser on its own, so a page of any origin may use one that it was given.
    response.setHeader("access-control-allow-origin", "*");
    response.setHeader("access-control-expose-headers", "x-request-id");
    if (request.method === "OPTIONS") return preflight(response);
    const signedIn = await authenticator.viewer(request.headers.authorization, { remoteAddress, requestId });
    viewer = signedIn === "refused" ? null : signedIn;
    const seconds =
      viewer?.role === "DATA_PLANE" ? 0 : rateLimit.secondsToWait(callerOf(viewer, remoteAddress));
    if (seconds > 0) {
      response.setHeader("retry-after", String(seconds));
      return sendErrors(response, 429, "Too many requests: wait before the next one.", "TOO_MANY_REQUESTS");
    }
    if (signedIn === "refused") {
      await services.audit.failedSignIn({ remoteAddress, requestId });
      return sendErrors(response, 401, "This token is not valid.", "UNAUTHENTICATED");
    }
    const problem = requestProblem(request, viewer);
    if (problem !== null) return sendErrors(response, problem.status, problem.message, "BAD_REQUEST");
    if (viewer === null && !isPageRequest(request) && config.introspection !== "everyone") {
      const message = "Sign in first: send a token in the Authorization header.";
      return sendErrors(response, 401, message, "UNAUTHENTICATED");
    }
    await yoga(request, response, { viewer, requestId, remoteAddress, seen });
  };

  const { server, stopWatching } = makeServer(
    services,
    { maxHeaderSize: headerBytesMax, headersTimeout: headersTimeoutMs, requestTimeout: requestTimeoutMs },
    (request, response) => {
      response.setHeader("x-content-type-options", "nosniff");
      if (config.controlTls !== null) response.setHeader("strict-transport-security", "max-age=31536000");
      answer(request, response).catch((error: unknown) => {
        if (!request.destroyed) log.error({ err: error, path: request.url }, "a request failed");
        if (response.headersSent) response.destroy();
        else sendJson(response, 500, { error: { message: "Something went wrong on our side." } });
      });
    },
  );
  const port = await listen(server, services.config.controlPort, services.config.host);
  return {
    port,
    async stop(timeoutMs) {
      isDraining = true;
      stopWatching();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      const timer = setTimeout(() => server.closeAllConnections(), timeoutMs);
      await closed;
      clearTimeout(timer);
      await yoga.dispose();
    },
  };
}

/** What the caller calls its request, where that is fit for a header and a log; else a new id. */
function requestIdOf({ headers }: IncomingMessage): string {
  const given = headers["x-request-id"];
  return typeof given === "string" && /^[\w.:-]{1,128}$/.test(given) ? given : randomUUID();
}

/** What resolvers throw for the caller to read. By name: a GraphQL library may be loaded twice in one process. */
const isPublicError = (error: unknown): boolean =>
  error instanceof Error && (error.name === "GraphQLError" || "extensions" in error);

/** With TLS, new connections get the certificate that is in the files at the time. */
function makeServer(
  { config, log }: Services,
  options: ServerOptions,
  listener: RequestListener,
): { server: Server | TlsServer; stopWatching: () => void } {
  if (config.controlTls === null) return { server: createServer(options, listener), stopWatching: () => {} };
  const pair = readTlsFiles(config.controlTls);
  const server = createTlsServer({ ...options, ...pair }, listener);
  const stopWatching = watchTlsFiles(config.controlTls, pair, {
    renew: (next) => server.setSecureContext(next),
    warn: (message, reason) => log.warn({ reason }, message),
  });
  return { server, stopWatching };
}

function listen(server: Server | TlsServer, port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const reason =
        error.code === "EADDRINUSE"
          ? `Port ${port} of ${host} is in use: stop what runs there, or set SWITCHYARD_CONTROL_PORT.`
          : `The control plane can't listen on ${host}:${port}: ${messageOf(error)}.`;
      reject(new ConfigurationError(reason, { cause: error }));
    });
    server.listen(port, host, () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : port);
    });
  });
}

function preflight(response: ServerResponse): void {
  response
    .writeHead(204, {
      "access-control-allow-methods": "POST",
      "access-control-allow-headers": "authorization, content-type, x-request-id",
      "access-control-max-age": "86400",
    })
    .end();
}

function sendErrors(response: ServerResponse, status: number, message: string, code: string): void {
  sendJson(response, status, { errors: [{ message, extensions: { code } }] });
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
