/**
 * The values of config variables: an instance's own, and those that each user of the customer has for it. How
 * they are kept (sealed, one row a variable), and what flow code is given.
 */
import type { Definition } from "../../shared/definition.ts";
import type { ConfigVarValues } from "../../shared/feed.ts";
import { newId } from "../../shared/ids.ts";
import type { RequiredConfigVar } from "../../shared/requiredConfigVars.ts";
import { seal, unseal } from "../../shared/secrets.ts";
import { configVariableProblem, type GivenValue, typedValue } from "./configVarTypes.ts";
import { withReferences } from "./connectionReferences.ts";
import {
  type ConnectionState,
  connectionStatus,
  connectionValue,
  type GivenConnection,
  isConnection,
  isConnectionFilled,
} from "./connectionValues.ts";
import type { ConfigDatabase, ConfigTransaction, Store } from "./store.ts";
import type { ConfigTables } from "./tables.ts";

/** Whose values: an instance's own, or those of one of the customer's users for it. */
export interface VariableOwner {
  instanceId: string;
  userId: string | null;
}

/** What was given for one variable; a connection has no `value`, and everything else no `inputs`. */
export interface StoredConfigVariable extends GivenValue, GivenConnection {}

/** The same with what is known of its OAuth tokens; null where it has none. */
export interface KeptConfigVariable extends StoredConfigVariable {
  state: ConnectionState | null;
}

export type StoredConfigVariables = ReadonlyMap<string, KeptConfigVariable>;

export const nothingGiven: StoredConfigVariable = {
  value: null,
  inputs: null,
  scheduleType: null,
  timeZone: null,
};

type Database = ConfigDatabase | ConfigTransaction;
type VariableRow = ConfigTables["instanceConfigVariables"];

const rowPurpose = "configVariable";
const deployedPurpose = "configVars";

export const instanceOwner = (instanceId: string): VariableOwner => ({ instanceId, userId: null });

export async function readConfigVariables(
  database: Database,
  store: Store,
  { instanceId, userId }: VariableOwner,
): Promise<StoredConfigVariables> {
  const rows = await database
    .selectFrom("instanceConfigVariables")
    .selectAll()
    .where("instanceId", "=", instanceId)
    .where("userId", userId === null ? "is" : "=", userId)
    .execute();
  const stored = new Map<string, KeptConfigVariable>();
  for (const row of rows) {
    const { key, sealedValue, oauthStatus } = row;
    if (sealedValue === null && oauthStatus === null) continue;
    const state =
      oauthStatus === null
        ? null
        : {
            status: oauthStatus,
            error: row.oauthError,
            refreshAtMs: row.refreshAtMs,
            refreshedAtMs: row.refreshedAtMs,
          };
    stored.set(key, { ...(sealedValue === null ? nothingGiven : openVariable(store, sealedValue)), state });
  }
  return stored;
}

/** `null` takes the value away. What is known of its tokens is not changed. */
export function writeConfigVariable(
  transaction: ConfigTransaction,
  store: Store,
  owner: VariableOwner,
  key: string,
  variable: StoredConfigVariable | null,
): Promise<void> {
  const sealedValue = variable === null ? null : sealVariable(store, variable);
  return writeVariableRow(transaction, owner, key, { sealedValue, updatedAtMs: Date.now() });
}

export async function writeVariableRow(
  transaction: ConfigTransaction,
  { instanceId, userId }: VariableOwner,
  key: string,
  changes: Partial<VariableRow>,
): Promise<void> {
  const { numUpdatedRows } = await transaction
    .updateTable("instanceConfigVariables")
    .set(changes)
    .where("instanceId", "=", instanceId)
    .where("userId", userId === null ? "is" : "=", userId)
    .where("key", "=", key)
    .executeTakeFirst();
  if (numUpdatedRows > 0n) return;
  const row: VariableRow = {
    id: newId(),
    instanceId,
    userId,
    key,
    sealedValue: null,
    updatedAtMs: Date.now(),
    oauthStatus: null,
    oauthError: null,
    refreshAtMs: null,
    refreshedAtMs: null,
    expiresAtMs: null,
    failures: 0,
  };
  await transaction
    .insertInto("instanceConfigVariables")
    .values({ ...row, ...changes })
    .execute();
}

