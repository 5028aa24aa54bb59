/**
 * The definition of an integration version, as both planes read it: compiled once from the YAML that a
 * builder imports (`definitionVersion: 7`), immutable, known by its digest.
 */
import { parse as parseYaml } from "yaml";
import { z } from "zod";
import { messageOf } from "./errors.ts";

export const definitionVersion = 7;

export type EndpointType = "flow_specific" | "instance_specific" | "shared_instance";
export type SecurityType = "unsecured" | "customer_optional" | "customer_required" | "organization";

export type InputValue =
  | { type: "value" | "reference" | "configVar" | "template"; value: string; name?: string | InputValue }
  | { type: "complex"; value: string | InputValue[]; name?: string | InputValue };

export interface ActionReference {
  componentKey: string;
  isPublic: boolean;
  /** The action's or trigger's key inside its component. */
  key: string;
}

export interface Step {
  name: string;
  stableKey: string;
  isTrigger: boolean;
  action: ActionReference;
  inputs: Record<string, InputValue>;
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
}

export interface RequiredConfigVar {
  key: string;
  stableKey: string;
  dataType: string;
  description: string;
  defaultValue: string | null;
  orgOnly: boolean;
  collectionType: string | null;
  pickList: string[] | null;
  /** Only for connections: the input fields' defaults, by field name. */
  inputs: Record<string, InputValue>;
  /** Only for connections: the key of the connection in its component. */
  connectionKey: string | null;
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
  /** The private components the steps name, to be found in the store. */
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
const inputValue: z.ZodType<InputValue> = z.lazy(() =>
  z.union([
    z.object({
      type: z.enum(["value", "reference", "configVar", "template"]),
      value: z.coerce.string(),
      name: z.union([z.string(), inputValue]).optional(),
    }),
    z.object({
      type: z.literal("complex"),
      value: z.union([z.string(), z.array(inputValue)]),
      name: z.union([z.string(), inputValue]).optional(),
    }),
  ]),
);
const preprocessConfig = z.object({
  flowNameField: z.string().optional(),
  externalCustomerIdField: z.string().optional(),
  externalCustomerUserIdField: z.string().optional(),
});
const stepSchema = z.object({
  name,
  stableKey: z.string().optional(),
  isTrigger: z.boolean().nullish(),
  action: z.object({
    key: z.string().min(1),
    component: z.object({ key: z.string().min(1), isPublic: z.boolean().optional() }),
  }),
  inputs: z.record(z.string(), inputValue).nullish(),
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
  steps: z.array(stepSchema).min(1, "has no steps").max(stepsMax),
});
const configVarSchema = z.object({
  key: z.string().min(1),
  stableKey: z.string().nullish(),
  dataType: z.string().default("string"),
  description: z.string().nullish(),
  defaultValue: z.union([z.string(), z.number(), z.boolean()]).nullish(),
  orgOnly: z.boolean().nullish(),
  collectionType: z.string().nullish(),
  pickList: z.array(z.string()).nullish(),
  inputs: z.record(z.string(), z.unknown()).nullish(),
  connection: z.object({ key: z.string() }).nullish(),
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
  requiredConfigVars: z.array(configVarSchema).nullish(),
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
    requiredConfigVars: (raw.requiredConfigVars ?? []).map(compileConfigVar),
    bundles: {},
  };
  const actions = flows.flatMap((flow) => flow.steps.map((step) => step.action));
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
      ...new Set(actions.filter((action) => !action.isPublic).map((action) => action.componentKey)),
    ],
  };
}

const stableKeyOf = (flow: RawFlow): string => flow.stableKey || flow.name;

function compileFlow(raw: RawFlow): Flow {
  const steps = raw.steps.map((step, index): Step => {
    const action = {
      componentKey: step.action.component.key,
      isPublic: step.action.component.isPublic ?? true,
      key: step.action.key,
    };
    return {
      name: step.name,
      stableKey: step.stableKey || `${stableKeyOf(raw)}-${index}`,
      isTrigger: step.isTrigger ?? index === 0,
      action,
      inputs: step.inputs ?? {},
    };
  });
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
    hasTriggerCode: !steps[0]!.action.isPublic,
  };
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

function compileConfigVar(raw: z.infer<typeof configVarSchema>): RequiredConfigVar {
  const inputs = Object.entries(raw.inputs ?? {}).flatMap(([field, input]) => {
    const parsed = inputValue.safeParse(input);
    return parsed.success ? [[field, parsed.data] as const] : [];
  });
  return {
    key: raw.key,
    stableKey: raw.stableKey || raw.key,
    dataType: raw.dataType,
    description: raw.description ?? "",
    defaultValue: raw.defaultValue == null ? null : String(raw.defaultValue),
    orgOnly: raw.orgOnly ?? false,
    collectionType: raw.collectionType ?? null,
    pickList: raw.pickList ?? null,
    inputs: Object.fromEntries(inputs),
    connectionKey: raw.connection?.key ?? null,
  };
}
