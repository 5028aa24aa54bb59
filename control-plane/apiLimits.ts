/** What one request to the API may ask for, and how many of them one caller may send. */

import type { IncomingMessage } from "node:http";
import {
  type ASTVisitor,
  GraphQLError,
  NoSchemaIntrospectionCustomRule,
  type ValidationContext,
} from "graphql";
import type { Plugin } from "graphql-yoga";
import { LRUCache } from "lru-cache";
import { senderNetwork } from "../shared/addresses.ts";
import type { Config } from "../shared/config.ts";
import { type Viewer, viewerUserId } from "./context.ts";

/** Depth, breadth and complexity stand in `schema/builder.ts`. */
const aliasesMax = 100;
const directivesMax = 100;
/** Of a document as text: the widest document of the prism CLI has a tenth of it. */
const documentLengthMax = 100_000;

const megabyte = 1024 * 1024;

/** Bytes of a request, by who sends it; nobody's is read before it is known who that is. */
function bodyBytesMax(viewer: Viewer | null): number {
  switch (viewer?.role) {
    // A batch of reports: step results, logs and states have limits of their own. A lone event may carry three states.
    case "DATA_PLANE":
      return 320 * megabyte;
    // Definitions, components and test payloads, as JSON inside JSON.
    case "ADMIN":
      return 32 * megabyte;
    case undefined:
      return megabyte / 16;
    default:
      return megabyte;
  }
}

export interface RateLimit {
  /** 0 where the request may go on, else the seconds to wait. */
  secondsToWait(caller: string): number;
}

/** Callers that are remembered; who is forgotten starts with a full bucket. */
const callersMax = 100_000;

/** A token bucket for each caller, twice as deep as it fills in a second. */
export function createRateLimit(perSecond: number): RateLimit {
  if (perSecond === 0) return { secondsToWait: () => 0 };
  const depth = perSecond * 2;
  const buckets = new LRUCache<string, { tokens: number; atMs: number }>({ max: callersMax });
  return {
    secondsToWait(caller) {
      const now = performance.now();
      const bucket = buckets.get(caller) ?? { tokens: depth, atMs: now };
      bucket.tokens = Math.min(depth, bucket.tokens + ((now - bucket.atMs) / 1000) * perSecond);
      bucket.atMs = now;
      buckets.set(caller, bucket);
      if (bucket.tokens < 1) return Math.max(1, Math.ceil((1 - bucket.tokens) / perSecond));
      bucket.tokens -= 1;
      return 0;
    },
  };
}

/** Who shares a bucket of requests: one token, one user of signed tokens, or one address without any. */
export function callerOf(viewer: Viewer | null, remoteAddress: string): string {
  if (viewer === null) return `address ${senderNetwork(remoteAddress)}`;
  return viewer.tokenId === null ? `user ${viewerUserId(viewer) ?? viewer.role}` : `token ${viewer.tokenId}`;
}

/** GraphiQL, which asks for a token itself. */
export const isPageRequest = ({ method, headers }: IncomingMessage): boolean =>
  method === "GET" && (headers.accept ?? "").includes("text/html");

/**
 * What is wrong with a request before its body is read: a body is read whole before it is understood, so its
 * size must be known and bounded. A form of another site can't send JSON, nor a GET change anything.
 */
export function requestProblem(
  request: IncomingMessage,
  viewer: Viewer | null,
): { status: number; message: string } | null {
  const { method, headers } = request;
  if (method === "GET") {
    const isStream = viewer?.role === "DATA_PLANE" && (headers.accept ?? "").includes("text/event-stream");
    return isStream || isPageRequest(request) ? null : { status: 405, message: "Use POST." };
  }
  if (method !== "POST") return { status: 405, message: "Use POST." };
  if (!/^application\/json\s*(;|$)/i.test(headers["content-type"] ?? "")) {
    return { status: 415, message: "Send application/json." };
  }
  const length = headers["content-length"];
  if (length === undefined) return { status: 411, message: "Send a Content-Length." };
  const bytesMax = bodyBytesMax(viewer);
  return Number(length) > bytesMax
    ? { status: 413, message: `A request may have ${bytesMax} bytes at most.` }
    : null;
}

/** The document's own limits, and who may ask for the schema. */
export function documentLimits(config: Config): Plugin<{ viewer: Viewer | null }> {
  return {
    onParams({ params }) {
      if (typeof params.query === "string" && params.query.length > documentLengthMax) {
        throw new GraphQLError(`A document may have ${documentLengthMax} characters at most.`, {
          extensions: { code: "BAD_REQUEST", http: { status: 413 } },
        });
      }
    },
    onValidate({ addValidationRule, context }) {
      addValidationRule(boundedDocument);
      const viewer = (context as { viewer: Viewer | null }).viewer;
      const isOpen =
        config.introspection === "everyone" || (config.introspection === "signed-in" && viewer !== null);
      if (!isOpen) addValidationRule(NoSchemaIntrospectionCustomRule);
    },
  };
}

/** One field can be asked for again and again under other names: complexity sees it, but only once it is counted. */
function boundedDocument(context: ValidationContext): ASTVisitor {
  let aliases = 0;
  let directives = 0;
  return {
    Field(node) {
      if (node.alias === undefined) return;
      aliases += 1;
      if (aliases === aliasesMax + 1) {
        context.reportError(new GraphQLError(`A document may have ${aliasesMax} aliases at most.`));
      }
    },
    Directive() {
      directives += 1;
      if (directives === directivesMax + 1) {
        context.reportError(new GraphQLError(`A document may have ${directivesMax} directives at most.`));
      }
    },
  };
}
