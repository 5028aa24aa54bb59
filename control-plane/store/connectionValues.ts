/** Connections: their fields' values, from what the component declares, the definition says and was given. */
import type { ComplexMember, InputValue } from "../../shared/definition.ts";
import type { RequiredConfigVar } from "../../shared/requiredConfigVars.ts";

/** What was given for a connection, and what an OAuth server gave for it. */
export interface GivenConnection {
  inputs: { name: string; type: string; value: unknown }[] | null;
  /** An OAuth server's answer, as it came. */
  token?: Record<string, unknown>;
  /** What came with the authorization beside the code. */
  context?: Record<string, unknown>;
}

/** spectral's `ConnectionValue`. */
export interface ConnectionValue {
  key: string;
  configVarKey: string;
  fields: Record<string, unknown>;
  token?: Record<string, unknown>;
  context?: Record<string, unknown>;
}

export type ConnectionStatus = "ACTIVE" | "ERROR" | "PENDING";

/** What is known of a connection's OAuth tokens. */
export interface ConnectionState {
  status: ConnectionStatus;
  /** Why it is in `ERROR`, or what went wrong the last time. */
  error: string | null;
  refreshAtMs: number | null;
  refreshedAtMs: number | null;
}

export const isConnection = (variable: RequiredConfigVar): boolean => variable.dataType === "connection";

export function connectionValue(
  variable: RequiredConfigVar,
  given: GivenConnection | undefined,
): ConnectionValue {
  const { fields, token, context } = givenFields(variable, given);
  const value: ConnectionValue = {
    key: variable.connectionKey ?? variable.key,
    configVarKey: variable.key,
    fields: fillTemplates(variable, fields),
  };
  const heldToken = given?.token ?? token;
  const heldContext = given?.context ?? context;
  if (heldToken !== undefined) value.token = heldToken;
  if (heldContext !== undefined) value.context = heldContext;
  return value;
}

/** `PENDING` where something is still to be given or authorized. */
export function connectionStatus(
  variable: RequiredConfigVar,
  given: GivenConnection | undefined,
  state: ConnectionState | null,
): ConnectionStatus {
  if (!isConnectionFilled(variable, given)) return "PENDING";
  if (variable.declared?.oauth2Type === undefined) return "ACTIVE";
  if (state?.status === "ERROR") return "ERROR";
  return connectionValue(variable, given).token === undefined ? "PENDING" : "ACTIVE";
}

/** Whether the fields have values: some that were given, or all by default; and those that must be there are. */
export function isConnectionFilled(variable: RequiredConfigVar, given: GivenConnection | undefined): boolean {
  const { fields } = connectionValue(variable, given);
  const isGiven = (given?.inputs?.length ?? 0) > 0;
  const texts = Object.values(fields);
  if (!isGiven && (texts.length === 0 || texts.some((text) => (text ?? "") === ""))) return false;
  return missingFields(variable, given).length === 0;
}

/** The fields that the component can't do without and that nothing gives a value. */
export function missingFields(variable: RequiredConfigVar, given: GivenConnection | undefined): string[] {
  const { fields } = connectionValue(variable, given);
  return (variable.declared?.inputs ?? [])
    .filter(({ isRequired, key }) => isRequired === true && (fields[key] ?? "") === "")
    .map(({ key }) => key);
}

function givenFields(variable: RequiredConfigVar, given: GivenConnection | undefined) {
  const fields = new Map<string, unknown>();
  let token: Record<string, unknown> | undefined;
  let context: Record<string, unknown> | undefined;
  for (const { key, type, default: text } of variable.declared?.inputs ?? []) {
    if (type !== "template" && text !== undefined) fields.set(key, text);
  }
  for (const [name, input] of Object.entries(variable.inputs)) {
    const value = inputDefault(input);
    // An empty value in a definition says nothing: the component's own default stays.
    if (value !== "" || !fields.has(name)) fields.set(name, value);
  }
  for (const { name, value } of given?.inputs ?? []) {
    // Whoever brings the tokens of an OAuth connection along gives them under these names.
    if (name === "token" && isObject(value)) token = value;
    else if (name === "context" && isObject(value)) context = value;
    else fields.set(name, value);
  }
  return { fields: Object.fromEntries(fields), token, context };
}

const slot = /\{\{\s*#\s*(\w+)\s*\}\}/g;

/** Fields that are made of others: `https://{{#domain}}/oauth/token`. */
function fillTemplates(
  variable: RequiredConfigVar,
  fields: Record<string, unknown>,
): Record<string, unknown> {
  const filled = { ...fields };
  for (const { key, type, default: template } of variable.declared?.inputs ?? []) {
    if (type !== "template" || template === undefined) continue;
    filled[key] = template.replace(slot, (_whole, name: string) => {
      const value = Object.hasOwn(fields, name) ? fields[name] : undefined;
      return value == null ? "" : String(value);
    });
  }
  return filled;
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

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
