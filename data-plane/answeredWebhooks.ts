/**
 * What became of webhooks, told by an ingress thread to the main thread, which logs and traces it (wideEvents.ts,
 * tracing.ts): in batches, and bounded. Facts are gathered only for those that are told of.
 */
import type { Config } from "../shared/config.ts";
import { flowByStableKey } from "../shared/definition.ts";
import type { ErrorCode } from "../shared/errors.ts";
import type { AnsweredRequest } from "./ingress.ts";
import type { EntryMeta } from "./journal/entry.ts";
import type { ReplicaReader } from "./replica/reader.ts";
import { endpointAt } from "./resolve.ts";
import { type SentTrace, sentTrace } from "./traceContext.ts";

export interface AnsweredWebhook {
  requestId: string;
  /** A uuid; null where the webhook became no execution. */
  executionId: string | null;
  method: string;
  endpointKind: EntryMeta["route"]["endpointKind"] | null;
  integrationId: string | null;
  instanceId: string | null;
  customerId: string | null;
  /** The flow that runs first. */
  flow: string | null;
  /** Null where the sender was gone. */
  status: number | null;
  errorCode: ErrorCode | null;
  /** As sent. */
  bodyBytes: number;
  receivedAtMs: number;
  /** Until the answer. */
  durationMs: number;
  sent: SentTrace | null;
  isLogged: boolean;
  /** Failed ones before this one that were not told of. */
  leftOut: number;
}

export interface AnsweredWebhooks {
  /** Null where nobody wants to know of any. */
  onAccepted: ((request: AnsweredRequest, isGone: boolean) => void) | null;
  onAnswered: ((request: AnsweredRequest, status: number | null, errorCode: ErrorCode | null) => void) | null;
  flush(): void;
  /** That were not told of, since too many were. */
  leftOut(): number;
}

export type EventSettings = Pick<Config, "logEvents" | "logSample" | "traceEndpoint">;

/** A flood of refusals must not become one of log lines. */
const failedEachSecondMax = 500;
const waitingMax = 5_000;
const handOnAfterMs = 20;

export function tellAnsweredWebhooks(options: {
  config: EventSettings;
  replica: ReplicaReader;
  send(webhooks: AnsweredWebhook[]): void;
}): AnsweredWebhooks {
  const { config, replica } = options;
  const isTraced = config.traceEndpoint !== undefined;
  let waiting: AnsweredWebhook[] = [];
  let second = 0;
  let failedThisSecond = 0;
  let leftOut = 0;
  let leftOutSince = 0;

  const isBounded = (isFailed: boolean): boolean => {
    const now = Math.floor(Date.now() / 1000);
    if (now !== second) {
      second = now;
      failedThisSecond = 0;
    }
    return waiting.length < waitingMax && (!isFailed || ++failedThisSecond <= failedEachSecondMax);
  };

  const flush = () => {
    if (waiting.length > 0) options.send(waiting);
    waiting = [];
  };

  const tell = (request: AnsweredRequest, status: number | null, errorCode: ErrorCode | null) => {
    const isFailed = errorCode !== null || (status ?? 0) >= 400;
    const executionId = request.known?.executionId ?? null;
    const isLogged = isEventLogged(config, isFailed, executionId);
    const sent = isTraced ? sentTrace(request.headers) : null;
    if (!isLogged && !(isTraced && sent?.parent.isSampled !== false)) return;
    if (!isBounded(isFailed)) {
      leftOut++;
      leftOutSince++;
      return;
    }
    if (waiting.length === 0) setTimeout(flush, handOnAfterMs).unref();
    waiting.push({
      requestId: request.requestId,
      executionId,
      method: request.method,
      ...placeOf(request, replica),
      status,
      errorCode,
      bodyBytes: request.bytes,
      receivedAtMs: request.receivedAtMs,
      durationMs: Math.max(0, Date.now() - request.receivedAtMs),
      sent,
      isLogged,
      leftOut: leftOutSince,
    });
    leftOutSince = 0;
  };
  const isOn = isTraced || config.logEvents !== "none";
  const isAll = isTraced || config.logEvents === "all";
  return {
    onAccepted: isAll ? (request, isGone) => tell(request, isGone ? null : 200, null) : null,
    onAnswered: isOn ? tell : null,
    flush,
    leftOut: () => leftOut,
  };
}

/** By the execution's id, so that of a sampled webhook both the webhook and its run are logged. */
export function isEventLogged(
  { logEvents, logSample }: Pick<Config, "logEvents" | "logSample">,
  isFailed: boolean,
  executionId: string | null,
): boolean {
  if (logEvents === "none" || isFailed) return logEvents !== "none";
  if (logEvents === "failed") return false;
  return executionId === null || Number.parseInt(executionId.slice(-8), 16) % logSample === 0;
}

type Place = Pick<AnsweredWebhook, "endpointKind" | "integrationId" | "instanceId" | "customerId" | "flow">;

const nowhere: Place = {
  endpointKind: null,
  integrationId: null,
  instanceId: null,
  customerId: null,
  flow: null,
};

function placeOf(request: AnsweredRequest, replica: ReplicaReader): Place {
  try {
    const metaJson = request.known?.metaJson ?? null;
    return metaJson === null ? refusedAt(request, replica) : acceptedAt(metaJson, replica);
  } catch {
    // The replica is damaged, which has been told of.
    return nowhere;
  }
}

function acceptedAt(metaJson: string, replica: ReplicaReader): Place {
  const { route } = JSON.parse(metaJson) as EntryMeta;
  const instance = route.instanceId === null ? null : replica.instance(route.instanceId);
  const source = replica.definition(route.definitionDigest);
  const flow = source === null ? undefined : flowByStableKey(source.definition, route.flowStableKey);
  return {
    endpointKind: route.endpointKind,
    integrationId: route.integrationId,
    instanceId: route.instanceId,
    customerId: instance?.entity.customer.id ?? null,
    flow: flow?.name ?? null,
  };
}

function refusedAt({ token, known }: AnsweredRequest, replica: ReplicaReader): Place {
  const endpoint = token === "" ? null : endpointAt(replica, token);
  if (endpoint === null) return nowhere;
  const instance = known?.instance ?? endpoint.instance;
  return {
    endpointKind: endpoint.kind,
    integrationId: endpoint.integration.entity.id,
    instanceId: instance?.entity.id ?? null,
    customerId: instance?.entity.customer.id ?? null,
    flow: (endpoint.flow ?? endpoint.preprocessFlow)?.name ?? null,
  };
}
