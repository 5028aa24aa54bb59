/**
 * The values of an instance's config variables: how they are kept (sealed, one row a variable), what an
 * input may be, and what flow code is given.
 */
import type { ComplexMember, Definition, InputValue, RequiredConfigVar } from "../../shared/definition.ts";
import type { ConfigVarValues } from "../../shared/feed.ts";
import { newId } from "../../shared/ids.ts";
import { seal, unseal } from "../../shared/secrets.ts";
import type { ConfigDatabase, ConfigTransaction, Store } from "./store.ts";

/** What was given for one variable. */
export interface StoredConfigVariable {
  /** The value as text; null for a connection. */
  value: string | null;
  /** A connection's input fields; null for everything else. */
  inputs: { name: string; type: string; value: unknown }[] | null;
  /** Only for schedules. */
  scheduleType: string | null;
  timeZone: string | null;
}

export type StoredConfigVariables = ReadonlyMap<string, StoredConfigVariable>;

const rowPurpose = "configVariable";
const deployedPurpose = "configVars";

export async function readConfigVariables(
  database: ConfigDatabase | ConfigTransaction,
  store: Store,
  instanceId: string,
): Promise<StoredConfigVariables> {
  const rows = await database
    .selectFrom("instanceConfigVariables")
    .select(["key", "sealedValue"])
    .where("instanceId", "=", instanceId)
    .execute();
  const stored = new Map<string, StoredConfigVariable>();
  for (const { key, sealedValue } of rows) {
    if (sealedValue === null) continue;
    const text = unseal(store.masterKey, rowPurpose, sealedValue).toString("utf8");
    stored.set(key, JSON.parse(text) as StoredConfigVariable);
  }
  return stored;
}

export async function writeConfigVariable(
  transaction: ConfigTransaction,
  store: Store,
  instanceId: string,
  key: string,
  variable: StoredConfigVariable | null,
): Promise<void> {
  const sealedValue = variable === null ? null : seal(store.masterKey, rowPurpose, JSON.stringify(variable));
  const updatedAtMs = Date.now();
  await transaction
    .insertInto("instanceConfigVariables")
    .values({ id: newId(), instanceId, key, sealedValue, updatedAtMs })
    .onConflict((conflict) =>
      conflict.columns(["instanceId", "key"]).doUpdateSet({ sealedValue, updatedAtMs }),
    )
    .execute();
}

/** The variables as flow code sees them, sealed as the feed carries them. */
export async function sealedConfigVarsOf(
  database: ConfigDatabase | ConfigTransaction,
  store: Store,
  instanceId: string,
  definition: Definition,
): Promise<string> {
  const stored = await readConfigVariables(database, store, instanceId);
  return seal(store.masterKey, deployedPurpose, JSON.stringify(configVarValues(definition, stored)));
}

/** The keys of the variables that have neither a value nor a default; connections need values of their own. */
export function missingConfigVariables(definition: Definition, stored: StoredConfigVariables): string[] {
  return definition.requiredConfigVars
    .filter((variable) => !isConfigured(variable, stored.get(variable.key)))
    .map((variable) => variable.key);
}

export function isConfigured(variable: RequiredConfigVar, given: StoredConfigVariable | undefined): boolean {
  if (variable.dataType === "htmlElement") return true;
  if (isConnection(variable)) return (given?.inputs?.length ?? 0) > 0;
  // A schedule without a value never runs, which is a configuration.
  if (variable.dataType === "schedule") return true;
  return given?.value != null || variable.defaultValue !== null;
}

export const isConnection = (variable: RequiredConfigVar): boolean => variable.dataType === "connection";

/** Every variable of the definition that has a value, in the type that spectral names for it. */
export function configVarValues(definition: Definition, stored: StoredConfigVariables): ConfigVarValues {
  const values: [string, unknown][] = [];
  for (const variable of definition.requiredConfigVars) {
    const given = stored.get(variable.key);
    if (isConnection(variable)) {
      if (isConfigured(variable, given)) values.push([variable.key, connectionValue(variable, given)]);
      continue;
    }
    const text = given?.value ?? variable.defaultValue;
    if (variable.dataType === "schedule") {
      values.push([variable.key, scheduleValue(text, given)]);
    } else if (text !== null) {
      values.push([variable.key, typedValue(variable, text)]);
    }
  }
  return Object.fromEntries(values);
}

