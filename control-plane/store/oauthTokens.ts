/** The tokens of OAuth connections, beside the values that they were fetched with, and whose turn it is. */
import type { Definition } from "../../shared/definition.ts";
import type { RequiredConfigVar } from "../../shared/requiredConfigVars.ts";
import { readVersion } from "./configuredVersions.ts";
import {
  instanceOwner,
  instanceVariables,
  nothingGiven,
  openDeployed,
  openVariable,
  readConfigVariables,
  type StoredConfigVariable,
  sealDeployed,
  type VariableOwner,
  writeConfigVariable,
  writeVariableRow,
} from "./configVariables.ts";
import { withReferences } from "./connectionReferences.ts";
import { type ConnectionStatus, connectionValue, isConnectionFilled } from "./connectionValues.ts";
import { touchInstance } from "./feedVersions.ts";
import type { ConfigTransaction, Store } from "./store.ts";

export interface TokenState {
  status: ConnectionStatus;
  error: string | null;
  refreshAtMs: number | null;
  expiresAtMs: number | null;
  failures: number;
  /** Undefined leaves it as it is. */
  refreshedAtMs?: number;
}

/** A connection whose token is to be fetched. */
export interface DueConnection extends VariableOwner {
  id: string;
  key: string;
  given: StoredConfigVariable;
  expiresAtMs: number | null;
  failures: number;
}

export const pendingTokens = (refreshAtMs: number | null): TokenState => ({
  status: "PENDING",
  error: null,
  refreshAtMs,
  expiresAtMs: null,
  failures: 0,
});

export const writeTokenState = (
  transaction: ConfigTransaction,
  owner: VariableOwner,
  key: string,
  { status, error, ...times }: TokenState,
): Promise<void> =>
  writeVariableRow(transaction, owner, key, { oauthStatus: status, oauthError: error, ...times });

/** A draft is not deployed: its connections whose definition says it all get their tokens from now on. */
export async function requestClientTokens(
  transaction: ConfigTransaction,
  store: Store,
  instanceId: string,
  definition: Definition,
): Promise<void> {
  const owner = instanceOwner(instanceId);
  const stored = await readConfigVariables(transaction, store, owner);
  for (const variable of instanceVariables(withReferences(definition, stored))) {
    const given = stored.get(variable.key);
    const isClient = variable.declared?.oauth2Type === "client_credentials";
    if (!isClient || given?.token !== undefined || !isConnectionFilled(variable, given)) continue;
    await writeTokenState(transaction, owner, variable.key, pendingTokens(Date.now()));
  }
}

/** Hands out connections whose time has come, each for the time of a lease: a crash leaves it to the next one. */
export function claimDueConnections(store: Store, nowMs: number, leaseMs: number, most: number) {
  return store.config.transaction().execute(async (transaction) => {
    const rows = await transaction
      .selectFrom("instanceConfigVariables")
      .selectAll()
      .where("refreshAtMs", "is not", null)
      .where("refreshAtMs", "<=", nowMs)
      .orderBy("refreshAtMs")
      .limit(most)
      .execute();
    if (rows.length === 0) return [];
    await transaction
      .updateTable("instanceConfigVariables")
      .set({ refreshAtMs: nowMs + leaseMs })
      .where(
        "id",
        "in",
        rows.map(({ id }) => id),
      )
      .execute();
    return rows.map(({ sealedValue, ...row }): DueConnection => {
      const { id, instanceId, userId, key, expiresAtMs, failures } = row;
      const given = sealedValue === null ? nothingGiven : openVariable(store, sealedValue);
      return { id, instanceId, userId, key, given, expiresAtMs, failures };
    });
  });
}

/**
 * Keeps a new token, and puts it where runs read it: data planes have it with the next change of the feed. Null
 * takes it away from both. Returns the feed's version, or null where the connection was changed meanwhile: what
 * was fetched with `seen` is of no use then.
 */
