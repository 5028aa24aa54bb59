/** One call of a step's trigger or action, as spectral's own host calls it. */
import type { Step } from "../../shared/definition.ts";
import { stepResultsInput } from "./builtIns/code.ts";
import { componentOf, createContext, type RunScope, stateNames } from "./context.ts";
import { resolveInputs, type StepResults } from "./inputs.ts";
import { BundleError } from "./modules.ts";
import { callTrigger } from "./triggerCall.ts";

/** What a step's call gave. */
export interface StepCall {
  returned: unknown;
  /** What later steps see. */
  results: unknown;
  /** The branch that it named. */
  branch: string | undefined;
  endsFlow: boolean;
  breaksLoop: boolean;
  isLoop: boolean;
}

export interface StepPlace {
  /** Null for all steps but the trigger. */
  payload: object | null;
  stepResults: StepResults;
  /** Where in which loops the step runs. */
  loopPath: string;
}

export async function callStep(scope: RunScope, step: Step, place: StepPlace): Promise<StepCall> {
  const { action } = step;
  const { payload, stepResults } = place;
  // What its code gave before, when it was called for all batches of a page.
  if (payload !== null && scope.invocation?.kind === "batch") {
    const branch = scope.invocation.branch ?? undefined;
    return { ...endsNothing, returned: { payload }, results: payload, branch };
  }
  // What its code would do, without the context that nothing of it reads.
  if (payload !== null && !scope.context.flow.hasTriggerCode)
    return { ...endsNothing, returned: { payload }, results: payload };
  const component = componentOf(scope.modules, scope.context.bundles, action);
  const actions = payload === null ? component.actions : component.triggers;
  if (!Object.hasOwn(actions, action.key)) {
    const kind = payload === null ? "action" : "trigger";
    throw new BundleError(`The component of step "${step.name}" has no ${kind} "${action.key}".`);
  }
  const called = actions[action.key]!;
  const inputs = resolveInputs(step.inputs, called.inputs ?? [], {
    stepResults,
    configVars: scope.configVars,
  });
  const context = createContext(scope, step, place.loopPath);
  if (payload !== null) {
    const triggered = await callTrigger(scope, called, { context, payload, inputs });
    refuseFailed(triggered.returned);
    keepStates(scope, triggered.returned);
    return { ...endsNothing, ...triggered, branch: branchOf(triggered.returned) };
  }
  // A code-native flow reads its trigger's results as `params.onTrigger.results`; the code step takes them apart.
  if (action.isPublic) Object.assign(inputs, { [stepResultsInput]: stepResults });
  const params = scope.context.isCodeNative && !action.isPublic ? { ...stepResults, ...inputs } : inputs;
  const returned = await called.perform(context, params);
  refuseFailed(returned);
  keepStates(scope, returned);
  return {
    returned,
    results: (returned as { data?: unknown } | null | undefined)?.data,
    branch: branchOf(returned),
    endsFlow: called.terminateExecution === true,
    breaksLoop: called.breakLoop === true,
    isLoop: called.isLoop === true,
  };
}

const endsNothing = { branch: undefined, endsFlow: false, breaksLoop: false, isLoop: false };

function branchOf(returned: unknown): string | undefined {
  const branch = (returned as { branch?: unknown } | null | undefined)?.branch;
  return typeof branch === "string" ? branch : undefined;
}

/** A return that says that it failed is a failure like a throw. */
function refuseFailed(returned: unknown): void {
  const { failed, error } = (returned ?? {}) as { failed?: unknown; error?: unknown };
  if (failed !== true) return;
  const message = (error as { message?: unknown } | null | undefined)?.message;
  throw typeof message === "string"
    ? new Error(message, { cause: error })
    : (error ?? "It returned failed: true.");
}

/** States that a step returned are there for the steps after it. */
function keepStates(scope: RunScope, returned: unknown): void {
  if (typeof returned !== "object" || returned === null) return;
  for (const name of stateNames) {
    const state = (returned as Record<string, unknown>)[name];
    if (typeof state === "object" && state !== null) Object.assign(scope.states[name], state);
  }
}
