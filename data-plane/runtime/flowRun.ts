/**
 * One run of one flow in this thread: its trigger step, then its further steps in order, each called as
 * spectral's own host calls it.
 */
import type { Step } from "../../shared/definition.ts";
import type { ExecutionErrorCode } from "../../shared/errors.ts";
import { toNodeId } from "../../shared/ids.ts";
import type { ExecutionPart } from "../../shared/reports.ts";
import { sentTrace } from "../traceContext.ts";
import { isPassOnTrigger, stepResultsInput } from "./builtIns.ts";
import type { RunCapture } from "./capture.ts";
import { componentOf, createContext, type RunScope, type RunStates, stateNames } from "./context.ts";
import type { ThreadContext } from "./contexts.ts";
import { camelCase, resolveInputs, type StepResults } from "./inputs.ts";
import type { HttpResponse, RunAttributes, RunMeta, RunResult, TriggerOutcome } from "./messages.ts";
import { BundleError, type Modules } from "./modules.ts";
import { buildPayload } from "./payload.ts";
import { plainCopy, TooLargeError } from "./plainCopy.ts";
import { requestIdOf } from "./requestId.ts";

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
  /** The trigger step ended. */
  onTrigger(outcome: TriggerOutcome, isPassOn: boolean): void;
}

export class RunError extends Error {
  readonly code: ExecutionErrorCode;
  constructor(code: ExecutionErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
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
    capture,
    modules,
    memoryMb,
    configVars: options.configVars,
    states: options.states,
  };
  const stepResults: StepResults = {};
  let last: unknown;
  for (const step of flow.steps) {
    const isFirst = step === flow.steps[0];
    const perform = async () => {
      const called = await callStep(scope, step, isFirst ? built.payload : null, stepResults);
      return {
        ...called,
        ...(isFirst ? { response: responseOf(called.returned, options.answerBytesMax) } : {}),
      };
    };
    const ended = await recordStep(options, step, isFirst, perform);
    stepResults[resultsName(step)] = { results: ended.results };
    if (isFirst) {
      for (const name of ["onTrigger", "trigger", "integrationTrigger"])
        stepResults[name] ??= { results: ended.results };
      const triggered = {
        ok: true,
        response: ended.response ?? null,
        ...requestIdOf(flow, ended.results),
      } as const;
      options.onTrigger(triggered, isPassOnTrigger(step.action));
    }
    last = isFirst ? { data: ended.results } : ended.returned;
    if (ended.endsFlow) break;
  }
  return options.needsResult ? resultOf(last, options) : null;
}

function attributesOf({ id, request, context }: FlowRunOptions): RunAttributes {
  return {
    executionId: toNodeId("InstanceExecutionResult", id),
    startedAt: new Date(request.receivedAtMs).toISOString(),
    invokeUrl: `${context.ingressUrl}/trigger/${request.token}${request.pathFragment}`,
    ...context.freshAttributes(),
  };
}

const resultsNames = new WeakMap<Step, string>();

/** Steps are of a context, which many runs have. */
function resultsName(step: Step): string {
  let name = resultsNames.get(step);
  if (name === undefined) {
    name = camelCase(step.name);
    resultsNames.set(step, name);
  }
  return name;
}

interface StepEnd {
  returned: unknown;
  /** What later steps see. */
  results: unknown;
  response?: HttpResponse | null;
  endsFlow: boolean;
}

async function recordStep(
  options: FlowRunOptions,
  step: Step,
  isFirst: boolean,
  perform: () => Promise<StepEnd>,
): Promise<StepEnd> {
  const { capture, context } = options;
  const startedAtMs = Date.now();
  capture.stepName = step.name;
  try {
    const ended = await perform();
    const contentType = (ended.returned as { contentType?: unknown } | null | undefined)?.contentType;
    capture.step(step, {
      startedAtMs,
      error: null,
      data: ended.results,
      ...(typeof contentType === "string" ? { contentType } : {}),
    });
    return ended;
  } catch (error) {
    const said = thrownText(error);
    const message = `${step.name}: ${said}`;
    capture.log("ERROR", [error instanceof Error ? error : message]);
    capture.step(step, { startedAtMs, error: said, data: null });
    if (isFirst)
      options.onTrigger({ ok: false, message: capture.shown(message) }, isPassOnTrigger(step.action));
    throw new RunError(codeOf(error, context.part, isFirst), message, { cause: error });
  } finally {
    capture.stepName = null;
  }
}

/** Flow code may throw anything: a text, a plain object, an error whose message is no text. */
function thrownText(error: unknown): string {
  try {
    const message = (error as { message?: unknown } | null | undefined)?.message;
    if (typeof message === "string" && message !== "") return message;
    if (error instanceof Error) return error.name;
    const text = typeof error === "object" && error !== null ? JSON.stringify(error) : String(error);
    return text.slice(0, thrownCharactersMax);
  } catch {
    return "something that cannot be shown was thrown";
  }
}

