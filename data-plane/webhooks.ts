/**
 * A webhook's way from its bytes to its answer: endpoint, address, rate, key, encoding, admission, journal;
 * then the answer at once, or when what it waits for is there.
 */
import { RateLimiter } from "limiter";
import { LRUCache } from "lru-cache";
import type { Config } from "../shared/config.ts";
import { type ErrorCode, messageOf } from "../shared/errors.ts";
import { idFromNodeId, newId } from "../shared/ids.ts";
import type { InvokeType, StoredRequest } from "../shared/reports.ts";
import type { Pepper } from "../shared/secrets.ts";
import { isAllowedAddress } from "./addresses.ts";
import { type Admission, admit, headerOf, refuseByKey } from "./admission.ts";
import { acceptAndAnswer } from "./answers.ts";
import type { KeyReader, SentKeys } from "./authenticate.ts";
import { decodeBody, isPlain } from "./decode.ts";
import type { Executions } from "./executions.ts";
import { type Answer, type IncomingRequest, type RefusedRequest, refusal } from "./ingress.ts";
import { JournalFullError } from "./journal.ts";
import type { KeyChecks } from "./keyChecks.ts";
import type { BodyParser } from "./largeBodies.ts";
import type { RejectionFacts, Rejections } from "./rejections.ts";
import type { CompiledInstance, Replica } from "./replica.ts";
import { type Endpoint, endpointAt } from "./resolve.ts";
import type { Staleness } from "./staleness.ts";

export interface WebhooksOptions {
  config: Config;
  replica: Replica;
  parser: BodyParser;
  executions: Executions;
  rejections: Rejections;
  keyReader: KeyReader;
  keyChecks: KeyChecks;
  staleness: Staleness;
  /** Null until the first feed page was applied. */
  pepper: () => Pepper | null;
  warn(message: string, reason: string): void;
}

export interface Webhooks {
  refuseEarly(request: RefusedRequest): ErrorCode | null;
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
  ): Answer => {
    rejections.note(factsOf(incoming, endpoint, code, reason, null));
    return refusal(code, incoming.requestId);
  };

  /** Why no webhook at all can be taken now. */
  const unavailable = (): ErrorCode | null => {
    if (isDraining) return "DRAINING";
    if (options.pepper() === null) return "NOT_READY";
    return options.staleness.isStale() ? "STALE" : null;
  };

  const reasonOf = (code: ErrorCode, { remoteAddress }: RefusedRequest): string => {
    if (code === "ADDRESS_NOT_ALLOWED")
      return `The address ${remoteAddress} is not on the list of those that may post to this endpoint.`;
    if (code === "STALE") return staleReason(options.staleness.ageSeconds(), config.maxStalenessSeconds);
    return earlyReasons[code] ?? "Refused before the body was read whole.";
  };

  const handle = async (incoming: IncomingRequest): Promise<Answer> => {
    const code = unavailable();
    if (code !== null) return refusal(code, incoming.requestId);
    const endpoint = endpointAt(replica, incoming.token);
    if (endpoint === null)
      return refuse(incoming, null, "ENDPOINT_NOT_FOUND", reasonOf("ENDPOINT_NOT_FOUND", incoming));
    if (!isAllowedAddress(endpoint, incoming.remoteAddress))
      return refuse(incoming, endpoint, "ADDRESS_NOT_ALLOWED", reasonOf("ADDRESS_NOT_ALLOWED", incoming));
    if (!takeToken(incoming.token))
      return refuse(
        incoming,
        endpoint,
        "TOO_MANY_REQUESTS",
        `More than ${config.endpointRequestsPerSecond} requests a second.`,
      );
    const keys = options.keyReader.read(options.pepper()!, keyHeader(incoming));
    const request = storedRequest(incoming, keys);
    let { body } = incoming;
    const encoding = headerOf(incoming.headers, "content-encoding");
    if (!isPlain(encoding)) {
      // Nothing is unpacked for who may not come in.
      const byKey = refuseByKey({ endpoint, request, keys, keyChecks: options.keyChecks });
      if (byKey !== null) return refuseAdmission(options, incoming, endpoint, request, body, byKey);
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
      keyChecks: options.keyChecks,
      keys,
    });
    if (!admission.ok) return refuseAdmission(options, incoming, endpoint, request, body, admission);
    return acceptAndAnswer(options, incoming, admission.execution).answer;
  };

  return {
    refuseEarly({ token, remoteAddress }) {
      const code = unavailable();
      if (code !== null) return code;
      const endpoint = endpointAt(replica, token);
      if (endpoint === null) return "ENDPOINT_NOT_FOUND";
      return isAllowedAddress(endpoint, remoteAddress) ? null : "ADDRESS_NOT_ALLOWED";
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
      rejections.note(factsOf(request, endpoint, code, reasonOf(code, request), null));
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
  { code, reason, instance, isReplayable, retryAfter = null }: Extract<Admission, { ok: false }>,
): Promise<Answer> {
  const facts = factsOf(incoming, endpoint, code, reason, instance);
  if (isReplayable)
    await options.rejections.keep(facts, {
      ...request,
      body: body.length === 0 ? null : body.toString("base64"),
    });
  else options.rejections.note(facts);
  return refusal(code, incoming.requestId, { retryAfter });
}

/** The Api-Key header's value; several headers count as one. */
function keyHeader({ headers }: IncomingRequest): string | undefined {
  let found: string | undefined;
  for (const [name, value] of headers) {
    if (name === "api-key") found = found === undefined ? value : `${found},${value}`;
  }
  return found;
}

/** The request as it is journaled: of the Api-Key header only HMACs are left. */
function storedRequest(incoming: IncomingRequest, keys: SentKeys): Omit<StoredRequest, "body"> {
  return {
    method: incoming.method,
    pathFragment: incoming.pathFragment,
    query: incoming.query,
    headers: incoming.headers.filter(([name]) => name !== "api-key"),
    keyHmacs: [...keys.hmacs],
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

function staleReason(ageSeconds: number, maxSeconds: number): string {
  const since = Number.isFinite(ageSeconds) ? `for ${Math.round(ageSeconds)} seconds` : "yet";
  return `The control plane was not heard of ${since}, and SWITCHYARD_MAX_STALENESS is ${maxSeconds}.`;
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
