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
  | { kind: "remove" };

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
