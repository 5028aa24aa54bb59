/**
 * The context that flow code is called with: every field that spectral's `ActionContext` and its server types
 * name. spectral's own wrappers replace `components`, `debug` and `invokeFlow` by theirs; here they are for
 * components that were built without them, and for the code step.
 */
import type { ActionReference, Step } from "../../shared/definition.ts";
import type { Invocation } from "../../shared/invocations.ts";
import { builtIn } from "./builtIns/all.ts";
import type { RunCapture } from "./capture.ts";
import type { ThreadContext } from "./contexts.ts";
import type { BundlePlace, RunAttributes, TriggerFindings } from "./messages.ts";
import { BundleError, type LoadedComponent, type Modules, type Perform } from "./modules.ts";

export interface RunScope {
  context: ThreadContext;
  attributes: RunAttributes;
  /** W3C trace context for what flow code calls. */
  traceparent: string | undefined;
  isDebug: boolean;
  /** What started the execution, where that was no request. */
  invocation: Invocation | undefined;
  /** What the trigger says beside its results. */
  findings: TriggerFindings;
  /** Of what one return may hold that leaves the thread. */
  answerBytesMax: number;
  capture: RunCapture;
  modules: Modules;
  memoryMb: number;
  configVars: Record<string, unknown>;
  /** What changes in place or is returned is kept where the run succeeds: see states.ts. */
  states: RunStates;
}

export interface RunStates {
  instanceState: Record<string, unknown>;
  crossFlowState: Record<string, unknown>;
  executionState: Record<string, unknown>;
  integrationState: Record<string, unknown>;
}

export const stateNames = ["instanceState", "crossFlowState", "executionState", "integrationState"] as const;

export function createContext(scope: RunScope, step: Step, loopPath: string): Record<string, unknown> {
  const { attributes, isDebug, memoryMb } = scope;
  const context: Record<string, unknown> = {
    logger: createLogger(scope.capture, step.name),
    ...scope.states,
    configVars: scope.configVars,
    stepId: step.stableKey,
    ...attributes,
    // Ours: spectral's own contexts have no such member.
    traceparent: scope.traceparent,
    executionFrame: {
      invokedByExecutionJWT: "",
      invokedByExecutionStartedAt: attributes.startedAt,
      componentActionKey: `${step.action.componentKey}.${step.action.key}`,
      executionId: attributes.executionId,
      executionStartedAt: attributes.startedAt,
      stepName: step.name,
      loopPath,
    },
    flowSchemas: scope.context.flowSchemas === null ? {} : structuredClone(scope.context.flowSchemas),
    batch: batchInfoOf(scope),
    globalDebug: isDebug,
    runnerAllocatedMemoryMb: memoryMb,
    isSimulatedTestExecution: false,
    components: {},
    debug: createDebug(isDebug, memoryMb),
    _components: {
      invoke: (target: InvokeTarget, ...args: unknown[]) => invokeAction(scope, target, args),
      invokeTrigger: (target: InvokeTarget, ...args: unknown[]) => invokeTrigger(scope, target, args),
    },
  };
  context["invokeFlow"] = createInvokeFlow(context);
  return context;
}

/** How the items of the flow's trigger are worked on. */
function batchInfoOf({ context: { flow } }: RunScope): Record<string, unknown> {
  return flow.batch === undefined ? { enabled: false } : { enabled: true, batchSize: flow.batch.batchSize };
}

/** The component that a step or an invocation names. Throws a sentence where there is none. */
export function componentOf(
  modules: Modules,
  bundles: Record<string, BundlePlace>,
  { componentKey, isPublic }: Pick<ActionReference, "componentKey" | "isPublic">,
): LoadedComponent {
  if (isPublic) {
    const component = builtIn(componentKey);
    if (component !== undefined) return component;
    throw new BundleError(`The public component "${componentKey}" is not part of Switchyard.`);
  }
  if (!Object.hasOwn(bundles, componentKey)) {
    throw new BundleError(`The private component "${componentKey}" is not part of this version.`);
  }
  return modules.load(bundles[componentKey]!);
}

interface InvokeTarget {
  component?: { key?: unknown; isPublic?: unknown };
  key?: unknown;
  triggerEventFunctionName?: unknown;
}

async function invokeAction(scope: RunScope, target: InvokeTarget, args: unknown[]): Promise<unknown> {
  const { component, key, componentKey } = findTarget(scope, target);
  if (!Object.hasOwn(component.actions, key)) {
    throw new Error(`The component "${componentKey}" has no action "${key}".`);
  }
  return component.actions[key]!.perform(...args);
}