export const openVariable = (store: Store, sealedValue: string): StoredConfigVariable =>
  JSON.parse(unseal(store.masterKey, rowPurpose, sealedValue).toString("utf8")) as StoredConfigVariable;

export const sealVariable = (store: Store, variable: StoredConfigVariable): string => {
  const { value, inputs, scheduleType, timeZone, token, context } = variable;
  return seal(
    store.masterKey,
    rowPurpose,
    JSON.stringify({ value, inputs, scheduleType, timeZone, token, context }),
  );
};

/** The variables as flow code sees them, sealed as the feed carries them. */
export const sealDeployed = (store: Store, values: ConfigVarValues): string =>
  seal(store.masterKey, deployedPurpose, JSON.stringify(values));

export const openDeployed = (store: Store, sealed: string): ConfigVarValues =>
  JSON.parse(unseal(store.masterKey, deployedPurpose, sealed).toString("utf8")) as ConfigVarValues;

export async function sealedConfigVarsOf(
  database: Database,
  store: Store,
  instanceId: string,
  definition: Definition,
): Promise<string> {
  const stored = await readConfigVariables(database, store, instanceOwner(instanceId));
  return sealDeployed(store, configVarValues(definition, stored));
}

/** The variables of the instance itself; those of its users are not among them. */
export const instanceVariables = ({ requiredConfigVars }: Definition): RequiredConfigVar[] =>
  requiredConfigVars.filter(({ isUserLevel }) => isUserLevel !== true);

export const userVariables = ({ requiredConfigVars }: Definition): RequiredConfigVar[] =>
  requiredConfigVars.filter(({ isUserLevel }) => isUserLevel === true);

/** The keys of the variables that have neither a value nor a default; connections need values of their own. */
export const missingConfigVariables = (definition: Definition, stored: StoredConfigVariables): string[] =>
  instanceVariables(withReferences(definition, stored))
    .filter((variable) => !isConfigured(variable, stored.get(variable.key)))
    .map((variable) => variable.key);

/**
 * A sentence for each value that the version can't take: what was given may have been given for a version where
 * the variable had another type.
 */
export function unfitConfigVariables(definition: Definition, stored: StoredConfigVariables): string[] {
  return instanceVariables(definition).flatMap((variable) => {
    const text = isConnection(variable) ? null : (stored.get(variable.key)?.value ?? null);
    const problem = text === null ? null : configVariableProblem(variable, text);
    return problem === null ? [] : [`Config variable "${variable.key}" ${problem}.`];
  });
}

export function isConfigured(variable: RequiredConfigVar, given: KeptConfigVariable | undefined): boolean {
  if (variable.dataType === "htmlElement") return true;
  if (isConnection(variable)) return isConnectionFilled(variable, given) && hasTokens(variable, given);
  // A schedule without a value never runs, which is a configuration.
  if (variable.dataType === "schedule") return true;
  return typedValue(variable, given) !== undefined;
}

/** The keys of OAuth 2.0 connections whose fields are there and that somebody has yet to authorize. */
export const unauthorizedConnections = (definition: Definition, stored: StoredConfigVariables): string[] =>
  instanceVariables(withReferences(definition, stored))
    .filter((variable) => {
      const given = stored.get(variable.key);
      return isConnection(variable) && isConnectionFilled(variable, given) && !hasTokens(variable, given);
    })
    .map(({ key }) => key);

/** Somebody has to authorize the one kind; the tokens of the other are fetched when they are needed. */
const hasTokens = (variable: RequiredConfigVar, given: KeptConfigVariable | undefined): boolean =>
  variable.declared?.oauth2Type !== "authorization_code" ||
  connectionStatus(variable, given, given?.state ?? null) === "ACTIVE";

/** Every variable of the definition that has a value, in the type that spectral names for it. */
export function configVarValues(definition: Definition, stored: StoredConfigVariables): ConfigVarValues {
  const values: [string, unknown][] = [];
  for (const variable of withReferences(definition, stored).requiredConfigVars) {
    const given = stored.get(variable.key);
    if (!isConnection(variable)) {
      const value = typedValue(variable, given);
      if (value !== undefined) values.push([variable.key, value]);
    } else if (isConnectionFilled(variable, given)) {
      values.push([variable.key, connectionValue(variable, given)]);
    }
  }
  return Object.fromEntries(values);
}
