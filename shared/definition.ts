/**
 * The definition of an integration version, as both planes read it: compiled once from the YAML that a
 * builder imports (`definitionVersion: 7`), immutable, known by its digest.
 */
import type { ConfigPage, RequiredConfigVar } from "./requiredConfigVars.ts";

export const definitionVersion = 7;

export type EndpointType = "flow_specific" | "instance_specific" | "shared_instance";
export type SecurityType = "unsecured" | "customer_optional" | "customer_required" | "organization";

export type InputValue =
  | { type: "value" | "reference" | "configVar" | "template"; value: string; name?: string | InputValue }
  | { type: "complex"; value: string | ComplexMember[]; name?: string | InputValue };

/** Lists of lists, and bare texts, are what conditions are made of: `[and, [isEmpty, {...}]]`. */
export type ComplexMember = InputValue | string | ComplexMember[];

export interface ActionReference {
  componentKey: string;
  isPublic: boolean;
  /** The action's or trigger's key inside its component. */
  key: string;
}

/** What happens where a step throws. */
export interface StepErrorConfig {
  /** `fail` ends the run, `ignore` goes on to the next step, `retry` calls the step again first. */
  errorHandlerType: "fail" | "ignore" | "retry";
  /** Calls after the first one. */
  maxAttempts: number;
  delaySeconds: number;
  /** The delay doubles with each call. */
  usesExponentialBackoff: boolean;
  /** True where the run goes on even after the last call failed. */
  ignoreFinalError: boolean;
}

/** When a scheduled flow runs. */
export interface Schedule {
  /** `configVar`: `value` names the config variable that holds the cron expression. */
  type: "value" | "configVar";
  value: string;
  /** IANA name; "" for UTC. */
  timeZone: string;
}

export interface Branch {
  name: string;
  steps: Step[];
}

/** Members that are missing say nothing: most steps have none of them. */
export interface Step {
  name: string;
  stableKey: string;
  isTrigger: boolean;
  action: ActionReference;
  inputs: Record<string, InputValue>;
  errorConfig?: StepErrorConfig;
  /** Of a trigger step. */
  schedule?: Schedule;
  /** Of a step that chooses what runs next, by the name that it returns. */
  branches?: Branch[];
  /** The body of a loop. */
  steps?: Step[];
}

/** A failed run of the flow is run again later, as an execution of its own. */
export interface RetryConfig {
  /** 0 to 10. */
  maxAttempts: number;
  /** 0 to 60. */
  delayMinutes: number;
  usesExponentialBackoff: boolean;
  /** Reference to a field of the trigger's results; a newer request with the same value cancels older retries. */
  uniqueRequestIdReference: string | null;
}

/** How many runs of the flow there may be at once, for each instance. */
export interface QueueConfig {
  /** One at a time, in the order of their arrival. */
  usesFifoQueue: boolean;
  /** 2 to 15; null for no limit of the flow's own. */
  concurrencyLimit: number | null;
  /** Of a scheduled flow: none is begun while one runs. */
  singletonExecutions: boolean;
  /** Reference to a field of the trigger's results: of equal ones that wait, one runs. */
  dedupeIdReference: string | null;
}

/** The trigger gives a list, whose members are worked on by executions of their own. */
export interface BatchConfig {
  batchSize: number;
  concurrentBatchLimit: number | null;
}

export interface Flow {
  name: string;
  /** What the flow's URL, keys and state belong to; survives a new name and a new version. */
  stableKey: string;
  description: string;
  isSynchronous: boolean;
  /** As written; use `securityTypeOf` for the one in force. */
  securityType: SecurityType | null;
  /** Content types the flow accepts (`application/json`, `text/*`); null accepts all. */
  acceptedContentTypes: string[] | null;
  /** The first is the trigger. */
  steps: Step[];
  /** True where the trigger step runs code of its own, so that the answer waits for it. */
  hasTriggerCode: boolean;
  /** JSON schemas of what the flow is invoked with, by name, as written. */
  schemas?: Record<string, unknown>;
  retry?: RetryConfig;
  queue?: QueueConfig;
  batch?: BatchConfig;
  /** Its component's trigger runs once as the instance is first deployed, where it can. */
  runsInitialSync?: boolean;
}

export interface Definition {
  name: string;
  description: string;
  category: string;
  labels: string[];
  externalVersion: string;
  documentation: string;
  isCodeNative: boolean;
  endpointType: EndpointType;
  /** The stable key of the preprocess flow, or null. */
  preprocessFlow: string | null;
  flowNameReference: string | null;
  externalCustomerIdReference: string | null;
  externalCustomerUserIdReference: string | null;
  flows: Flow[];
  requiredConfigVars: RequiredConfigVar[];
  /** In the order of the wizard; missing in definitions of before they were kept. */
  configPages?: ConfigPage[];
  /** The private components that the steps call: key to the SHA-256 (hex) of its package. */
  bundles: Record<string, string>;
}

export class DefinitionError extends Error {
  override name = "DefinitionError";
}

/** The security type in force: a shared preprocess flow that names none is unsecured. */
export function securityTypeOf(definition: Definition, flow: Flow): SecurityType {
  if (flow.securityType !== null) return flow.securityType;
  const isSharedPreprocess =
    definition.endpointType === "shared_instance" && definition.preprocessFlow === flow.stableKey;
  return isSharedPreprocess ? "unsecured" : "customer_optional";
}

export const flowByStableKey = (definition: Definition, stableKey: string): Flow | undefined =>
  definition.flows.find((flow) => flow.stableKey === stableKey);

/** The flows a webhook can be routed to: all but the preprocess flow. */
export const routableFlows = (definition: Definition): Flow[] =>
  definition.flows.filter((flow) => flow.stableKey !== definition.preprocessFlow);

/** Steps with those in their branches and loops, each before what is in it. */
export const allSteps = (steps: readonly Step[]): Step[] =>
  steps.flatMap((step) => [
    step,
    ...(step.branches ?? []).flatMap((branch) => allSteps(branch.steps)),
    ...allSteps(step.steps ?? []),
  ]);