export async function keepToken(
  transaction: ConfigTransaction,
  store: Store,
  owner: VariableOwner,
  variable: RequiredConfigVar,
  seen: StoredConfigVariable,
  next: Pick<StoredConfigVariable, "token" | "context"> | null,
  state: TokenState,
): Promise<number | null> {
  const row = await transaction
    .selectFrom("instanceConfigVariables")
    .select("sealedValue")
    .where("instanceId", "=", owner.instanceId)
    .where("userId", owner.userId === null ? "is" : "=", owner.userId)
    .where("key", "=", variable.key)
    .executeTakeFirst();
  const now = row?.sealedValue == null ? nothingGiven : openVariable(store, row.sealedValue);
  if (JSON.stringify([now.inputs, now.token]) !== JSON.stringify([seen.inputs, seen.token])) return null;
  const { token: _token, context: _context, ...rest } = now;
  const kept: StoredConfigVariable = { ...rest, ...next };
  await writeConfigVariable(transaction, store, owner, variable.key, kept);
  await writeTokenState(transaction, owner, variable.key, state);
  await deployToken(transaction, store, owner, variable, kept);
  return touchInstance(transaction, owner.instanceId);
}

/** A deployed connection gets the token alone: what else was changed since the deploy waits for the next one. */
async function deployToken(
  transaction: ConfigTransaction,
  store: Store,
  { instanceId, userId }: VariableOwner,
  variable: RequiredConfigVar,
  kept: StoredConfigVariable,
): Promise<void> {
  const row =
    userId === null
      ? await transaction
          .selectFrom("instances")
          .select("deployedSealedConfigVars as sealed")
          .where("id", "=", instanceId)
          .executeTakeFirst()
      : await transaction
          .selectFrom("userLevelConfigs")
          .select("deployedSealedConfigVars as sealed")
          .where("instanceId", "=", instanceId)
          .where("userId", "=", userId)
          .executeTakeFirst();
  if (row?.sealed == null) return;
  const values = openDeployed(store, row.sealed);
  const { token, context, ...value } = connectionValue(variable, kept);
  const deployed = values[variable.key];
  if (deployed === undefined && !(await runsWith(transaction, instanceId, variable.key))) return;
  const {
    token: _old,
    context: _oldContext,
    ...held
  } = (typeof deployed === "object" && deployed !== null ? deployed : value) as Record<string, unknown>;
  values[variable.key] = {
    ...held,
    ...(token === undefined ? {} : { token }),
    ...(context === undefined ? {} : { context }),
  };
  const deployedSealedConfigVars = sealDeployed(store, values);
  if (userId === null) {
    await transaction
      .updateTable("instances")
      .set({ deployedSealedConfigVars })
      .where("id", "=", instanceId)
      .execute();
  } else {
    await transaction
      .updateTable("userLevelConfigs")
      .set({ deployedSealedConfigVars })
      .where("instanceId", "=", instanceId)
      .where("userId", "=", userId)
      .execute();
  }
}

/** Whether what the instance runs on knows the variable: it may be set to a version that it does not run on yet. */
async function runsWith(transaction: ConfigTransaction, instanceId: string, key: string): Promise<boolean> {
  const { integrationId, deployedVersionId } = await transaction
    .selectFrom("instances")
    .select(["integrationId", "deployedVersionId"])
    .where("id", "=", instanceId)
    .executeTakeFirstOrThrow();
  const running = await readVersion(transaction, integrationId, deployedVersionId);
  return running?.definition.requiredConfigVars.some((variable) => variable.key === key) === true;
}

/** False where this authorization has come back before. */
export async function useOauthState(
  transaction: ConfigTransaction,
  nonce: string,
  expiresAtMs: number,
): Promise<boolean> {
  await transaction.deleteFrom("usedOauthStates").where("expiresAtMs", "<", Date.now()).execute();
  const { numInsertedOrUpdatedRows } = await transaction
    .insertInto("usedOauthStates")
    .values({ nonce, expiresAtMs })
    .onConflict((conflict) => conflict.column("nonce").doNothing())
    .executeTakeFirst();
  return (numInsertedOrUpdatedRows ?? 0n) > 0n;
}