/** Why a text can't be the variable's value, or null where it can. */
export function configVariableProblem(variable: RequiredConfigVar, text: string): string | null {
  if (Buffer.byteLength(text) > valueBytesMax) return `is larger than ${valueBytesMax} bytes`;
  if (variable.collectionType !== null) {
    const parsed = parseJson(text);
    if (variable.collectionType === "keyvaluelist") {
      return keyValueList(parsed) === null ? "must be a JSON list of {key, value}, or a JSON object" : null;
    }
    return Array.isArray(parsed) ? null : "must be a JSON list";
  }
  switch (variable.dataType) {
    case "boolean":
      return toBoolean(text) === null ? 'must be "true" or "false"' : null;
    case "number":
      return text.trim() === "" || !Number.isFinite(Number(text)) ? "must be a number" : null;
    case "picklist":
      return variable.pickList === null || variable.pickList.includes(text)
        ? null
        : `must be one of ${variable.pickList.map((choice) => `"${choice}"`).join(", ")}`;
    case "jsonForm":
    case "objectSelection":
    case "objectFieldMap":
      return parseJson(text) === undefined ? "must be JSON" : null;
    default:
      return null;
  }
}

const valueBytesMax = 256 * 1024;

function connectionValue(variable: RequiredConfigVar, given: StoredConfigVariable | undefined): unknown {
  const fields: Record<string, unknown> = Object.create(null);
  for (const [name, input] of Object.entries(variable.inputs)) fields[name] = inputDefault(input);
  let token: unknown;
  let context: unknown;
  for (const { name, value } of given?.inputs ?? []) {
    // What an OAuth connection holds beside its fields is given under these names.
    if (name === "token" && isObject(value)) token = value;
    else if (name === "context" && isObject(value)) context = value;
    else fields[name] = value;
  }
  return {
    key: variable.connectionKey ?? variable.key,
    configVarKey: variable.key,
    fields: { ...fields },
    ...(token === undefined ? {} : { token }),
    ...(context === undefined ? {} : { context }),
  };
}

function inputDefault(input: InputValue): unknown {
  if (input.type !== "complex" || !Array.isArray(input.value)) return input.value;
  return input.value.map(memberDefault);
}

function memberDefault(member: ComplexMember): unknown {
  if (typeof member === "string") return member;
  if (Array.isArray(member)) return member.map(memberDefault);
  return typeof member.name === "string"
    ? { key: member.name, value: inputDefault(member) }
    : inputDefault(member);
}

function scheduleValue(text: string | null, given: StoredConfigVariable | undefined): unknown {
  const value = text ?? "";
  return {
    value,
    schedule_type: given?.scheduleType ?? (value === "" ? "none" : "custom"),
    time_zone: given?.timeZone ?? "",
  };
}

function typedValue(variable: RequiredConfigVar, text: string): unknown {
  if (variable.collectionType === "keyvaluelist") {
    return (keyValueList(parseJson(text)) ?? []).map(({ key, value }) => ({
      key,
      value: scalarValue(variable, value),
    }));
  }
  if (variable.collectionType !== null) {
    const list = parseJson(text);
    return Array.isArray(list) ? list.map((value) => scalarValue(variable, value)) : [];
  }
  return scalarValue(variable, text);
}

function scalarValue(variable: RequiredConfigVar, value: unknown): unknown {
  switch (variable.dataType) {
    case "boolean":
      return typeof value === "boolean" ? value : (toBoolean(String(value)) ?? false);
    case "number":
      return Number(value);
    case "jsonForm":
    case "objectSelection":
    case "objectFieldMap":
      return typeof value === "string" ? (parseJson(value) ?? value) : value;
    default:
      return typeof value === "string" ? value : isObject(value) ? value : String(value);
  }
}

function keyValueList(parsed: unknown): { key: string; value: unknown }[] | null {
  if (Array.isArray(parsed)) {
    return parsed.every((item) => isObject(item) && typeof item["key"] === "string" && "value" in item)
      ? (parsed as { key: string; value: unknown }[])
      : null;
  }
  return isObject(parsed) ? Object.entries(parsed).map(([key, value]) => ({ key, value })) : null;
}

function toBoolean(text: string): boolean | null {
  const lower = text.trim().toLowerCase();
  return lower === "true" ? true : lower === "false" ? false : null;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
