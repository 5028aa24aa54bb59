/**
 * A call of a flow's trigger. What started the execution says which of the trigger's functions that is: `perform`,
 * one of those for the instance's life, or the one that takes its place on the first deploy.
 */

import { messageOf } from "../../shared/errors.ts";
import type { Invocation } from "../../shared/invocations.ts";
import type { LoadedAction, Perform } from "./modules.ts";
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

export async function callTrigger(
  trigger: LoadedAction,
  invocation: Invocation | undefined,
  given: TriggerArguments,
): Promise<TriggerEnd> {
  if (invocation?.kind === "hook") return callHook(trigger, invocation, given);
  const { context, payload, inputs } = given;
  const perform =
    (invocation?.kind === "deploy" ? functionOf(trigger, "onDeployPerform") : null) ?? trigger.perform;
  const returned = await perform(context, payload, inputs);
  const { payload: results = payload, resultType } = (returned ?? {}) as {
    payload?: unknown;
    resultType?: unknown;
  };
  return { returned, results, endsFlow: resultType === "polled_no_changes" };
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

function functionOf(trigger: LoadedAction, name: string): Perform | null {
  const found = Object.hasOwn(trigger, name)
    ? (trigger as unknown as Record<string, unknown>)[name]
    : undefined;
  return typeof found === "function" ? (found as Perform) : null;
}
