/**
 * A webhook's way from its bytes to its answer: endpoint, rate, key, encoding, admission, journal; then the
 * answer at once, or when what it waits for is there.
 */
import { RateLimiter } from "limiter";
import { LRUCache } from "lru-cache";
import type { Config } from "../shared/config.ts";
import { type ErrorCode, messageOf } from "../shared/errors.ts";
import { idFromNodeId, newId } from "../shared/ids.ts";
import type { InvokeType, StoredRequest } from "../shared/reports.ts";
import type { Pepper } from "../shared/secrets.ts";
import { type Admission, admit, headerOf, refuseByKey } from "./admission.ts";
import { acceptAndAnswer } from "./answers.ts";
import { hmacsOf } from "./authenticate.ts";
import { decodeBody, isPlain } from "./decode.ts";
import type { Executions } from "./executions.ts";
import { type Answer, type IncomingRequest, type RefusedRequest, refusal } from "./ingress.ts";
import { JournalFullError } from "./journal.ts";
import type { BodyParser } from "./largeBodies.ts";
import type { RejectionFacts, Rejections } from "./rejections.ts";
import type { CompiledInstance, Replica } from "./replica.ts";
import { type Endpoint, endpointAt } from "./resolve.ts";

export interface WebhooksOptions {
  config: Config;
  replica: Replica;
  parser: BodyParser;
  executions: Executions;
  rejections: Rejections;
  /** Null until the first feed page was applied. */
  pepper: () => Pepper | null;
  warn(message: string, reason: string): void;
}

export interface Webhooks {
  refuseEarly(token: string): ErrorCode | null;
  handle(incoming: IncomingRequest): Promise<Answer>;
  /** Notes what was refused before it was read whole. */
  noteRefused(request: RefusedRequest, code: ErrorCode): void;
  /** From now on webhooks are answered 503. */
  startDraining(): void;
}

const bucketsMax = 100_000;
const earlyReasons: Partial<Record<ErrorCode, string>> = {
  ENDPOINT_NOT_FOUND: "No endpoint has this token, or nothing is deployed there.",
  METHOD_NOT_ALLOWED: "The method is not one that webhooks are sent with.",
  BODY_TOO_LARGE: "The body is larger than the limit.",
  REQUEST_TIMEOUT: "The body did not arrive in time.",
  JOURNAL_FULL: "Too many bodies were being read at once.",
};

export function createWebhooks(options: WebhooksOptions): Webhooks {
  const { config, replica, rejections } = options;
  let isDraining = false;
  const takeToken = createBuckets(config.endpointRequestsPerSecond);

  const refuse = (
    incoming: IncomingRequest,
    endpoint: Endpoint | null,
    code: ErrorCode,
    reason: string,
    instance?: CompiledInstance | null,
  ): Answer => {
    rejections.note(factsOf(incoming, endpoint, code, reason, instance ?? null));
    return refusal(code, incoming.requestId);
  };

  const handle = async (incoming: IncomingRequest): Promise<Answer> => {
    if (isDraining) return refusal("DRAINING", incoming.requestId);
    const endpoint = endpointAt(replica, incoming.token);
    if (endpoint === null)
      return refuse(incoming, null, "ENDPOINT_NOT_FOUND", earlyReasons.ENDPOINT_NOT_FOUND!);
    if (!takeToken(incoming.token))
      return refuse(
        incoming,
        endpoint,
        "TOO_MANY_REQUESTS",
        `More than ${config.endpointRequestsPerSecond} requests a second.`,
      );
    const request = storedRequest(incoming, options.pepper()!);
    const byKey = refuseByKey(endpoint, request.keyHmacs, incoming.receivedAtMs);
    if (byKey !== null) return refuse(incoming, endpoint, byKey.code, byKey.reason, byKey.instance);

    let { body } = incoming;
    const encoding = headerOf(incoming.headers, "content-encoding");
    if (!isPlain(encoding)) {
      const decoded = await decodeBody(body, encoding!, config.bodyBytesMax);
      if (!decoded.ok) return refuse(incoming, endpoint, decoded.code, decoded.reason);
      body = decoded.body;
    }
    const admission = await admit(replica, options.parser, {
      executionId: newId(),
      endpoint,
      request,
      body,
      invokeType: invokeTypeOf(incoming, endpoint),
      isDebug:
        headerOf(incoming.headers, "prismatic-debug") === "true" ||
        endpoint.instance?.entity.globalDebug === true,
      replayOf: null,
      invokedBy: invokedBy(incoming),
      isEndpointTest: false,
      skipsKeys: false,
    });
    if (!admission.ok) return refuseAdmission(options, incoming, endpoint, request, body, admission);
    return acceptAndAnswer(options, incoming, admission.execution).answer;
  };

  return {
    refuseEarly(token) {
      if (isDraining) return "DRAINING";
      if (options.pepper() === null) return "NOT_READY";
      return endpointAt(replica, token) === null ? "ENDPOINT_NOT_FOUND" : null;
    },
    async handle(incoming) {
      try {
        return await handle(incoming);
      } catch (error) {
        if (error instanceof JournalFullError) return refusal("JOURNAL_FULL", incoming.requestId);
        options.warn("a webhook could not be handled", messageOf(error));
        return refusal("INTERNAL", incoming.requestId);
      }
    },
    noteRefused(request, code) {
      if (code === "DRAINING" || code === "NOT_READY") return;
      const endpoint = request.token === "" ? null : endpointAt(replica, request.token);
      rejections.note(
        factsOf(
          request,
          endpoint,
          code,
          earlyReasons[code] ?? "Refused before the body was read whole.",
          null,
        ),
      );
    },
    startDraining() {
      isDraining = true;
    },
  };
}

