/** From the YAML that a builder imports to a definition. What only reads definitions need not load this. */
import { parse as parseYaml } from "yaml";
import { z } from "zod";
import { builtInKey, hasTriggerCode } from "./builtIns/steps.ts";
import {
  type ActionReference,
  allSteps,
  type ComplexMember,
  type Definition,
  DefinitionError,
  definitionVersion,
  type Flow,
  type InputValue,
  type Step,
} from "./definition.ts";
import { messageOf } from "./errors.ts";
import {
  compileConfigPages,
  compileConfigVar,
  configPagesSchema,
  configVarProblems,
  configVarSchema,
  configVarsMax,
} from "./requiredConfigVars.ts";

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
