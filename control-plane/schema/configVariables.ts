/** Config variables of instances: what a version asks for, and what the instance was given. */
import type { Definition, RequiredConfigVar } from "../../shared/definition.ts";
import { isUuid } from "../../shared/ids.ts";
import { type Context, isOrganization, maySeeCustomer } from "../context.ts";
import { type ConfiguredVersion, configuredVersionOf } from "../store/configuredVersions.ts";
import {
  configVariableProblem,
  isConfigured,
  isConnection,
  readConfigVariables,
  type StoredConfigVariable,
  sealedConfigVarsOf,
  writeConfigVariable,
} from "../store/configVariables.ts";
import type { ConfigDatabase, ConfigTransaction, Store } from "../store/store.ts";
import { builder } from "./builder.ts";
import { pageOfList } from "./connections.ts";
import { type ConfigVariableItem, InstanceConfigVariable } from "./instanceRefs.ts";
import { InputError } from "./payloads.ts";
import { Instance, type InstanceRow } from "./refs.ts";

export const ConfigVariableInput = builder.inputType("InputInstanceConfigVariable", {
  description: "What one config variable of an instance is set to.",
  fields: (t) => ({
    key: t.string({ required: true, description: "The variable's key." }),
    value: t.string({ description: "The value as text; lists and objects as JSON." }),
    values: t.field({
      type: "JSONString",
      description:
        "A connection's input fields: a list of {name, type, value}. A field that is left out keeps its value.",
    }),
    scheduleType: t.string({ description: "Of a schedule: none, once, minute, hour, day, week or custom." }),
    timeZone: t.string({ description: "Of a schedule: the time zone, such as Europe/Berlin." }),
  }),
});

export interface ConfigVariableValues {
  key: string;
  value?: string | null | undefined;
  values?: unknown;
  scheduleType?: string | null | undefined;
  timeZone?: string | null | undefined;
}

/** Stores what was given; throws an error of `field` where a variable is not there or can't have the value. */
export async function saveConfigVariables(
  transaction: ConfigTransaction,
  store: Store,
  instanceId: string,
  definition: Definition,
  inputs: readonly (ConfigVariableValues | null | undefined)[],
  field = "configVariables",
): Promise<void> {
  const stored = await readConfigVariables(transaction, store, instanceId);
  const problems: string[] = [];
  for (const input of inputs) {
    if (input == null) continue;
    const variable = definition.requiredConfigVars.find((candidate) => candidate.key === input.key);
    if (variable === undefined) {
      problems.push(`There is no config variable "${input.key}".`);
      continue;
    }
    const next = nextValue(variable, input, stored.get(input.key));
    if (typeof next === "string") problems.push(`Config variable "${input.key}" ${next}.`);
    else await writeConfigVariable(transaction, store, instanceId, input.key, next);
  }
  if (problems.length > 0) throw new InputError(field, problems);
}

/** A draft has no deploy: its system instance runs on what is stored, from the next change of the feed on. */
export async function applyDraftConfigVariables(
  transaction: ConfigTransaction,
  store: Store,
  instanceId: string,
  definition: Definition,
): Promise<void> {
  const deployedSealedConfigVars = await sealedConfigVarsOf(transaction, store, instanceId, definition);
  await transaction
    .updateTable("instances")
    .set({ deployedSealedConfigVars })
    .where("id", "=", instanceId)
    .execute();
}

/** The variables of the version that the instance is set to, in the version's order. */
export async function loadConfigVariables(
  store: Store,
  instance: InstanceRow,
): Promise<ConfigVariableItem[]> {
  const configured = await configuredVersionOf(store.config, instance);
  if (configured === null) return [];
  const given = await readConfigVariables(store.config, store, instance.id);
  const shown = await shownConnectionInputs(store.config, configured);
  return configured.definition.requiredConfigVars.map((variable) => ({
    instance,
    configured,
    variable,
    given: given.get(variable.key),
    shownInputs: shown.get(variable.connectionKey ?? "") ?? new Set(),
  }));
}

