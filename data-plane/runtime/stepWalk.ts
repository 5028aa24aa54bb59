/**
 * A flow's steps in order, with those in branches and loops. Each step is recorded once it has ended: a loop after
 * the steps in it, a branching step before.
 */
import type { Flow, Step } from "../../shared/definition.ts";
import type { ExecutionErrorCode } from "../../shared/errors.ts";
import type { ExecutionPart } from "../../shared/reports.ts";
import type { RunScope } from "./context.ts";
import { camelCase, plainCamelCase, type StepOutcome, type StepResults } from "./inputs.ts";
import type { HttpResponse, TriggerOutcome } from "./messages.ts";
import { BundleError } from "./modules.ts";
import { requestIdOf } from "./requestId.ts";
import { responseOf } from "./returns.ts";
import { RunError } from "./runError.ts";
import { callStep, type StepCall } from "./stepCall.ts";
import { thrownText, tryStep } from "./stepErrors.ts";
import { type Onward, runLoop } from "./stepLoop.ts";

export interface Walk {
  readonly scope: RunScope;
  readonly flow: Flow;
  readonly payload: object;
  readonly answerBytesMax: number;
  /** The trigger step ended. */
  onTrigger(outcome: TriggerOutcome, isPassOn: boolean): void;
  readonly stepResults: StepResults;
  /** What the last step returned. */
  last: unknown;
  /** The loops whose steps run, from the outermost on, each with the number of its iteration; "" outside of loops. */
  loopPath: string;
  /** Of all loops together. */
  iterationsLeft: number;
  recordsLeft: number;
}

/** Each iteration leaves its last result in memory, so there is an end even where a loop has none. */
export const iterationsMax = 100_000;
/** Of steps in loops; what is beyond is not recorded, so that a record can be read. */
export const loopRecordsMax = 1000;

export function createWalk(
  given: Pick<Walk, "scope" | "flow" | "payload" | "answerBytesMax" | "onTrigger">,
): Walk {
  const stepResults: StepResults = {};
  for (const step of given.flow.steps) {
    for (const branch of step.branches ?? []) forgetResults(stepResults, branch.steps);
    forgetResults(stepResults, step.steps ?? []);
  }
  return {
    ...given,
    stepResults,
    last: undefined,
    loopPath: "",
    iterationsLeft: iterationsMax,
    recordsLeft: loopRecordsMax,
  };
}

/** Throws `RunError`. */
export async function runSteps(walk: Walk, steps: readonly Step[]): Promise<Onward> {
  for (const step of steps) {
    const onward = await runStep(walk, step);
    if (onward !== "next") return onward;
  }
  return "next";
}

/** References to steps that may not run, and to those of the iteration before, give nothing. */
function forgetResults(stepResults: StepResults, steps: readonly Step[]): void {
  for (const step of steps) {
    for (const name of namesOf(step)) stepResults[name] = { results: undefined };
    for (const branch of step.branches ?? []) forgetResults(stepResults, branch.steps);
    forgetResults(stepResults, step.steps ?? []);
  }
}

/** Makes what a step left readable for the steps after it. */
function keepOutcome(walk: Walk, step: Step, outcome: StepOutcome): void {
  for (const name of namesOf(step)) walk.stepResults[name] = outcome;
}

interface StepEnd extends StepCall {
  onward: Onward;
  response: HttpResponse | null;
}

async function runStep(walk: Walk, step: Step): Promise<Onward> {
  const { scope, flow } = walk;
  const { capture } = scope;
  const isTrigger = step === flow.steps[0];
  const startedAtMs = Date.now();
  capture.stepName = step.name;
  // Who deploys or removes the instance is to hear of it.
  const errorConfig = scope.invocation?.kind === "hook" ? undefined : step.errorConfig;
  const tried = await tryStep(errorConfig, capture, () => performStep(walk, step, isTrigger));
  capture.stepName = step.name;
  try {
    if (!tried.ok) return failStep(walk, step, { ...tried, isTrigger, startedAtMs });
    const { returned, results, branch, onward, response, isLoop } = tried.result;
    record(walk, step, { startedAtMs, error: null, data: results, ...contentTypeOf(returned) });
    const outcome = { results };
    keepOutcome(walk, step, outcome);
    if (isTrigger) {
      for (const name of ["onTrigger", "trigger", "integrationTrigger"]) walk.stepResults[name] ??= outcome;
      walk.onTrigger({ ok: true, response, ...requestIdOf(flow, results) }, !flow.hasTriggerCode);
    }
    // One that ends the flow from inside of a loop has given what the flow gives.
    if (!isLoop || onward !== "end") walk.last = isTrigger || isLoop ? { data: results } : returned;
    if (onward !== "next" || step.branches === undefined) return onward;
    const taken = step.branches.find(({ name }) => name === branch);
    if (branch === undefined) throw new RunError("FLOW_FAILED", `${step.name}: its action named no branch.`);
    return taken === undefined ? "next" : await runSteps(walk, taken.steps);
  } finally {
    capture.stepName = null;
  }
}