async function refuseAdmission(
  options: WebhooksOptions,
  incoming: IncomingRequest,
  endpoint: Endpoint,
  request: Omit<StoredRequest, "body">,
  body: Buffer,
  { code, reason, instance, isReplayable }: Extract<Admission, { ok: false }>,
): Promise<Answer> {
  const facts = factsOf(incoming, endpoint, code, reason, instance);
  if (isReplayable)
    await options.rejections.keep(facts, {
      ...request,
      body: body.length === 0 ? null : body.toString("base64"),
    });
  else options.rejections.note(facts);
  return refusal(code, incoming.requestId);
}

/** The request as it is journaled: of the Api-Key header only HMACs are left. */
export function storedRequest(incoming: IncomingRequest, pepper: Pepper): Omit<StoredRequest, "body"> {
  const keys = incoming.headers.filter(([name]) => name === "api-key").map(([, value]) => value);
  return {
    method: incoming.method,
    pathFragment: incoming.pathFragment,
    query: incoming.query,
    headers: incoming.headers.filter(([name]) => name !== "api-key"),
    keyHmacs: keys.length === 0 ? [] : hmacsOf(pepper, keys.join(",")),
    remoteAddress: incoming.remoteAddress,
    receivedAtMs: incoming.receivedAtMs,
    requestId: incoming.requestId,
    token: incoming.token,
  };
}

function invokeTypeOf(incoming: IncomingRequest, endpoint: Endpoint): InvokeType {
  if (endpoint.instance?.entity.isSystem) return "TEST";
  return headerOf(incoming.headers, "prismatic-invoke-type") === "Cross Flow" ? "CROSS_FLOW" : "WEBHOOK";
}

/** The execution whose flow code sent this one, where its headers say so. */
function invokedBy(incoming: IncomingRequest): string | null {
  if (headerOf(incoming.headers, "prismatic-invoke-type") !== "Cross Flow") return null;
  return idFromNodeId("InstanceExecutionResult", headerOf(incoming.headers, "prismatic-executionid") ?? "");
}

function factsOf(
  incoming: RefusedRequest,
  endpoint: Endpoint | null,
  code: ErrorCode,
  reason: string,
  instance: CompiledInstance | null,
): RejectionFacts {
  const owner = instance ?? endpoint?.instance ?? null;
  return {
    code,
    reason,
    requestId: incoming.requestId,
    method: incoming.method,
    remoteAddress: incoming.remoteAddress,
    token: incoming.token,
    integrationId: endpoint?.integration.entity.id ?? null,
    instanceId: owner?.entity.id ?? null,
    customerId: owner?.entity.customer.id ?? null,
  };
}

/** A token bucket an endpoint, a second's worth deep; with 0 a second there is no limit. */
function createBuckets(requestsPerSecond: number): (token: string) => boolean {
  if (requestsPerSecond === 0) return () => true;
  const buckets = new LRUCache<string, RateLimiter>({ max: bucketsMax });
  return (token) => {
    let bucket = buckets.get(token);
    if (bucket === undefined) {
      bucket = new RateLimiter({ tokensPerInterval: requestsPerSecond, interval: "second" });
      buckets.set(token, bucket);
    }
    return bucket.tryRemoveTokens(1);
  };
}
