/**
 * One run of one flow in this thread: its trigger step, then its further steps in order, each called as
 * spectral's own host calls it.
 */
import { toNodeId } from "../../shared/ids.ts";
import { sentTrace } from "../traceContext.ts";
import type { RunCapture } from "./capture.ts";
import type { RunScope, RunStates } from "./context.ts";
import type { ThreadContext } from "./contexts.ts";
import type {
  RunAttributes,
  RunMeta,
  RunResult,
  ThreadStart,
  TriggerFindings,
  TriggerOutcome,
} from "./messages.ts";
import type { Modules } from "./modules.ts";
import { buildPayload } from "./payload.ts";
import { largeResultOf, resultOf } from "./returns.ts";
import { createWalk, runSteps } from "./stepWalk.ts";

export interface FlowRunOptions {
  /** The execution's uuid. */
  id: string;
  request: RunMeta["request"];
  traceparent: string | undefined;
  body: Buffer | null;
  isDebug: boolean;
  /** False where nobody reads the last step's return. */
  needsResult: boolean;
  context: ThreadContext;
  capture: RunCapture;
  configVars: Record<string, unknown>;
  states: RunStates;
  modules: Modules;
  memoryMb: number;
  answerBytesMax: number;
  /** Filled in by the trigger. */
  findings: TriggerFindings;
  storedResults: ThreadStart["storedResults"];
  /** The trigger step ended. */
  onTrigger(outcome: TriggerOutcome, isPassOn: boolean): void;
}

/** Throws `RunError`. The result is the last step's return, as an answer can carry it. */
export async function runFlow(options: FlowRunOptions): Promise<RunResult | null> {
  const { context, request, isDebug, capture, modules, memoryMb } = options;
  const { flow } = context;
  const attributes = attributesOf(options);
  const building = buildPayload(request, options.body, attributes, isDebug);
  const built = building instanceof Promise ? await building : building;
  if (built.warning !== null) capture.log("WARN", [built.warning]);
  const scope: RunScope = {
    context,
    attributes,
    // Where runs are not traced, their code goes on with the sender's trace.
    traceparent: options.traceparent ?? sentTrace(request.headers)?.traceparent,
    isDebug,
    invocation: request.invocation,
    findings: options.findings,
    answerBytesMax: options.answerBytesMax,
    capture,
    modules,
    memoryMb,
    configVars: options.configVars,
    states: options.states,
  };
  const walk = createWalk({
    scope,
    flow,
    payload: built.payload,
    answerBytesMax: options.answerBytesMax,
    onTrigger: options.onTrigger,
  });
  await runSteps(walk, flow.steps);
  if (!options.needsResult) return null;
  return resultOf(walk.last, options) ?? (await largeResultOf(walk.last, options));
}

function attributesOf({ id, request, context }: FlowRunOptions): RunAttributes {
  return {
    executionId: toNodeId("InstanceExecutionResult", id),
    startedAt: new Date(request.receivedAtMs).toISOString(),
    invokeUrl: `${context.ingressUrl}/trigger/${request.token}${request.pathFragment}`,
    ...context.freshAttributes(),
  };
}
