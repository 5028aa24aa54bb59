/**
 * A call of a flow's trigger. What started the execution says which of the trigger's functions that is: `perform`,
 * one of those for the instance's life, or the one that takes its place on the first deploy.
 */

import { messageOf } from "../../shared/errors.ts";
import type { Invocation } from "../../shared/invocations.ts";
import { type Batching, batchingOf, isFirstSync, resolveBatches } from "./batches.ts";
import type { RunScope } from "./context.ts";
import { functionOf, type LoadedAction } from "./modules.ts";
import { RunError } from "./runError.ts";

export interface TriggerArguments {
  context: Record<string, unknown>;
  payload: object;
  inputs: Record<string, unknown>;
}

export interface TriggerEnd {
  returned: unknown;
  /** What later steps see. */
  results: unknown;
  endsFlow: boolean;
}

/** `scope.findings` is told what the trigger says beside its results. */
export async function callTrigger(
  scope: RunScope,
  trigger: LoadedAction,
  given: TriggerArguments,
): Promise<TriggerEnd> {
  const { invocation } = scope;
  if (invocation?.kind === "hook") return callHook(trigger, invocation, given);
  const { context, inputs } = given;
  const payload = withPaginationState(given.payload, invocation);
  const perform =
    (isFirstSync(invocation, trigger) ? functionOf(trigger, "onDeployPerform") : null) ?? trigger.perform;
  const returned = await perform(context, payload, inputs);
  const { payload: results = payload, resultType } = (returned ?? {}) as {
    payload?: unknown;
    resultType?: unknown;
  };
  const hasPolledNoChanges = resultType === "polled_no_changes";
  if (hasPolledNoChanges) scope.findings.hasPolledNoChanges = true;
  const batching = batchingOf(scope.context.flow, trigger);
  const isBatched =
    batching !== null &&
    (await findBatches(scope, batching, trigger, context, { ...(returned ?? {}), payload: results }));
  return { returned, results, endsFlow: hasPolledNoChanges || isBatched };
}

/** The items of a batched trigger are worked on by executions of their own. */
async function findBatches(
  { invocation, findings, capture, answerBytesMax: bytesMax }: RunScope,
  batching: Batching,
  trigger: LoadedAction,
  context: Record<string, unknown>,
  result: object,
): Promise<boolean> {
  const batches = await resolveBatches(batching, invocation, { trigger, context, result, bytesMax });
  if (batches === null) return false;
  findings.batches = batches;
  const next = batches.paginationStateJson === null ? "" : "; the next page follows";
  capture.log("INFO", [`The trigger's items were split into ${batches.batchJsons.length} batches${next}.`]);
  return true;
}

/** The page that the call before it has named. */
function withPaginationState(payload: object, invocation: Invocation | undefined): object {
  if (invocation?.kind !== "page") return payload;
  return { ...payload, paginationState: JSON.parse(invocation.paginationStateJson) };
}

/** No further step follows: the flow itself runs when its webhooks, or its times, come. */
async function callHook(
  trigger: LoadedAction,
  { hook, timeoutMs }: Extract<Invocation, { kind: "hook" }>,
  { context, inputs }: TriggerArguments,
): Promise<TriggerEnd> {
  const perform = functionOf(trigger, hook);
  try {
    const returned = perform === null ? undefined : await inTime(perform(context, inputs), timeoutMs);
    return { returned, results: returned ?? null, endsFlow: true };
  } catch (error) {
    throw new RunError("HOOK_FAILED", `${hook}: ${messageOf(error)}`, { cause: error });
  }
}

/** Somebody waits for it. What it goes on doing afterwards is nobody's. */
async function inTime(ending: unknown, timeoutMs: number): Promise<unknown> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`It did not end within ${timeoutMs} ms.`)), timeoutMs);
  });
  try {
    return await Promise.race([ending, late]);
  } finally {
    clearTimeout(timer);
  }
}
