/** What users of a customer have configured for an instance: kept, and sealed for the runs that are bound to them. */
import type { Definition } from "../../shared/definition.ts";
import type { ConfigVarValues } from "../../shared/feed.ts";
import {
  configVarValues,
  readConfigVariables,
  type StoredConfigVariables,
  sealDeployed,
  userVariables,
} from "./configVariables.ts";
import type { ConfigDatabase, ConfigTransaction, Store } from "./store.ts";
import type { ConfigTables } from "./tables.ts";

export type UserLevelConfigRow = ConfigTables["userLevelConfigs"];

/** They travel with their instance: more than this would make each of its changes slow. */
export const userConfigsMax = 2_000;
export const userConfigCharactersMax = 4 * 1024 * 1024;

/** Makes what runs of this user see anew; the definition is the one that the instance runs on. */
export async function deployUserConfig(
  transaction: ConfigTransaction,
  store: Store,
  { id, instanceId, userId }: Pick<UserLevelConfigRow, "id" | "instanceId" | "userId">,
  definition: Definition,
): Promise<void> {
  const stored = await readConfigVariables(transaction, store, { instanceId, userId });
  const deployedSealedConfigVars = sealDeployed(store, userValues(definition, stored));
  await transaction
    .updateTable("userLevelConfigs")
    .set({ deployedSealedConfigVars, updatedAtMs: Date.now() })
    .where("id", "=", id)
    .execute();
}

/** The same for all of an instance's, when it is deployed. */
export async function deployUserConfigs(
  transaction: ConfigTransaction,
  store: Store,
  instanceId: string,
  definition: Definition,
): Promise<void> {
  const rows = await transaction
    .selectFrom("userLevelConfigs")
    .select(["id", "instanceId", "userId"])
    .where("instanceId", "=", instanceId)
    .execute();
  for (const row of rows) await deployUserConfig(transaction, store, row, definition);
}

/** Whether the instance has room for what its users have configured. */
export async function areUserConfigsWithinBounds(
  transaction: ConfigTransaction,
  instanceId: string,
): Promise<boolean> {
  const { count, characters } = await transaction
    .selectFrom("userLevelConfigs")
    .select((eb) => [
      eb.fn.countAll<number>().as("count"),
      eb.fn.sum<number | null>(eb.fn("length", ["deployedSealedConfigVars"])).as("characters"),
    ])
    .where("instanceId", "=", instanceId)
    .executeTakeFirstOrThrow();
  return Number(count) <= userConfigsMax && Number(characters ?? 0) <= userConfigCharactersMax;
}

/** What the feed carries of them, by instance and user. */
export async function deployedUserConfigs(
  database: ConfigDatabase | ConfigTransaction,
  instanceIds: readonly string[],
): Promise<Map<string, string>> {
  const rows = await database
    .selectFrom("userLevelConfigs")
    .select(["instanceId", "userId", "deployedSealedConfigVars"])
    .where("instanceId", "in", [...instanceIds])
    .where("deployedSealedConfigVars", "is not", null)
    .execute();
  return new Map(
    rows.map((row) => [`${row.instanceId}/${row.userId}`, row.deployedSealedConfigVars!] as const),
  );
}

/** Only what the user has given: the instance's run has the defaults already. */
function userValues(definition: Definition, stored: StoredConfigVariables): ConfigVarValues {
  const requiredConfigVars = userVariables(definition).filter(({ key }) => stored.has(key));
  return configVarValues({ ...definition, requiredConfigVars }, stored);
}