async function performStep(walk: Walk, step: Step, isTrigger: boolean): Promise<StepEnd> {
  const call = await callStep(walk.scope, step, {
    payload: isTrigger ? walk.payload : null,
    stepResults: walk.stepResults,
    loopPath: walk.loopPath,
  });
  if (call.isLoop) return { ...call, ...(await loopSteps(walk, step, call.results)), response: null };
  if (step.steps !== undefined)
    throw new BundleError(`Step "${step.name}" has steps in it, but its action is no loop.`);
  const onward = call.endsFlow ? "end" : call.breaksLoop ? "break" : "next";
  return { ...call, onward, response: isTrigger ? responseOf(call.returned, walk.answerBytesMax) : null };
}

async function loopSteps(
  walk: Walk,
  step: Step,
  items: unknown,
): Promise<{ results: unknown[]; onward: Onward }> {
  const { loopPath } = walk;
  const steps = step.steps ?? [];
  try {
    return await runLoop(items, walk.scope.capture, async (index, currentItem) => {
      if (walk.iterationsLeft-- <= 0)
        throw new Error(`The loops of a run have at most ${iterationsMax} iterations together.`);
      walk.loopPath = `${loopPath}${loopPath === "" ? "" : "/"}${step.name}[${index}]`;
      forgetResults(walk.stepResults, steps);
      keepOutcome(walk, step, { results: undefined, currentItem, index });
      walk.last = undefined;
      const onward = await runSteps(walk, steps);
      return { onward, gave: (walk.last as { data?: unknown } | null | undefined)?.data };
    });
  } finally {
    walk.loopPath = loopPath;
  }
}

function failStep(
  walk: Walk,
  step: Step,
  failure: { error: unknown; isIgnored: boolean; isTrigger: boolean; startedAtMs: number },
): Onward {
  const { capture, context } = walk.scope;
  const { error, isIgnored, isTrigger, startedAtMs } = failure;
  const said = thrownText(error);
  // The step of a loop that failed has told of itself.
  const isOfInner = error instanceof RunError && step.steps !== undefined;
  const message = isOfInner ? said : `${step.name}: ${said}`;
  if (isIgnored) capture.log("WARN", [`It failed and is ignored: ${said}`]);
  else if (!isOfInner) capture.log("ERROR", [error instanceof Error ? error : message]);
  record(walk, step, { startedAtMs, error: said, data: null });
  if (isIgnored) {
    const { name } = error instanceof Error ? error : { name: "Error" };
    const outcome: StepOutcome = { results: null, failed: true, error: { name, message: said } };
    keepOutcome(walk, step, outcome);
    walk.last = { data: null };
    if (isTrigger) {
      for (const alias of ["onTrigger", "trigger", "integrationTrigger"]) walk.stepResults[alias] ??= outcome;
      walk.onTrigger({ ok: true, response: null }, !walk.flow.hasTriggerCode);
    }
    return "next";
  }
  if (isTrigger) walk.onTrigger({ ok: false, message: capture.shown(message) }, !walk.flow.hasTriggerCode);
  throw isOfInner ? error : new RunError(codeOf(error, context.part, isTrigger), message, { cause: error });
}

function record(walk: Walk, step: Step, ended: Parameters<RunScope["capture"]["step"]>[1]): void {
  const { capture } = walk.scope;
  const isKept = walk.loopPath === "" || walk.recordsLeft-- > 0;
  if (isKept) capture.step(step, walk.loopPath === "" ? ended : { ...ended, loopPath: walk.loopPath });
  else if (walk.recordsLeft === -1)
    capture.log("WARN", [
      `The results of steps in loops are recorded ${loopRecordsMax} times in a run: those that follow are not, and run all the same.`,
    ]);
}

function contentTypeOf(returned: unknown): { contentType?: string } {
  const contentType = (returned as { contentType?: unknown } | null | undefined)?.contentType;
  return typeof contentType === "string" ? { contentType } : {};
}

function codeOf(error: unknown, part: ExecutionPart, isTrigger: boolean): ExecutionErrorCode {
  if (error instanceof RunError) return error.code;
  if (error instanceof BundleError) return "BUNDLE_INVALID";
  if (part === "PREPROCESS") return "PREPROCESS_FAILED";
  return isTrigger ? "TRIGGER_FAILED" : "FLOW_FAILED";
}

const names = new WeakMap<Step, readonly string[]>();

/** Under which its results are read. Steps are of a context, which many runs have. */
function namesOf(step: Step): readonly string[] {
  let known = names.get(step);
  if (known === undefined) {
    known = [...new Set([camelCase(step.name), plainCamelCase(step.name)])];
    names.set(step, known);
  }
  return known;
}
