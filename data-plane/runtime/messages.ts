/**
 * Everything that the main thread and a run thread say to each other. A thread gets its work as plain data
 * (secrets already unsealed: the master key stays outside) and answers with plain data.
 */
import type { ActionReference, Flow } from "../../shared/definition.ts";
import type { ExecutionErrorCode } from "../../shared/errors.ts";
import type {
  ExecutionPart,
  LogReport,
  SectionReport,
  StepReport,
  StoredRequest,
} from "../../shared/reports.ts";

/** A private component's package, unpacked. */
export interface BundlePlace {
  digest: string;
  folder: string;
}

/** What a flow's own answer to the webhook may say. */
export interface HttpResponse {
  statusCode: number;
  contentType?: string;
  headers?: Record<string, string>;
  body?: string;
}

/** Attributes as flow code sees them; every id is a node id, or "" where there is none. */
export interface RunAttributes {
  executionId: string;
  startedAt: string;
  invokeUrl: string;
  webhookUrls: Record<string, string>;
  webhookApiKeys: Record<string, string[]>;
  customer: { id: string; externalId: string; name: string };
  instance: { id: string; name: string };
  integration: { id: string; name: string; versionSequenceId: string; externalVersion: string };
  user: { id: string; email: string; name: string; externalId: string };
  flow: { id: string; name: string; stableId: string };
}

export interface RunWork {
  kind: "run";
  part: ExecutionPart;
  flow: Flow;
  isCodeNative: boolean;
  /** The version's private components by key. */
  bundles: Record<string, BundlePlace>;
  attributes: RunAttributes;
  /** JSON of the config variables; null for a run that is bound to no customer, which may not read any. */
  configVarsJson: string | null;
  /** The body stays base64 until the thread decodes it: a string is copied once, and decoded off the main thread. */
  request: StoredRequest;
  isDebug: boolean;
  firstSequence: number;
  /** False where nobody reads the last step's return. */
  needsResult: boolean;
}

/** Load a version's components, and look for what its steps call. */
export interface PrepareWork {
  kind: "prepare";
  bundles: Record<string, BundlePlace>;
  steps: { flowName: string; isTrigger: boolean; action: ActionReference }[];
}

export type Work = RunWork | PrepareWork;

export interface Reports {
  logs: LogReport[];
  steps: StepReport[];
  sections: SectionReport[];
}

export interface RunResult {
  /** Structured-cloneable, or undefined. Binary data is a Uint8Array. */
  data: unknown;
  statusCode?: number;
  headers?: Record<string, string>;
  contentType?: string;
}

export type TriggerOutcome = { ok: true; response: HttpResponse | null } | { ok: false; message: string };

export interface WorkEnd {
  status: "SUCCEEDED" | "FAILED";
  errorCode: ExecutionErrorCode | null;
  error: string | null;
  endedAtMs: number;
  result: RunResult | null;
  reports: Reports;
  /** How the trigger step ended, where no earlier message told it. */
  trigger: TriggerOutcome | null;
}

export type ToThread =
  | { kind: "start"; id: number; work: Work }
  /** End a run that is out of time: its outcome is sent at once, whatever its code goes on doing. */
  | { kind: "stop"; id: number; errorCode: ExecutionErrorCode; error: string };

export type FromThread =
  | { kind: "ready" }
  | { kind: "progress"; id: number; reports: Reports }
  | { kind: "trigger"; id: number; outcome: TriggerOutcome; reports: Reports }
  | { kind: "end"; id: number; end: WorkEnd }
  /** What was written outside of any run that still goes on. */
  | { kind: "output"; text: string };

export const noReports = (): Reports => ({ logs: [], steps: [], sections: [] });

export interface ThreadStart {
  port: import("node:worker_threads").MessagePort;
  shared: SharedArrayBuffer;
  beatIntervalMs: number;
  progressIntervalMs: number;
  answerBytesMax: number;
  memoryMb: number;
}