const thrownCharactersMax = 4096;

function codeOf(error: unknown, part: ExecutionPart, isFirst: boolean): ExecutionErrorCode {
  if (error instanceof RunError) return error.code;
  if (error instanceof BundleError) return "BUNDLE_INVALID";
  if (part === "PREPROCESS") return "PREPROCESS_FAILED";
  return isFirst ? "TRIGGER_FAILED" : "FLOW_FAILED";
}

async function callStep(
  scope: RunScope,
  step: Step,
  payload: object | null,
  stepResults: StepResults,
): Promise<StepEnd> {
  const { action } = step;
  // What its code would do, without the context that nothing of it reads.
  if (payload !== null && isPassOnTrigger(action) && Object.keys(step.inputs).length === 0)
    return { returned: { payload }, results: payload, endsFlow: false };
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
  const context = createContext(scope, step);
  if (payload !== null) {
    const returned = await called.perform(context, payload, inputs);
    keepStates(scope, returned);
    const { payload: results = payload, resultType } = (returned ?? {}) as {
      payload?: unknown;
      resultType?: unknown;
    };
    return { returned, results, endsFlow: resultType === "polled_no_changes" };
  }
  // A code-native flow reads its trigger's results as `params.onTrigger.results`; the code step takes them apart.
  if (action.isPublic) Object.assign(inputs, { [stepResultsInput]: stepResults });
  const params = scope.context.isCodeNative && !action.isPublic ? { ...stepResults, ...inputs } : inputs;
  const returned = await called.perform(context, params);
  keepStates(scope, returned);
  const results = (returned as { data?: unknown } | null | undefined)?.data;
  return { returned, results, endsFlow: called.terminateExecution === true };
}

/** States that a step returned are there for the steps after it. */
function keepStates(scope: RunScope, returned: unknown): void {
  if (typeof returned !== "object" || returned === null) return;
  for (const name of stateNames) {
    const state = (returned as Record<string, unknown>)[name];
    if (typeof state === "object" && state !== null) Object.assign(scope.states[name], state);
  }
}

const statusMin = 100;
const statusMax = 599;

function responseOf(returned: unknown, bytesMax: number): HttpResponse | null {
  const response = (returned as { response?: unknown } | null | undefined)?.response;
  if (typeof response !== "object" || response === null) return null;
  const { statusCode, contentType, headers, body } = response as Record<string, unknown>;
  const answer: HttpResponse = { statusCode: statusOf(statusCode) ?? 200 };
  if (typeof contentType === "string") answer.contentType = contentType;
  const headerTexts = headersOf(headers);
  if (headerTexts !== undefined) answer.headers = headerTexts;
  if (body !== undefined && body !== null)
    answer.body = typeof body === "string" ? body : JSON.stringify(body);
  if (answer.body !== undefined && Buffer.byteLength(answer.body) > bytesMax) {
    throw new RunError("RESULT_TOO_LARGE", `The trigger's response is larger than ${bytesMax} bytes.`);
  }
  return answer;
}

const statusOf = (value: unknown): number | undefined =>
  Number.isInteger(value) && (value as number) >= statusMin && (value as number) <= statusMax
    ? (value as number)
    : undefined;

const headersMax = 100;

function headersOf(value: unknown): Record<string, string> | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const texts = Object.entries(value)
    .slice(0, headersMax)
    .filter(([, text]) => ["string", "number", "boolean"].includes(typeof text))
    .map(([name, text]) => [name, String(text)] as const);
  return Object.fromEntries(texts);
}

const answerDepthMax = 1010;

/**
 * The return as an answer: a plain copy, because nothing else can leave the thread. The run itself went well
 * even where its return is too large to be one, so the answer says what is wrong instead.
 */
function resultOf(returned: unknown, options: FlowRunOptions): RunResult {
  const { data, statusCode, headers, contentType } = (returned ?? {}) as Record<string, unknown>;
  try {
    const result: RunResult = {
      data: plainCopy(data, {
        purpose: "answer",
        bytesMax: options.answerBytesMax,
        depthMax: answerDepthMax,
        redactor: null,
      }),
    };
    const status = statusOf(statusCode);
    if (status !== undefined) result.statusCode = status;
    const headerTexts = headersOf(headers);
    if (headerTexts !== undefined) result.headers = headerTexts;
    if (typeof contentType === "string") result.contentType = contentType;
    return result;
  } catch (error) {
    if (!(error instanceof TooLargeError)) throw error;
    const message = `The flow's result is larger than ${options.answerBytesMax} bytes, so it can't be an answer.`;
    options.capture.log("WARN", [message]);
    return {
      statusCode: 500,
      contentType: "application/json",
      data: { error: { code: "RESULT_TOO_LARGE", message } },
    };
  }
}
