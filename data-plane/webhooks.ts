/**
 * A webhook's way from its bytes to its answer: endpoint, address, rate, key, encoding, admission, journal;
 * then the answer at once, or when the main thread sends it. Accepted without a detour, it is in the log's
 * batch before its handler returns; whatever needs more (an encoding, a large body, a reason to refuse it) goes
 * the long way, which says the same of what both can say.
 */
import { RateLimiter } from "limiter";
import { LRUCache } from "lru-cache";
import type { Config } from "../shared/config.ts";
import { type ErrorCode, messageOf } from "../shared/errors.ts";
import { executionNodeId, idFromNodeId, newId } from "../shared/ids.ts";
import type { InvokeType, StoredRequest } from "../shared/reports.ts";
import type { Pepper } from "../shared/secrets.ts";
import { type Admission, admit, headerOf, refuseByKey } from "./admission.ts";
import { admitAtOnce } from "./admitAtOnce.ts";
import { createKeyReader, type KeyReader } from "./authenticate.ts";
import { decodeBody, isPlain } from "./decode.ts";
import { type CompiledEndpoint, createEndpoints } from "./endpoints.ts";
import {
  type Answer,
  type IncomingRequest,
  type IngressHandlers,
  type RefusedRequest,
  type Replies,
  refusal,
} from "./ingress.ts";
import { type JournalBounds, weightOf } from "./journal/bounds.ts";
import { fairKeyOf } from "./journal/entry.ts";
import { JournalFullError } from "./journal/errors.ts";
import type { Log } from "./journal/log.ts";
import type { KeyChecks } from "./keyChecks.ts";
import type { NotedKeyUse } from "./keyUse.ts";
import type { BodyParser } from "./largeBodies.ts";
import type { RejectionFacts, Rejections } from "./rejections.ts";
import type { CompiledInstance } from "./replica/compiled.ts";
import { ReplicaDamagedError } from "./replica/file.ts";
import type { ReplicaReader } from "./replica/reader.ts";
import type { ReplicaState } from "./replica/state.ts";
import { type Endpoint, endpointAt } from "./resolve.ts";
import type { Staleness } from "./staleness.ts";

export interface WebhooksOptions {
  config: Pick<Config, "bodyBytesMax" | "endpointRequestsPerSecond" | "maxStalenessSeconds">;
  replica: ReplicaReader;
  parser: BodyParser;
  log: Log;
  bounds: JournalBounds;
  rejections: Rejections;
  keyChecks: KeyChecks;
  keyUse: NotedKeyUse;
  staleness: Staleness;
  /** Which answers are told of: requests then say what they turned out to be. */
  observed: "none" | "failed" | "all";
  warn(message: string, reason: string): void;
}

export interface Webhooks extends Pick<IngressHandlers, "refuseEarly" | "handle" | "onRefused"> {
  /** Takes up a new state of the replica, and the pepper: null until the first feed page was applied. */
  refresh(state: ReplicaState, pepper: Pepper | null): void;
  setPepper(pepper: Pepper | null): void;
  isReady(): boolean;
  /** Answers a request that waits. */
  answer(id: string, answer: Answer): void;
  /** From now on webhooks are answered 503. */
  startDraining(): void;
  stats(): { accepted: number; acceptedBytes: number; waitingForJournal: number };
}

const bucketsMax = 100_000;
/** Requests whose record is not on disk yet; above it new ones are answered 503 at once. */
const waitingForJournalMax = 20_000;
/** The log keeps no copy of a body that is longer: it must not change until it is on disk. */
const copiedBodyBytesMax = 256 * 1024;
const earlyReasons: Partial<Record<ErrorCode, string>> = {
  ENDPOINT_NOT_FOUND: "No endpoint has this token, or nothing is deployed there.",
  METHOD_NOT_ALLOWED: "The method is not one that webhooks are sent with.",
  BODY_TOO_LARGE: "The body is larger than the limit.",
  REQUEST_TIMEOUT: "The body did not arrive in time.",
  JOURNAL_FULL: "Too many bodies were being read, or records being written, at once.",
};

