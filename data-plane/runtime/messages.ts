/**
 * Everything that the main thread and a run thread say to each other. A thread gets its work as plain data
 * (secrets already unsealed: the master key stays outside) and answers with plain data. What is the same for
 * many runs is sent once, as code and context, and named by number; runs come in batches of bytes (runBatch.ts).
 */
import type { DataSourceAttributes } from "../../shared/commands.ts";
import type { ActionReference, Flow, InputValue } from "../../shared/definition.ts";
import type { ExecutionErrorCode } from "../../shared/errors.ts";
import type { OutboundSettings } from "../../shared/outbound.ts";
import type { ExecutionPart, StoredRequest } from "../../shared/reports.ts";
import type { PartReference } from "../../shared/requiredConfigVars.ts";

/** A private component's package, unpacked. */
export interface BundlePlace {
  digest: string;
  folder: string;
  /** Where its modules are not shared: whose they are, the instance's id. */
  owner?: string;
}

/** What a flow's own answer to the webhook may say. */
export interface HttpResponse {
  statusCode: number;
  contentType?: string;
  headers?: Record<string, string>;
  body?: string;
}

/** Attributes as flow code sees them; every id is a node id, or "" where there is none. */
export interface RunAttributes extends ContextAttributes {
  executionId: string;
  startedAt: string;
  invokeUrl: string;
}

/** Those that all runs of a context have. */
export interface ContextAttributes {
  webhookUrls: Record<string, string>;
  webhookApiKeys: Record<string, string[]>;
  customer: { id: string; externalId: string; name: string };
  instance: { id: string; name: string };
  integration: { id: string; name: string; versionSequenceId: string; externalVersion: string };
  user: { id: string; email: string; name: string; externalId: string };
  flow: { id: string; name: string; stableId: string };
}

/** A flow of a version, whoever it runs for. */
export interface RunCode {
  flow: Flow;
  isCodeNative: boolean;
  /** The version's private components by key. */
  bundles: Record<string, BundlePlace>;
  /** The schemas of the version's flows, by the flow's name; null where there are none. */
  flowSchemas: Record<string, Record<string, unknown>> | null;
}

/** What the runs of one flow of one instance have in common, as JSON in a `context` message. */
export interface ContextData {
  part: ExecutionPart;
  /** What webhook URLs start with. */
  ingressUrl: string;
  attributes: ContextAttributes;
  /** JSON of the config variables; null for a run that is bound to no customer, which may not read any. */
  configVarsJson: string | null;
}

/** States as they travel (`packState`), by the name that flow code knows them by; those that are empty are left out. */
export interface StateTexts {
  instanceState?: string;
  crossFlowState?: string;
  executionState?: string;
  integrationState?: string;
}

/** What of a journaled entry's meta the thread reads. */
export interface RunMeta {
  id: string;
  /** What the run begins with; undefined where that is nothing. */
  states?: StateTexts;
  /** W3C trace context of the run; undefined where runs are not traced. */
  traceparent?: string;
  isDebug: boolean;
  request: Omit<StoredRequest, "body">;
}

/** Load a version's components, and look for what its steps call. */
export interface PrepareWork {
  bundles: Record<string, BundlePlace>;
  steps: { flowName: string; isTrigger: boolean; action: ActionReference }[];
  /** What to run once they are loaded. */
  dataSource?: DataSourceWork | undefined;
}

/** A data source to call: its `{result, supplementalData}` is the data of the work's result. */
export interface DataSourceWork {
  dataSource: PartReference;
  inputs: Record<string, InputValue>;
  configVars: Record<string, unknown>;
  attributes: DataSourceAttributes;
}

/**
 * What a run wrote since it was last told, as the JSON texts of list members, joined with commas: they go into
 * the event's JSON as they are.
 */
export interface ReportTexts {
  logs: string;
  steps: string;
  sections: string;
  /** Where logs and steps are numbered on. */
  nextSequence: number;
  /** How many sections there were in all. */
  sectionCount: number;
}

export interface RunResult {
  /** Structured-cloneable, or undefined. Binary data is a Uint8Array. */
  data: unknown;
  statusCode?: number;
  headers?: Record<string, string>;
  contentType?: string;
  /** Too large for an answer: it was written to a file of so many bytes, or could not be (null). */
  stored?: { bytes: number } | null;
}

/** `uniqueRequestId`: where the flow's retries have one. */
export type TriggerOutcome =
  | { ok: true; response: HttpResponse | null; uniqueRequestId?: string }
  | { ok: false; message: string };

/** What a page of a batched trigger gave. */
export interface ResolvedBatches {
  /** JSON of each batch, as the flow's steps are to see it. */
  batchJsons: string[];
  /** JSON of what the trigger is to be called with for its next page; null after the last one. */
  paginationStateJson: string | null;
  /** Of the first sync, not of the trigger's own calls. */
  isDeploy: boolean;
  concurrentBatchLimit: number | null;
  branch: string | null;
}

/** What a run's trigger said beside its results. */
export interface TriggerFindings {
  hasPolledNoChanges?: true;
  batches?: ResolvedBatches;
}

export interface WorkEnd {
  status: "SUCCEEDED" | "FAILED";
  errorCode: ExecutionErrorCode | null;
  error: string | null;
  endedAtMs: number;
  result: RunResult | null;
  /** Null where nothing is known beyond what was told before. */
  reports: ReportTexts | null;
  /** JSON of the `StoredRequest`, for an event that carries it; null where it was not asked for. */
  requestJson: string | null;
  /** How the trigger step ended, where no earlier message told it. */
  trigger: TriggerOutcome | null;
  /** What a run that went well has changed. */
  states?: StateTexts | null;
  /** Of a run that went well; left out where there is nothing. */
  findings?: TriggerFindings;
}

/** What the runs to come need, and what none of them needs any more. */
export interface ContextChanges {
  forgottenCodes: number[];
  forgottenContexts: number[];
  codes: { number: number; code: RunCode }[];
  /** `json`: a `ContextData`. */
  contexts: { number: number; code: number; json: string }[];
}

export type ToThread =
  | ({ kind: "contexts" } & ContextChanges)
  | { kind: "runs"; batch: ArrayBuffer }
  | { kind: "prepare"; id: number; work: PrepareWork }
  /** End a run that is out of time: its outcome is sent at once, whatever its code goes on doing. */
  | { kind: "stop"; id: number; errorCode: ExecutionErrorCode; error: string };

export type FromThread =
  | { kind: "ready" }
  | { kind: "progress"; id: number; reports: ReportTexts }
  | { kind: "trigger"; id: number; outcome: TriggerOutcome; reports: ReportTexts }
  | { kind: "end"; id: number; end: WorkEnd }
  /** Runs that nobody waits for and that went well, many in one flat list: see `plainEndMembers`. */
  | { kind: "ends"; ends: PlainEnds }
  /** Its runs left so much open that another thread should take over. */
  | { kind: "worn" }
  /** What was written outside of any run that still goes on. */
  | { kind: "output"; text: string };

/** Of each end in turn: id, endedAtMs, nextSequence, sectionCount, logs, steps, sections, requestJson. */
export type PlainEnds = (number | string | null)[];
export const plainEndMembers = 8;

export interface ThreadStart {
  port: import("node:worker_threads").MessagePort;
  shared: SharedArrayBuffer;
  beatIntervalMs: number;
  progressIntervalMs: number;
  answerBytesMax: number;
  /** Where larger results are written to, up to this size. */
  storedResults: { folder: string; bytesMax: number };
  memoryMb: number;
  outbound: OutboundSettings;
}