/** `args` are context, payload and params; the events of a trigger's life take no payload. */
async function invokeTrigger(scope: RunScope, target: InvokeTarget, args: unknown[]): Promise<unknown> {
  const { component, key, componentKey } = findTarget(scope, target);
  if (!Object.hasOwn(component.triggers, key)) {
    throw new Error(`The component "${componentKey}" has no trigger "${key}".`);
  }
  const trigger = component.triggers[key]! as unknown as Record<string, Perform | undefined>;
  const event = String(target.triggerEventFunctionName ?? "perform");
  if (event === "perform") return trigger["perform"]!(...args);
  const handler = Object.hasOwn(trigger, event) ? trigger[event] : undefined;
  return handler?.(args[0], args[2]);
}

function findTarget(scope: RunScope, target: InvokeTarget) {
  const componentKey = String(target.component?.key);
  const isPublic = target.component?.isPublic === true;
  const component = componentOf(scope.modules, scope.context.bundles, { componentKey, isPublic });
  return { component, componentKey, key: String(target.key) };
}

export function createLogger(capture: RunCapture, stepName: string): Record<string, unknown> {
  return {
    trace: (...args: unknown[]) => capture.log("TRACE", args, stepName),
    debug: (...args: unknown[]) => capture.log("DEBUG", args, stepName),
    info: (...args: unknown[]) => capture.log("INFO", args, stepName),
    log: (...args: unknown[]) => capture.log("INFO", args, stepName),
    warn: (...args: unknown[]) => capture.log("WARN", args, stepName),
    error: (...args: unknown[]) => capture.log("ERROR", args, stepName),
    metric: (...args: unknown[]) => capture.log("METRIC", args, stepName),
    section: (label: unknown) => capture.openSection(label),
    sectionEnd: (end: unknown) => capture.closeSection(end),
  };
}

interface DebugResults {
  timeElapsed: {
    marks: Record<string, number>;
    measurements: Record<string, { marks: { start: string; end: string }; duration: number }>;
  };
  allowedMemory: number;
  memoryUsage: { mark: string; rss: number; detail?: Record<string, number> }[];
}

const bytesPerMb = 1024 * 1024;

function createDebug(isEnabled: boolean, memoryMb: number): Record<string, unknown> {
  const results: DebugResults = {
    timeElapsed: { marks: {}, measurements: {} },
    allowedMemory: memoryMb,
    memoryUsage: [],
  };
  return {
    enabled: isEnabled,
    results,
    timeElapsed: {
      mark(_context: unknown, label: string) {
        if (isEnabled) results.timeElapsed.marks[label] = performance.now();
      },
      measure(_context: unknown, label: string, marks: { start: string; end: string }) {
        if (!isEnabled) return;
        const at = results.timeElapsed.marks;
        const duration = (at[marks.end] ?? Number.NaN) - (at[marks.start] ?? Number.NaN);
        results.timeElapsed.measurements[label] = { marks, duration };
      },
    },
    memoryUsage(_context: unknown, label: string, showDetail?: boolean) {
      if (!isEnabled) return;
      const usage = Object.entries(process.memoryUsage()).map(
        ([name, bytes]) => [name, bytes / bytesPerMb] as const,
      );
      const detail = Object.fromEntries(usage);
      results.memoryUsage.push({ mark: label, rss: detail["rss"]!, ...(showDetail ? { detail } : {}) });
    },
  };
}

/** Posts to another flow of the same instance; the answer has the members of an axios response that flows read. */
function createInvokeFlow(context: Record<string, unknown>) {
  return async (flowName: string, data?: unknown, config?: { headers?: Record<string, string> }) => {
    const urls = context["webhookUrls"] as Record<string, string>;
    const { traceparent } = context;
    const keys = context["webhookApiKeys"] as Record<string, string[]>;
    if (!Object.hasOwn(urls, flowName)) throw new Error(`There is no flow named "${flowName}".`);
    const key = Object.hasOwn(keys, flowName) ? keys[flowName]![0] : undefined;
    const response = await fetch(urls[flowName]!, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        ...(typeof traceparent === "string" ? { traceparent } : {}),
        ...config?.headers,
        ...(key === undefined ? {} : { "api-key": key }),
        "prismatic-invoked-by": JSON.stringify(context["executionFrame"]),
        "prismatic-invoke-type": "Cross Flow",
        "prismatic-executionid": String(context["executionId"]),
      },
      body: JSON.stringify(data ?? {}),
    });
    const text = await response.text();
    if (!response.ok)
      throw new Error(`The flow "${flowName}" answered ${response.status}: ${text.slice(0, 500)}`);
    return {
      status: response.status,
      statusText: response.statusText,
      headers: Object.fromEntries(response.headers),
      data: parsedOr(text),
    };
  };
}

function parsedOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
