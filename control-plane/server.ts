/** The control plane's HTTP: GraphQL, health, and the files that go in and out. */
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { GraphQLError } from "graphql";
import { createYoga, maskError } from "graphql-yoga";
import { ConfigurationError, messageOf } from "../shared/errors.ts";
import type { Authenticator } from "./auth.ts";
import type { Services, Viewer } from "./context.ts";
import { handleResults } from "./results.ts";
import { schema } from "./schema/index.ts";
import { handleBundle, handleMedia, handleUpload } from "./uploads.ts";

export interface ControlServer {
  /** The port that was taken, where 0 was asked for. */
  port: number;
  /** Stops accepting, lets what runs finish until the limit, then cuts it off. */
  stop(timeoutMs: number): Promise<void>;
}

/** A batch of reports is the largest request: its step results and logs have limits of their own. */
const apiBytesMax = 64 * 1024 * 1024;
const headerBytesMax = 32 * 1024;
const headersTimeoutMs = 15_000;
const requestTimeoutMs = 10 * 60_000;

interface ServerContext {
  viewer: Viewer | null;
  requestId: string;
}

export async function startServer(services: Services, authenticator: Authenticator): Promise<ControlServer> {
  let isDraining = false;
  const { log } = services;
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

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
    if (path === "/healthz") return sendJson(response, 200, { status: "ok" });
    if (path === "/readyz") return ready(response);
    if (path === "/api") return api(request, response);
    if (path.startsWith("/uploads/")) return handleUpload(services, request, response);
    if (path.startsWith("/results/") || path.startsWith("/payloads/")) {
      return handleResults(services.store, request, response);
    }
    if (request.method !== "GET" && request.method !== "HEAD") {
      return sendJson(response, 405, { error: { message: "Use GET." } });
    }
    if (path.startsWith("/media/")) return handleMedia(services, request, response);
    if (path.startsWith("/bundles/")) {
      const viewer = await authenticator.viewer(request.headers.authorization);
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

  const api = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const requestId = randomUUID();
    response.setHeader("x-request-id", requestId);
    const problem = sizeProblem(request);
    if (problem !== null) return sendErrors(response, problem.status, problem.message, "BAD_REQUEST");
    const viewer = await authenticator.viewer(request.headers.authorization);
    if (viewer === "refused") {
      return sendErrors(response, 401, "This token is not valid.", "UNAUTHENTICATED");
    }
    await yoga(request, response, { viewer, requestId });
  };

  const server = createServer(
    { maxHeaderSize: headerBytesMax, headersTimeout: headersTimeoutMs, requestTimeout: requestTimeoutMs },
    (request, response) => {
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
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      const timer = setTimeout(() => server.closeAllConnections(), timeoutMs);
      await closed;
      clearTimeout(timer);
      await yoga.dispose();
    },
  };
}

/** What resolvers throw for the caller to read. By name: a GraphQL library may be loaded twice in one process. */
const isPublicError = (error: unknown): boolean =>
  error instanceof Error && (error.name === "GraphQLError" || "extensions" in error);

function listen(server: Server, port: number, host: string): Promise<number> {
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

/** A body is read whole before it is understood, so its size must be known and bounded first. */
function sizeProblem(request: IncomingMessage): { status: number; message: string } | null {
  if (request.method !== "POST") return null;
  const length = request.headers["content-length"];
  if (length === undefined) return { status: 411, message: "Send a Content-Length." };
  if (Number(length) > apiBytesMax) {
    return { status: 413, message: `A request may have ${apiBytesMax} bytes at most.` };
  }
  return null;
}

function sendErrors(response: ServerResponse, status: number, message: string, code: string): void {
  sendJson(response, status, { errors: [{ message, extensions: { code } }] });
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