/** `pending` and `active` are states of connections; other variables have none. */
export const statusOf = ({ variable, given }: ConfigVariableItem): string | null =>
  isConnection(variable) ? (isConfigured(variable, given) ? "active" : "pending") : null;

interface InputValueItem {
  name: string;
  type: string;
  value: string | null;
}

const ConfigVariableInputValue = builder.objectRef<InputValueItem>("ConfigVariableInput").implement({
  description: "An input field of a connection.",
  fields: (t) => ({
    name: t.exposeString("name", { description: "The field's name." }),
    type: t.exposeString("type", { description: "How the value is given: value, reference or complex." }),
    value: t.exposeString("value", {
      nullable: true,
      description: "The value, where it is known to be no secret.",
    }),
  }),
});

const InputValueConnection = builder.connectionObject(
  {
    type: ConfigVariableInputValue,
    name: "ConfigVariableInputConnection",
    description: "A page of input fields.",
  },
  { name: "ConfigVariableInputEdge", description: "An input field with its cursor." },
);

interface TemplateField {
  key: string;
  value: string;
}

const TemplateInputField = builder.objectRef<TemplateField>("ConnectionInputField").implement({
  description: "An input field of a kind of connection.",
  fields: (t) => ({ key: t.exposeString("key", { description: "The field's key." }) }),
});

const InputFieldTemplate = builder.objectRef<TemplateField>("ConnectionInputFieldTemplate").implement({
  description: "What a connection template says of one input field.",
  fields: (t) => ({
    inputField: t.field({
      type: TemplateInputField,
      description: "The field.",
      resolve: (field) => field,
    }),
    value: t.exposeString("value", { description: "The field's value." }),
  }),
});

const ConnectionTemplate = builder.objectRef<TemplateField[]>("ConnectionTemplate").implement({
  description: "Values that a connection's input fields start from.",
  fields: (t) => ({
    inputFieldTemplates: t.connection(
      {
        type: InputFieldTemplate,
        description: "The fields that the template names.",
        resolve: (fields, args) => pageOfList(fields, args),
      },
      { name: "ConnectionInputFieldTemplateConnection", description: "A page of templates of input fields." },
      {
        name: "ConnectionInputFieldTemplateEdge",
        description: "A template of an input field with its cursor.",
      },
    ),
  }),
});

const RequiredConfigVariable = builder.objectRef<ConfigVariableItem>("RequiredConfigVariable").implement({
  description: "A config variable that a version asks for.",
  fields: (t) => ({
    id: t.globalID({
      description: "The global id of the object.",
      resolve: ({ configured, variable }) => ({
        id: `${configured.version?.id ?? configured.integration.id}/${variable.key}`,
        type: "RequiredConfigVariable",
      }),
    }),
    key: t.string({ description: "The variable's key.", resolve: ({ variable }) => variable.key }),
    stableKey: t.string({
      description: "What stays the same when the key changes.",
      resolve: ({ variable }) => variable.stableKey,
    }),
    description: t.string({
      description: "What the variable is for.",
      resolve: ({ variable }) => variable.description,
    }),
    defaultValue: t.string({
      nullable: true,
      description: "The value where none is given.",
      resolve: ({ variable }) => variable.defaultValue,
    }),
    dataType: t.string({
      description: "The variable's type in upper case, such as STRING or CONNECTION.",
      resolve: ({ variable }) => variable.dataType.toUpperCase(),
    }),
    collectionType: t.string({
      nullable: true,
      description: "valuelist or keyvaluelist, where the variable has many values.",
      resolve: ({ variable }) => variable.collectionType,
    }),
    pickList: t.stringList({
      nullable: true,
      description: "The values to choose from.",
      resolve: ({ variable }) => variable.pickList,
    }),
    orgOnly: t.boolean({
      description: "Whether only the organization sees and sets the value.",
      resolve: ({ variable }) => variable.orgOnly,
    }),
    connectionTemplate: t.field({
      type: ConnectionTemplate,
      nullable: true,
      description: "The template of a connection's fields; always null, as there are no templates.",
      resolve: () => null,
    }),
  }),
});

