/**
 * What the data plane reports to the control plane: executions as ordered events for (id, attempt), and
 * rejections. All are idempotent: the same event twice changes nothing, and the first finish wins.
 */
import type { ErrorCode, ExecutionErrorCode } from "./errors.ts";
import type { Invocation } from "./invocations.ts";
import type { StateWrite } from "./states.ts";

/** A request as the journal keeps it: whole, but for the Api-Key header, of which only HMACs are left. */
export interface StoredRequest {
  method: string;
  /** What follows the token in the path, with its slash, or "". */
  pathFragment: string;
  /** The raw query string without "?". */
  query: string;
  /** In the order and with the names as the transport gave them. */
  headers: [name: string, value: string][];
  /** The body after Content-Encoding was undone, base64; null where there was none. */
  body: string | null;
  /** HMACs of the API keys that were sent. */
  keyHmacs: string[];
  /** The sender's address. */
  remoteAddress: string;
  /** Milliseconds since the epoch. */
  receivedAtMs: number;
  requestId: string;
  /** The token of the URL it was sent to. */
  token: string;
  /** What it was started by; missing where that was the request itself. */
  invocation?: Invocation;
}

export const invokeTypes = [
  "WEBHOOK",
  "TEST",
  "TEST_ENDPOINT",
  "REPLAY",
  "CROSS_FLOW",
  "SCHEDULED",
  "DEPLOY_FLOW",
  "TEAR_DOWN_FLOW",
] as const;

export type InvokeType = (typeof invokeTypes)[number];

/** Where an execution was routed to; null members are not known (yet). */
export interface ExecutionTarget {
  integrationId: string;
  /** The version whose endpoint configuration was used, then that of the target instance. */
  versionId: string;
  versionNumber: number;
  instanceId: string | null;
  customerId: string | null;
  customerUserId: string | null;
  flowId: string | null;
  flowConfigId: string | null;
  flowStableKey: string | null;
  flowName: string | null;
  preprocessFlowName: string | null;
}

export type ExecutionPart = "PREPROCESS" | "FLOW";
export type LogSeverity = "TRACE" | "DEBUG" | "INFO" | "WARN" | "ERROR" | "METRIC";

export interface LogReport {
  part: ExecutionPart;
  /** Position in (execution, attempt): unique, ascending. */
  sequence: number;
  atMs: number;
  severity: LogSeverity;
  message: string;
  stepName: string | null;
  /** The log section it was written in, or null. */
  sectionId: string | null;
}

export interface SectionReport {
  sectionId: string;
  label: string;
  startedAtMs: number;
}

export interface StepReport {
  part: ExecutionPart;
  sequence: number;
  stepName: string;
  stepStableKey: string;
  /** The loops that the step ran in, outermost first, each with its iteration: `Pages[2]/Orders[0]`. */
  loopPath?: string;
  startedAtMs: number;
  endedAtMs: number;
  error: string | null;
  /** msgpack of `{data, contentType}` with secrets taken out, base64. */
  results: string;
  /** True where the results were too large or could not be serialized and a note stands for them. */
  isTruncated: boolean;
}

/**
 * `DUPLICATE`: not run, since one with the same id waited or ran in its flow's queue. `POLLED_NO_CHANGES`: its polling
 * trigger found nothing new.
 */
export type ResultType = "DUPLICATE" | "POLLED_NO_CHANGES";

export interface ExecutionFinish {
  status: "SUCCEEDED" | "FAILED";
  endedAtMs: number;
  errorCode: ExecutionErrorCode | null;
  /** For the organization's eyes: may name flows and customers. */
  error: string | null;
  /** The HTTP status that the sender got, or null where it was gone. */
  answerStatus: number | null;
  /** What kind of success it is, where it is not that its flow ran to its end: see `ResultType`. */
  resultType?: ResultType;
  /** Where it failed and is to be run again: the execution that will do it, and when. */
  retry?: { executionId: string; dueAtMs: number };
  /** The states that a run which succeeded has changed; left out where there are none. */
  states?: StateWrite[];
}

/** Of an execution of a flow that is retried, and of retries. */
export interface Retrying {
  /** The execution that failed first; null where this is it. */
  of: string | null;
  /** Which retry of it this is, from 1; 0 where it is none. */
  number: number;
  /** How many retries there may be. */
  most: number;
  /** What tells one request from another: a newer one with the same id cancels retries of older ones. Null where not known. */
  uniqueRequestId: string | null;
}

export interface ExecutionEvent {
  kind: "execution";
  /** The execution's uuid. */
  id: string;
  attempt: number;
  /** Order within (id, attempt), from 1. */
  sequence: number;
  invokeType: InvokeType;
  startedAtMs: number;
  isDebug: boolean;
  target: ExecutionTarget;
  /** The request, in the first event of an attempt. */
  request: StoredRequest | null;
  /** The execution that this one repeats, or null. */
  replayOf: string | null;
  /** The execution whose flow code invoked this one, or null. */
  invokedBy: string | null;
  retrying?: Retrying;
  /** It waits in its flow's queue: told before the others of its attempt, with the sequence 0. */
  isQueued?: boolean;
  steps: StepReport[];
  logs: LogReport[];
  sections: SectionReport[];
  finish: ExecutionFinish | null;
}

export interface RejectionEvent {
  kind: "rejection";
  id: string;
  atMs: number;
  code: ErrorCode;
  status: number;
  /** For the organization's eyes: what was looked for and what was there to find. */
  reason: string;
  requestId: string;
  integrationId: string | null;
  instanceId: string | null;
  customerId: string | null;
  method: string;
  remoteAddress: string;
  /** How many refusals of the same kind this one stands for, itself included (sampling under attack). */
  count: number;
  /** The whole request, for those that can be replayed (409 and 422); null else. */
  request: StoredRequest | null;
}

export type ReportEvent = ExecutionEvent | RejectionEvent;

export const reportKey = (event: ReportEvent): string =>
  event.kind === "execution" ? `${event.id}/${event.attempt}/${event.sequence}` : event.id;