export function createWebhooks(options: WebhooksOptions): Webhooks {
  const { config, replica, rejections, log, bounds, keyUse, staleness, observed } = options;
  const endpoints = createEndpoints(replica);
  const takeToken = createBuckets(config.endpointRequestsPerSecond);
  /** Accepted and on disk, and answered when the main thread says how. */
  const waiting = new Map<string, { request: IncomingRequest; replies: Replies }>();
  let keyReader: KeyReader | null = null;
  let isDraining = false;
  let waitingForJournal = 0;
  let accepted = 0;
  let acceptedBytes = 0;

  /** Why no webhook at all can be taken now. */
  const unavailable = (): ErrorCode | null => {
    if (isDraining) return "DRAINING";
    if (keyReader === null) return "NOT_READY";
    if (staleness.isStale()) return "STALE";
    return waitingForJournal >= waitingForJournalMax ? "JOURNAL_FULL" : null;
  };

  const reasonOf = (code: ErrorCode, { remoteAddress }: RefusedRequest): string => {
    if (code === "ADDRESS_NOT_ALLOWED")
      return `The address ${remoteAddress} is not on the list of those that may post to this endpoint.`;
    if (code === "STALE") return staleReason(staleness.ageSeconds(), config.maxStalenessSeconds);
    return earlyReasons[code] ?? "Refused before the body was read whole.";
  };

  const refuseEarly = (request: RefusedRequest, endpoint: CompiledEndpoint | null): ErrorCode | null => {
    if (endpoint === null) return "ENDPOINT_NOT_FOUND";
    return endpoint.addresses?.includes(request.remoteAddress) === false ? "ADDRESS_NOT_ALLOWED" : null;
  };

  const onRefused = (request: RefusedRequest, code: ErrorCode) => {
    if (code === "DRAINING" || code === "NOT_READY") return;
    const endpoint = request.token === "" ? null : endpointAt(replica, request.token);
    rejections.note(factsOf(request, endpoint, code, reasonOf(code, request), null));
  };

  /** Journals the entry, and answers when it is on disk, or lets the answer wait. */
  const accept = (
    request: IncomingRequest,
    replies: Replies,
    entry: { id: string; fairKey: string; metaJson: string; isWaiting: boolean },
    body: Buffer,
  ) => {
    const { id, fairKey, metaJson, isWaiting } = entry;
    const bodyBytes = body.length;
    const weight = weightOf(metaJson.length, bodyBytes);
    if (!bounds.tryReserve(weight)) return replies.send(request, refusal("JOURNAL_FULL", request.requestId));
    // One that is answered at once does not fail any more.
    if (observed === "all" || (isWaiting && observed === "failed"))
      request.known = { executionId: id, metaJson, instance: null };
    log.appendEntry(
      {
        id,
        fairKey,
        isWaiting,
        generation: replica.generation,
        acceptedAtMs: request.receivedAtMs,
        metaJson,
        body: bodyBytes === 0 ? null : body,
      },
      (error) => {
        waitingForJournal--;
        if (error !== null) {
          bounds.release(1, weight);
          waiting.delete(id);
          request.known = null;
          replies.send(request, refusal("JOURNAL_FULL", request.requestId));
          return;
        }
        accepted++;
        acceptedBytes += bodyBytes;
        if (!isWaiting) replies.accept(request, executionNodeId(id));
      },
    );
    waitingForJournal++;
    if (isWaiting) waiting.set(id, { request, replies });
  };

  const handle = (request: IncomingRequest, replies: Replies) => {
    // Not asked before where the body came in one piece; and it may have taken long to read it.
    const code = unavailable();
    if (code !== null) {
      onRefused(request, code);
      return replies.send(request, refusal(code, request.requestId));
    }
    const endpoint = endpoints.at(request.token);
    const early = refuseEarly(request, endpoint);
    if (early !== null || endpoint === null) {
      const refused = early ?? "ENDPOINT_NOT_FOUND";
      onRefused(request, refused);
      return replies.send(request, refusal(refused, request.requestId));
    }
    if (!takeToken(request.token)) {
      const reason = `More than ${config.endpointRequestsPerSecond} requests a second.`;
      const full = endpointAt(replica, request.token);
      rejections.note(factsOf(request, full, "TOO_MANY_REQUESTS", reason, null));
      return replies.send(request, refusal("TOO_MANY_REQUESTS", request.requestId));
    }
    const keyHmacs = keyReader!.read(request.apiKey);
    const entry = admitAtOnce(endpoints, keyUse, endpoint, request, keyHmacs);
    if (entry !== null) {
      const { body } = request;
      accept(request, replies, entry, body.length > copiedBodyBytesMax ? Buffer.from(body) : body);
      return;
    }
    // The transport takes its memory back before this one's turn comes again.
    const body = Buffer.from(request.body);
    handleLong(request, replies, storedRequest(request, keyHmacs), body).catch((error: unknown) => {
      const code =
        error instanceof JournalFullError
          ? "JOURNAL_FULL"
          : guarded(() => {
              throw error;
            })!;
      replies.send(request, refusal(code, request.requestId));
    });
  };

  const handleLong = async (
    incoming: IncomingRequest,
    replies: Replies,
    request: Omit<StoredRequest, "body">,
    sent: Buffer,
  ): Promise<void> => {
    const { keyChecks } = options;
    let endpoint = endpointAt(replica, incoming.token);
    if (endpoint === null) return replies.send(incoming, refusal("ENDPOINT_NOT_FOUND", incoming.requestId));
    let body = sent;
    if (!isPlain(incoming.contentEncoding)) {
      // Nothing is unpacked for who may not come in.
      const byKey = refuseByKey({ endpoint, request, keyChecks });
      if (byKey !== null) return refuseAdmission(incoming, replies, endpoint, request, body, byKey);
      const decoded = await decodeBody(body, incoming.contentEncoding, config.bodyBytesMax);
      if (!decoded.ok) {
        rejections.note(factsOf(incoming, endpoint, decoded.code, decoded.reason, null));
        return replies.send(incoming, refusal(decoded.code, incoming.requestId));
      }
      body = decoded.body;
      endpoint = endpointAt(replica, incoming.token) ?? endpoint;
    }
    const admission = await admit(replica, options.parser, {
      executionId: newId(),
      endpoint,
      request,
      body,
      invokeType: invokeTypeOf(incoming, endpoint),
      isDebug: incoming.isDebug || endpoint.instance?.entity.globalDebug === true,
      replayOf: null,
      invokedBy: invokedBy(incoming),
      isEndpointTest: false,
      skipsKeys: false,
      keyChecks,
      hasSender: true,
    });
    if (!admission.ok) return refuseAdmission(incoming, replies, endpoint, request, body, admission);
    const { meta } = admission;
    const entry = {
      id: meta.id,
      fairKey: fairKeyOf(meta),
      metaJson: JSON.stringify(meta),
      isWaiting: meta.isWaiting,
    };
    accept(incoming, replies, entry, body);
  };

  const refuseAdmission = async (
    incoming: IncomingRequest,
    replies: Replies,
    endpoint: Endpoint,
    request: Omit<StoredRequest, "body">,
    body: Buffer,
    { code, reason, instance, isReplayable, retryAfter = null }: Extract<Admission, { ok: false }>,
  ): Promise<void> => {
    const facts = factsOf(incoming, endpoint, code, reason, instance);
    incoming.known = { executionId: null, metaJson: null, instance };
    if (isReplayable) await rejections.keep(facts, request, body);
    else rejections.note(facts);
    replies.send(incoming, refusal(code, incoming.requestId, { retryAfter }));
  };

  /** What the work refuses with, or what its failure comes to. */
  const guarded = (work: () => ErrorCode | null): ErrorCode | null => {
    try {
      return work();
    } catch (error) {
      // It has been told of, and a snapshot is on its way.
      if (error instanceof ReplicaDamagedError) return "NOT_READY";
      options.warn("a webhook could not be handled", messageOf(error));
      return "INTERNAL";
    }
  };

  const setPepper = (pepper: Pepper | null) => {
    keyReader = pepper === null ? null : createKeyReader(pepper);
  };
  return {
    refuseEarly: (request) =>
      guarded(() => unavailable() ?? refuseEarly(request, endpoints.at(request.token))),
    handle(request, replies) {
      const code = guarded(() => {
        handle(request, replies);
        return null;
      });
      if (code !== null) replies.send(request, refusal(code, request.requestId));
    },
    onRefused(request, code) {
      guarded(() => {
        onRefused(request, code);
        return null;
      });
    },
    refresh(state, pepper) {
      replica.refresh(state);
      endpoints.refresh(state.changed);
      setPepper(pepper);
    },
    setPepper,
    isReady: () => keyReader !== null && !staleness.isStale(),
    answer(id, answer) {
      const waits = waiting.get(id);
      waiting.delete(id);
      waits?.replies.send(waits.request, answer);
    },
    startDraining() {
      isDraining = true;
    },
    stats: () => ({ accepted, acceptedBytes, waitingForJournal }),
  };
}

/** The request as it is journaled: of the Api-Key header only HMACs are left. */
function storedRequest(incoming: IncomingRequest, keyHmacs: readonly string[]): Omit<StoredRequest, "body"> {
  return {
    method: incoming.method,
    pathFragment: incoming.pathFragment,
    query: incoming.query,
    headers: incoming.headers,
    keyHmacs: [...keyHmacs],
    remoteAddress: incoming.remoteAddress,
    receivedAtMs: incoming.receivedAtMs,
    requestId: incoming.requestId,
    token: incoming.token,
  };
}

const crossFlow = "Cross Flow";

function invokeTypeOf({ invokeType }: IncomingRequest, endpoint: Endpoint): InvokeType {
  if (endpoint.instance?.entity.isSystem) return "TEST";
  return invokeType === crossFlow ? "CROSS_FLOW" : "WEBHOOK";
}

/** The execution whose flow code sent this one, where its headers say so. */
function invokedBy({ invokeType, headers }: IncomingRequest): string | null {
  if (invokeType !== crossFlow) return null;
  return idFromNodeId("InstanceExecutionResult", headerOf(headers, "prismatic-executionid") ?? "");
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
