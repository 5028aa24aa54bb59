/**
 * What starts an execution where no request does. It stands in the execution's request, so that whatever runs the
 * request again (a crash, a retry, a replay) starts the same thing again.
 */

/** A trigger's functions for its instance's life, by the names that spectral's converted triggers have. */
export type HookName = "onInstanceDeploy" | "webhookCreate" | "webhookDelete" | "onInstanceDelete";

/** Flat, and texts where a builder's data is in it: data planes look for marks in its JSON. */
export type Invocation =
  /** The time of the schedule that it is for. */
  | { kind: "schedule"; tickAtMs: number }
  /** Calls one function of the trigger, and no further step. */
  | { kind: "hook"; hook: HookName; timeoutMs: number }
  /** The flow runs as its instance is deployed: `onDeployPerform` stands in for `perform` where the trigger has it. */
  | { kind: "deploy" }
  /** The flow runs as its instance is removed. */
  | { kind: "remove" }
  /** The trigger's next page; `rootId` is the execution of the first one. Pages count from 0. */
  | { kind: "page"; isDeploy: boolean; rootId: string; page: number; paginationStateJson: string }
  /** A part of what a page of the trigger gave: it is the body, and the trigger is not called. */
  | { kind: "batch"; isDeploy: boolean; rootId: string; page: number; index: number; branch: string | null };

/** What a flow is invoked with besides, where no sender has sent anything. */
export const emptyRequest = {
  method: "POST",
  pathFragment: "",
  query: "",
  headers: [],
  body: null,
  keyHmacs: [],
  remoteAddress: "",
};