builder.node(InstanceConfigVariable, {
  description: "A config variable of an instance.",
  authScopes: ({ instance }, context) => maySeeCustomer(context, instance.customerId),
  id: { resolve: ({ instance, variable }) => `${instance.id}/${variable.key}` },
  isTypeOf: undefined,
  loadOne: (id, context) => loadConfigVariable(context, id),
  fields: (t) => ({
    value: t.string({
      nullable: true,
      description: "The value that was given, as text; null where none was, and for connections.",
      resolve: ({ variable, given }, _args, context) =>
        variable.orgOnly && !isOrganization(context) ? null : (given?.value ?? null),
    }),
    status: t.string({
      nullable: true,
      description: 'Of a connection: "active" where values were given, else "pending".',
      resolve: statusOf,
    }),
    isConfigured: t.boolean({
      description: "Whether it has a value or a default; a connection needs values of its own.",
      resolve: ({ variable, given }) => isConfigured(variable, given),
    }),
    authorizeUrl: t.string({
      nullable: true,
      description: "Where a user would authorize the connection; always null, as no OAuth flow is offered.",
      resolve: () => null,
    }),
    inputs: t.connection(
      {
        type: ConfigVariableInputValue,
        description: "The input fields of a connection. Values that may be secret are null.",
        resolve: (item, args) => pageOfList(inputValuesOf(item), args),
      },
      InputValueConnection,
    ),
    requiredConfigVariable: t.field({
      type: RequiredConfigVariable,
      description: "What the version asks for.",
      resolve: (item) => item,
    }),
    scheduleType: t.string({
      nullable: true,
      description: "Of a schedule: how it repeats.",
      resolve: ({ given }) => given?.scheduleType ?? null,
    }),
    timeZone: t.string({
      nullable: true,
      description: "Of a schedule: its time zone.",
      resolve: ({ given }) => given?.timeZone ?? null,
    }),
    meta: t.field({
      type: "JSONString",
      nullable: true,
      description:
        "Further facts about the variable, such as a connection's OAuth state; null where there are none.",
      resolve: () => null,
    }),
  }),
});

export const ConfigVariableConnection = builder.connectionObject(
  {
    type: InstanceConfigVariable,
    name: "InstanceConfigVariableConnection",
    description: "A page of config variables.",
  },
  { name: "InstanceConfigVariableEdge", description: "A config variable with its cursor." },
);

builder.objectField(Instance, "configVariables", (t) =>
  t.connection(
    {
      type: InstanceConfigVariable,
      description: "The config variables of the version that the instance is set to.",
      args: {
        status: t.arg.string({ description: "Only connections in this state: pending or active." }),
        status_In: t.arg.stringList({
          required: { list: false, items: false },
          description: "Only connections in one of these states.",
        }),
      },
      resolve: async (instance, args, { store }) =>
        pageOfList(withStatus(await loadConfigVariables(store, instance), args), args),
    },
    ConfigVariableConnection,
  ),
);

export function withStatus(
  items: ConfigVariableItem[],
  {
    status,
    status_In,
  }: { status?: string | null | undefined; status_In?: (string | null | undefined)[] | null | undefined },
): ConfigVariableItem[] {
  return items.filter((item) => {
    if (status != null && statusOf(item) !== status.toLowerCase()) return false;
    return status_In == null || status_In.some((wanted) => wanted?.toLowerCase() === statusOf(item));
  });
}

async function loadConfigVariable(context: Context, id: string): Promise<ConfigVariableItem | null> {
  const slash = id.indexOf("/");
  const instanceId = id.slice(0, slash);
  if (slash < 0 || !isUuid(instanceId)) return null;
  const instance = await context.store.config
    .selectFrom("instances")
    .selectAll()
    .where("id", "=", instanceId)
    .executeTakeFirst();
  if (instance === undefined || !maySeeCustomer(context, instance.customerId)) return null;
  const items = await loadConfigVariables(context.store, instance);
  return items.find((item) => item.variable.key === id.slice(slash + 1)) ?? null;
}

