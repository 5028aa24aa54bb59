/** What config variables are set to: how it is given, checked and kept. */
import type { RequiredConfigVar } from "../../shared/requiredConfigVars.ts";
import { oauthSettings } from "../oauth/settings.ts";
import { tokenTimes } from "../oauth/tokenTimes.ts";
import {
  type KeptConfigVariable,
  readConfigVariables,
  type StoredConfigVariable,
  type VariableOwner,
  writeConfigVariable,
} from "../store/configVariables.ts";
import { configVariableProblem, scheduleProblem } from "../store/configVarTypes.ts";
import { resolveReferences } from "../store/connectionReferences.ts";
import { connectionValue, isConnection } from "../store/connectionValues.ts";
import { pendingTokens, type TokenState, writeTokenState } from "../store/oauthTokens.ts";
import type { ConfigTransaction, Store } from "../store/store.ts";
import { builder } from "./builder.ts";
import { InputError } from "./payloads.ts";

export const ConfigVariableInput = builder.inputType("InputInstanceConfigVariable", {
  description: "What one config variable is set to.",
  fields: (t) => ({
    key: t.string({ required: true, description: "The variable's key." }),
    value: t.string({
      description: "The value as text; lists and objects as JSON. Null takes the value away.",
    }),
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
  owner: VariableOwner,
  declared: readonly RequiredConfigVar[],
  inputs: readonly (ConfigVariableValues | null | undefined)[],
  field = "configVariables",
): Promise<void> {
  const stored = await readConfigVariables(transaction, store, owner);
  const variables = resolveReferences([...declared], stored);
  const problems: string[] = [];
  for (const input of inputs) {
    if (input == null) continue;
    const variable = variables.find((candidate) => candidate.key === input.key);
    if (variable === undefined) {
      problems.push(noSuchVariable(input.key, owner));
      continue;
    }
    const before = stored.get(input.key);
    const next = nextValue(variable, input, before);
    if (typeof next === "string") {
      problems.push(`Config variable "${input.key}" ${next}.`);
      continue;
    }
    const { variable: value, state } = withTokens(variable, before, next);
    await writeConfigVariable(transaction, store, owner, input.key, value);
    if (state !== null) await writeTokenState(transaction, owner, input.key, state);
  }
  if (problems.length > 0) throw new InputError(field, problems);
}

const noSuchVariable = (key: string, { userId }: VariableOwner): string =>
  userId === null
    ? `There is no config variable "${key}" that is set for the whole instance.`
    : `There is no config variable "${key}" that each user sets.`;

/** What is to be stored, or what is wrong as the end of a sentence; null takes the value away. */
function nextValue(
  variable: RequiredConfigVar,
  input: ConfigVariableValues,
  before: StoredConfigVariable | undefined,
): StoredConfigVariable | null | string {
  if (isConnection(variable)) return nextConnection(variable, input, before);
  const given: StoredConfigVariable = {
    value: input.value ?? null,
    inputs: null,
    scheduleType: input.scheduleType?.toLowerCase() ?? before?.scheduleType ?? null,
    timeZone: input.timeZone ?? before?.timeZone ?? null,
  };
  if (variable.dataType === "schedule") {
    const problem = scheduleProblem(given);
    if (problem !== null) return problem;
    if (input.value == null && input.scheduleType == null && input.timeZone == null) return null;
    given.value ??= before?.value ?? null;
  } else if (given.value === null) {
    return null;
  }
  const problem = given.value === null ? null : configVariableProblem(variable, given.value);
  return problem ?? given;
}

function nextConnection(
  variable: RequiredConfigVar,
  input: ConfigVariableValues,
  before: StoredConfigVariable | undefined,
): StoredConfigVariable | string {
  if (input.values == null) return "is a connection: give its fields in values";
  const fields = connectionFields(input.values);
  if (fields === null) return "must have a list of {name, type, value} in values";
  const unknown = unknownField(variable, fields);
  if (unknown !== null) return `has no field "${unknown}"`;
  const inputs = new Map((before?.inputs ?? []).map((field) => [field.name, field]));
  for (const field of fields) if (field.value !== null) inputs.set(field.name, field);
  if (inputs.size > connectionFieldsMax) return `has more than ${connectionFieldsMax} fields`;
  return { ...before, value: null, inputs: [...inputs.values()], scheduleType: null, timeZone: null };
}

const connectionFieldsMax = 200;
const connectionBytesMax = 256 * 1024;
/** What a connection has beside its fields. */
const tokenFields = new Set(["token", "context"]);

/** Where the component says which fields there are, another one is a slip of the pen. */
function unknownField(
  { declared, inputs }: RequiredConfigVar,
  fields: readonly { name: string }[],
): string | null {
  if (declared === undefined || declared.inputs.length === 0) return null;
  const known = new Set([...declared.inputs.map(({ key }) => key), ...Object.keys(inputs), ...tokenFields]);
  return fields.find(({ name }) => !known.has(name))?.name ?? null;
}

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

/** Of an OAuth connection the tokens, which another client's or server's settings make worthless. */
function withTokens(
  variable: RequiredConfigVar,
  before: KeptConfigVariable | undefined,
  next: StoredConfigVariable | null,
): { variable: StoredConfigVariable | null; state: TokenState | null } {
  const type = variable.declared?.oauth2Type;
  if (type === undefined || next === null) return { variable: next, state: null };
  const { token, context } = connectionValue(variable, { inputs: next.inputs });
  const inputs = next.inputs?.filter(({ name }) => !tokenFields.has(name)) ?? null;
  if (token !== undefined) {
    const state = { status: "ACTIVE" as const, error: null, ...tokenTimes(token, Date.now()), failures: 0 };
    const given = { ...next, inputs, token };
    return { variable: context === undefined ? given : { ...given, context }, state };
  }
  const isSame = secretsOf(variable, before) === secretsOf(variable, next);
  if (isSame && next.token !== undefined) return { variable: next, state: null };
  const { token: _token, context: _context, ...rest } = next;
  // Nobody has to be asked for a client's own token: it is fetched at once.
  return { variable: rest, state: pendingTokens(type === "client_credentials" ? Date.now() : null) };
}

function secretsOf(variable: RequiredConfigVar, given: StoredConfigVariable | undefined): string | null {
  const read = oauthSettings(variable, given, true);
  if (!read.ok) return null;
  const { fingerprint, scopes, clientSecret, type } = read.settings;
  // A new secret of the same client leaves what a user has authorized as it is.
  return type === "client_credentials" ? `${fingerprint} ${scopes} ${clientSecret}` : fingerprint;
}
