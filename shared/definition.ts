/**
 * The definition of an integration version, as both planes read it: compiled once from the YAML that a
 * builder imports (`definitionVersion: 7`), immutable, known by its digest.
 */
import { parse as parseYaml } from "yaml";
import { z } from "zod";
import { builtInKey, hasTriggerCode } from "./builtIns/steps.ts";
import { messageOf } from "./errors.ts";
import {
  type ConfigPage,
  compileConfigPages,
  compileConfigVar,
  configPagesSchema,
  configVarProblems,
  configVarSchema,
  configVarsMax,
  type RequiredConfigVar,
} from "./requiredConfigVars.ts";

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

/** What an import also carries but no stored definition holds: secrets, and traces of mistakes. */
export interface ImportedDefinition {
  definition: Definition;
  /** Organization keys in the clear, by the flow's stable key: sealed on publish, then forgotten. */
  organizationApiKeys: Record<string, string[]>;
  /** Every flow that claims to be the preprocess flow, by name. */
  preprocessClaims: string[];
  /** True where routing fields for the plain request and a preprocess flow are both configured. */
  hasBothPreprocessWays: boolean;
  /** The private components that steps, connections and data sources name, to be found in the store. */
  privateComponentKeys: string[];
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

const definitionBytesMax = 5 * 1024 * 1024;
const flowsMax = 500;
const stepsMax = 1000;
const nameLengthMax = 200;

const referenceInput = z.union([
  z.string(),
  z.object({ value: z.string() }).transform((input) => input.value),
]);
const name = z.string().trim().min(1).max(nameLengthMax);
/** Numbers, booleans and lists that YAML made of a value are its text again; nothing is an empty text. */
const textValue = z.unknown().transform((value) => {
  if (value === null || value === undefined) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
});
const complexMember: z.ZodType<ComplexMember> = z.lazy(() =>
  z.union([inputValue, z.string(), z.array(complexMember)]),
);
const inputValue: z.ZodType<InputValue> = z.lazy(() =>
  z.union([
    z.object({
      type: z.enum(["value", "reference", "configVar", "template"]),
      value: textValue,
      name: z.union([z.string(), inputValue]).optional(),
    }),
    z.object({
      type: z.literal("complex"),
      value: z.union([z.string(), z.array(complexMember)]),
      name: z.union([z.string(), inputValue]).optional(),
    }),
  ]),
);
const preprocessConfig = z.object({
  flowNameField: z.string().optional(),
  externalCustomerIdField: z.string().optional(),
  externalCustomerUserIdField: z.string().optional(),
});
const whole = (least: number, most: number) => z.coerce.number().int().min(least).max(most);
const errorConfigSchema = z.object({
  errorHandlerType: z.enum(["fail", "ignore", "retry"]),
  maxAttempts: whole(0, 5).nullish(),
  delaySeconds: whole(0, 60).nullish(),
  usesExponentialBackoff: z.boolean().nullish(),
  ignoreFinalError: z.boolean().nullish(),
});
const scheduleSchema = z.object({
  type: z.enum(["value", "configVar"]),
  value: z.string(),
  meta: z.object({ timeZone: z.string().nullish() }).nullish(),
});
interface RawStep {
  name: string;
  stableKey?: string | undefined;
  isTrigger?: boolean | null | undefined;
  action: { key: string; component: { key: string; isPublic?: boolean | undefined } };
  inputs?: Record<string, InputValue> | null | undefined;
  errorConfig?: z.infer<typeof errorConfigSchema> | null | undefined;
  schedule?: z.infer<typeof scheduleSchema> | null | undefined;
  branches?: { name: string; steps: RawStep[] }[] | null | undefined;
  steps?: RawStep[] | null | undefined;
}
const stepSchema: z.ZodType<RawStep> = z.lazy(() =>
  z.object({
    name,
    stableKey: z.string().optional(),
    isTrigger: z.boolean().nullish(),
    action: z.object({
      key: z.string().min(1),
      component: z.object({ key: z.string().min(1), isPublic: z.boolean().optional() }),
    }),
    inputs: z.record(z.string(), inputValue).nullish(),
    errorConfig: errorConfigSchema.nullish(),
    schedule: scheduleSchema.nullish(),
    branches: z
      .array(z.object({ name, steps: z.array(stepSchema).max(stepsMax) }))
      .max(stepsMax)
      .nullish(),
    steps: z.array(stepSchema).max(stepsMax).nullish(),
  }),
);
const retryConfigSchema = z.object({
  maxAttempts: whole(0, 10),
  delayMinutes: whole(0, 60),
  usesExponentialBackoff: z.boolean().nullish(),
  uniqueRequestIdField: referenceInput.nullish(),
});
const queueConfigSchema = z.object({
  usesFifoQueue: z.boolean().nullish(),
  concurrencyLimit: whole(2, 15).nullish(),
  singletonExecutions: z.boolean().nullish(),
  dedupeIdField: referenceInput.nullish(),
});
const triggerResolverSchema = z.object({
  batchSize: whole(1, 10_000).nullish(),
  enabled: z.boolean().nullish(),
  concurrentBatchLimit: whole(1, 1_000).nullish(),
  runInitialSyncOnDeploy: z.boolean().nullish(),
});
const flowSchema = z.object({
  name,
  stableKey: z.string().max(nameLengthMax).nullish(),
  description: z.string().nullish(),
  isSynchronous: z.boolean().nullish(),
  endpointSecurityType: z
    .enum(["unsecured", "customer_optional", "customer_required", "organization"])
    .nullish(),
  organizationApiKeys: z.array(z.string()).nullish(),
  acceptedContentTypes: z.array(z.string()).nullish(),
  preprocessFlowConfig: preprocessConfig.nullish(),
  retryConfig: retryConfigSchema.nullish(),
  queueConfig: queueConfigSchema.nullish(),
  triggerResolver: triggerResolverSchema.nullish(),
  schemas: z.record(z.string(), z.unknown()).nullish(),
  runInitialSyncOnDeploy: z.boolean().nullish(),
  steps: z.array(stepSchema).min(1, "has no steps").max(stepsMax),
});
const definitionSchema = z.object({
  definitionVersion: z.literal(definitionVersion, {
    error: `must be ${definitionVersion}: export or build the integration with a current tool`,
  }),
  isCodeNative: z.boolean().nullish(),
  name,
  description: z.string().nullish(),
  category: z.string().nullish(),
  labels: z.array(z.string()).nullish(),
  documentation: z.string().nullish(),
  version: z.union([z.string(), z.number()]).nullish(),
  endpointType: z.enum(["flow_specific", "instance_specific", "shared_instance"]).nullish(),
  preprocessFlowName: z.union([z.string(), z.array(z.string())]).nullish(),
  triggerPreprocessFlowConfig: preprocessConfig.nullish(),
  flowNameField: referenceInput.nullish(),
  externalCustomerIdField: referenceInput.nullish(),
  externalCustomerUserIdField: referenceInput.nullish(),
  requiredConfigVars: z.array(configVarSchema).max(configVarsMax).nullish(),
  configPages: configPagesSchema,
  flows: z.array(flowSchema).min(1, "has no flows").max(flowsMax),
});

/**
 * Reads an integration's YAML. `bundles` stays empty: the control plane fills in the packages' digests.
 * Throws `DefinitionError` with a sentence for each thing that is wrong with its shape.
 */
export function importDefinition(yaml: string): ImportedDefinition {
  if (Buffer.byteLength(yaml) > definitionBytesMax) {
    throw new DefinitionError(`The definition is larger than ${definitionBytesMax} bytes.`);
  }
  let raw: unknown;
  try {
    raw = parseYaml(yaml, { maxAliasCount: 100 });
  } catch (error) {
    throw new DefinitionError(`The definition is not YAML: ${messageOf(error)}`);
  }
  const parsed = definitionSchema.safeParse(raw);
  if (!parsed.success) {
    throw new DefinitionError(
      parsed.error.issues
        .map((issue) => `${issue.path.join(".") || "definition"}: ${issue.message}`)
        .join("; "),
    );
  }
  return compile(parsed.data);
}

type RawDefinition = z.infer<typeof definitionSchema>;
type RawFlow = RawDefinition["flows"][number];

function compile(raw: RawDefinition): ImportedDefinition {
  const flows = raw.flows.map(compileFlow);
  refuseDuplicates(flows);
  const named = raw.preprocessFlowName == null ? [] : [raw.preprocessFlowName].flat();
  const configured = raw.flows.filter((flow) => flow.preprocessFlowConfig != null);
  const preprocessClaims = [...new Set([...named, ...configured.map((flow) => flow.name)])];
  const preprocess = preprocessClaims[0] ?? null;
  const preprocessFlow = preprocess === null ? null : flows.find((flow) => flow.name === preprocess);
  if (preprocessFlow === undefined) {
    throw new DefinitionError(`preprocessFlowName: there is no flow named "${preprocess}".`);
  }
  const config = configured[0]?.preprocessFlowConfig ?? raw.triggerPreprocessFlowConfig ?? {};
  const flowNameReference = raw.flowNameField ?? config.flowNameField ?? null;
  const externalCustomerIdReference = raw.externalCustomerIdField ?? config.externalCustomerIdField ?? null;
  const externalCustomerUserIdReference =
    raw.externalCustomerUserIdField ?? config.externalCustomerUserIdField ?? null;
  const references = [flowNameReference, externalCustomerIdReference, externalCustomerUserIdReference];
  const problems = configVarProblems(raw.requiredConfigVars ?? []);
  if (problems.length > 0) throw new DefinitionError(problems.join(" "));
  const configPages = compileConfigPages(raw.configPages);
  const requiredConfigVars = (raw.requiredConfigVars ?? []).map((variable) =>
    compileConfigVar(variable, configPages, (input) => inputValue.safeParse(input).data ?? null),
  );
  const readsRequest = references.some((reference) => reference?.startsWith("payload.results."));
  const definition: Definition = {
    name: raw.name,
    description: raw.description ?? "",
    category: raw.category ?? "",
    labels: raw.labels ?? [],
    externalVersion: raw.version == null ? "" : String(raw.version),
    documentation: raw.documentation ?? "",
    isCodeNative: raw.isCodeNative ?? false,
    endpointType: raw.endpointType ?? "flow_specific",
    preprocessFlow: preprocessFlow?.stableKey ?? null,
    flowNameReference,
    externalCustomerIdReference,
    externalCustomerUserIdReference,
    flows,
    requiredConfigVars,
    bundles: {},
  };
  if (configPages.length > 0) definition.configPages = configPages;
  const used = [
    ...flows.flatMap((flow) => allSteps(flow.steps).map((step) => step.action)),
    ...requiredConfigVars.flatMap(({ connection, dataSource }) =>
      [connection ?? [], dataSource ?? []].flat(),
    ),
  ];
  return {
    definition,
    organizationApiKeys: Object.fromEntries(
      raw.flows.flatMap((flow) =>
        flow.organizationApiKeys?.length ? [[stableKeyOf(flow), flow.organizationApiKeys]] : [],
      ),
    ),
    preprocessClaims,
    hasBothPreprocessWays: preprocess !== null && (raw.triggerPreprocessFlowConfig != null || readsRequest),
    privateComponentKeys: [
      ...new Set(used.filter(({ isPublic }) => !isPublic).map(({ componentKey }) => componentKey)),
    ],
  };
}

const stableKeyOf = (flow: RawFlow): string => flow.stableKey || flow.name;

/** Steps with those in their branches and loops, each before what is in it. */
export const allSteps = (steps: readonly Step[]): Step[] =>
  steps.flatMap((step) => [
    step,
    ...(step.branches ?? []).flatMap((branch) => allSteps(branch.steps)),
    ...allSteps(step.steps ?? []),
  ]);

function compileStep(raw: RawStep, place: string, isTrigger: boolean): Step {
  const action: ActionReference = {
    componentKey: raw.action.component.key,
    isPublic: raw.action.component.isPublic ?? true,
    key: raw.action.key,
  };
  const step: Step = {
    name: raw.name,
    stableKey: raw.stableKey || place,
    isTrigger: raw.isTrigger ?? isTrigger,
    action: { ...action, key: builtInKey(action, raw.isTrigger ?? isTrigger) },
    inputs: raw.inputs ?? {},
  };
  const { errorConfig, schedule, branches, steps } = raw;
  if (errorConfig != null) {
    step.errorConfig = {
      errorHandlerType: errorConfig.errorHandlerType,
      maxAttempts: errorConfig.maxAttempts ?? 0,
      delaySeconds: errorConfig.delaySeconds ?? 0,
      usesExponentialBackoff: errorConfig.usesExponentialBackoff ?? false,
      ignoreFinalError: errorConfig.ignoreFinalError ?? false,
    };
  }
  if (schedule != null) {
    const { type, value, meta } = schedule;
    step.schedule = { type, value, timeZone: meta?.timeZone ?? "" };
  }
  const inner = (list: RawStep[], at: string) =>
    list.map((each, index) => compileStep(each, `${at}-${index}`, false));
  if (branches != null && branches.length > 0) {
    step.branches = branches.map((branch) => ({
      name: branch.name,
      steps: inner(branch.steps, `${place}-${branch.name}`),
    }));
  }
  if (steps != null && steps.length > 0) step.steps = inner(steps, place);
  return step;
}

function compileFlow(raw: RawFlow): Flow {
  const steps = raw.steps.map((step, index) =>
    compileStep(step, `${stableKeyOf(raw)}-${index}`, index === 0),
  );
  if (allSteps(steps).length > stepsMax)
    throw new DefinitionError(`Flow "${raw.name}": it has more than ${stepsMax} steps.`);
  if (!steps[0]!.isTrigger)
    throw new DefinitionError(`Flow "${raw.name}": its first step must be its trigger.`);
  return {
    name: raw.name,
    stableKey: stableKeyOf(raw),
    description: raw.description ?? "",
    isSynchronous: raw.isSynchronous ?? false,
    securityType: raw.endpointSecurityType ?? null,
    acceptedContentTypes: raw.acceptedContentTypes ?? null,
    steps,
    hasTriggerCode: hasTriggerCode(steps[0]!),
    ...(raw.schemas == null ? {} : { schemas: raw.schemas }),
    ...workOf(raw),
  };
}

/** How its runs are repeated, queued and batched. */
function workOf({
  retryConfig,
  queueConfig,
  triggerResolver,
  runInitialSyncOnDeploy,
}: RawFlow): Pick<Flow, "retry" | "queue" | "batch" | "runsInitialSync"> {
  const work: Pick<Flow, "retry" | "queue" | "batch" | "runsInitialSync"> = {};
  if (runInitialSyncOnDeploy === true || triggerResolver?.runInitialSyncOnDeploy === true)
    work.runsInitialSync = true;
  if (retryConfig != null && retryConfig.maxAttempts > 0) {
    work.retry = {
      maxAttempts: retryConfig.maxAttempts,
      delayMinutes: retryConfig.delayMinutes,
      usesExponentialBackoff: retryConfig.usesExponentialBackoff ?? false,
      uniqueRequestIdReference: retryConfig.uniqueRequestIdField || null,
    };
  }
  if (queueConfig != null) {
    work.queue = {
      usesFifoQueue: queueConfig.usesFifoQueue ?? false,
      concurrencyLimit: queueConfig.concurrencyLimit ?? null,
      singletonExecutions: queueConfig.singletonExecutions ?? false,
      dedupeIdReference: queueConfig.dedupeIdField || null,
    };
  }
  if (triggerResolver?.enabled === true) {
    work.batch = {
      batchSize: triggerResolver.batchSize ?? 1,
      concurrentBatchLimit: triggerResolver.concurrentBatchLimit ?? null,
    };
  }
  return work;
}

function refuseDuplicates(flows: Flow[]): void {
  for (const property of ["name", "stableKey"] as const) {
    const seen = new Set<string>();
    for (const flow of flows) {
      if (seen.has(flow[property]))
        throw new DefinitionError(`Two flows have the ${property} "${flow[property]}".`);
      seen.add(flow[property]);
    }
  }
}