/** What is to be stored, or what is wrong as the end of a sentence; null takes the value away. */
function nextValue(
  variable: RequiredConfigVar,
  input: ConfigVariableValues,
  before: StoredConfigVariable | undefined,
): StoredConfigVariable | null | string {
  const scheduleType = input.scheduleType ?? before?.scheduleType ?? null;
  const timeZone = input.timeZone ?? before?.timeZone ?? null;
  if (isConnection(variable)) {
    if (input.values == null) return "is a connection: give its fields in values";
    const fields = connectionFields(input.values);
    if (fields === null) return "must have a list of {name, type, value} in values";
    const inputs = new Map((before?.inputs ?? []).map((field) => [field.name, field]));
    for (const field of fields) if (field.value !== null) inputs.set(field.name, field);
    if (inputs.size > connectionFieldsMax) return `has more than ${connectionFieldsMax} fields`;
    return { value: null, inputs: [...inputs.values()], scheduleType: null, timeZone: null };
  }
  if (input.value == null) {
    if (variable.dataType !== "schedule" || input.scheduleType == null) return null;
    return { value: before?.value ?? null, inputs: null, scheduleType, timeZone };
  }
  const problem = configVariableProblem(variable, input.value);
  if (problem !== null) return problem;
  return { value: input.value, inputs: null, scheduleType, timeZone };
}

const connectionFieldsMax = 200;
const connectionBytesMax = 256 * 1024;

/** The fields of `values`: a list of {name, type, value}, or an object of values. */
function connectionFields(values: unknown): NonNullable<StoredConfigVariable["inputs"]> | null {
  if (typeof values !== "object" || values === null) return null;
  if (JSON.stringify(values).length > connectionBytesMax) return null;
  if (!Array.isArray(values)) {
    return Object.entries(values).map(([name, value]) => ({ name, type: "value", value: value ?? null }));
  }
  const fields = values.map((item: unknown) => {
    const { name, type, value } = (item ?? {}) as Record<string, unknown>;
    return typeof name === "string"
      ? { name, type: typeof type === "string" ? type : "value", value: value ?? null }
      : null;
  });
  return fields.every((field) => field !== null) ? fields : null;
}

function inputValuesOf({ variable, given, shownInputs }: ConfigVariableItem): InputValueItem[] {
  if (!isConnection(variable)) return [];
  const names = new Set([
    ...Object.keys(variable.inputs),
    ...(given?.inputs ?? []).map((field) => field.name),
  ]);
  return [...names].map((name) => {
    const field = given?.inputs?.find((candidate) => candidate.name === name);
    const value = field === undefined || !shownInputs.has(name) ? null : field.value;
    return {
      name,
      type: field?.type ?? "value",
      value: value === null ? null : typeof value === "string" ? value : JSON.stringify(value),
    };
  });
}

/**
 * The fields of each connection that its component declares as something else than a password. What no
 * component of the definition declares counts as secret.
 */
async function shownConnectionInputs(
  database: ConfigDatabase,
  { definition }: ConfiguredVersion,
): Promise<Map<string, Set<string>>> {
  const shown = new Map<string, Set<string>>();
  const digests = Object.values(definition.bundles);
  if (digests.length === 0 || !definition.requiredConfigVars.some(isConnection)) return shown;
  const rows = await database
    .selectFrom("components")
    .select("definitionJson")
    .where("digest", "in", digests)
    .execute();
  for (const row of rows) {
    const { connections } = JSON.parse(row.definitionJson) as { connections?: DeclaredConnection[] };
    for (const { key, inputs } of connections ?? []) {
      const open = (inputs ?? []).filter((input) => input.type !== "password" && !isSecretName(input.key));
      shown.set(key, new Set(open.map((input) => input.key)));
    }
  }
  return shown;
}

interface DeclaredConnection {
  key: string;
  inputs?: { key: string; type: string }[];
}

const isSecretName = (name: string): boolean =>
  /pass|secret|token|credential|private|api[-_]?key|client[-_]?key|access[-_]?key/i.test(name);
