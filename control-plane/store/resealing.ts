/**
 * Sealing anew, under the first of the master keys, what was sealed under another: in batches, each a
 * transaction, so that a rotation that is cut short goes on where it was. The pepper itself stays.
 */
import { type Expression, type ExpressionBuilder, type SqlBool, sql } from "kysely";
import {
  keyFingerprint,
  type MasterKey,
  seal,
  sealedPrefix,
  unmarkedPrefix,
  unseal,
} from "../../shared/secrets.ts";
import { type TouchedEntity, touch } from "./feedVersions.ts";
import type { ConfigTransaction, Store } from "./store.ts";
import type { ConfigTables } from "./tables.ts";

/** Rows of each table in one transaction: other writers wait for it. */
const batchRows = 500;

/** What the store seals, each under its purpose. */
const sealedMeta = { wrappedPepper: "pepper", masterKeyCheck: "masterKeyCheck" } as const;
const keyPurpose = "apiKey";
const variablePurpose = "configVariable";
const deployedPurpose = "configVars";

/**
 * Seals a batch anew and touches what the feed carries of it. Returns how many values that were, 0 once all is
 * sealed under the first key, and the feed's version from which on all of them are in the feed.
 */
export async function resealBatch(
  transaction: ConfigTransaction,
  store: Store,
): Promise<{ resealed: number; version: number }> {
  const prefix = sealedPrefix(keyFingerprint(store.masterKey.keys[0]!));
  const touched: TouchedEntity[] = [];
  let resealed = await resealMeta(transaction, store, prefix, touched);
  resealed += await resealKeys(transaction, store, prefix, touched);
  resealed += await resealVariables(transaction, store, prefix);
  resealed += await resealDeployed(transaction, store, prefix, touched);
  resealed += await resealUserConfigs(transaction, store, prefix, touched);
  if (resealed === 0) await touchComputed(transaction, prefix, touched);
  return { resealed, version: await touch(transaction, touched) };
}

/** What was replaced is out of the database's pages (`secureDelete`); this takes it out of the log beside it. */
export async function dropReplacedPages(store: Store): Promise<void> {
  await sql`PRAGMA wal_checkpoint(TRUNCATE)`.execute(store.config);
}

/** How many stored values none of these keys can have sealed. */
export async function countSealedUnderOthers(store: Store, keys: MasterKey["keys"]): Promise<number> {
  // What was sealed before there were fingerprints may be of any key.
  const prefixes = [...keys.map((key) => sealedPrefix(keyFingerprint(key))), unmarkedPrefix];
  const [apiKeys, variables, instances, userConfigs] = await Promise.all([
    store.config
      .selectFrom("apiKeys")
      .select((eb) => eb.fn.countAll<number>().as("count"))
      .where((eb) => eb.and(prefixes.map((prefix) => startsOtherwise(eb, "sealed", prefix))))
      .executeTakeFirstOrThrow(),
    store.config
      .selectFrom("instanceConfigVariables")
      .select((eb) => eb.fn.countAll<number>().as("count"))
      .where((eb) => eb.and(prefixes.map((prefix) => startsOtherwise(eb, "sealedValue", prefix))))
      .executeTakeFirstOrThrow(),
    store.config
      .selectFrom("instances")
      .select((eb) => eb.fn.countAll<number>().as("count"))
      .where((eb) =>
        eb.and(prefixes.map((prefix) => startsOtherwise(eb, "deployedSealedConfigVars", prefix))),
      )
      .executeTakeFirstOrThrow(),
    store.config
      .selectFrom("userLevelConfigs")
      .select((eb) => eb.fn.countAll<number>().as("count"))
      .where((eb) =>
        eb.and(prefixes.map((prefix) => startsOtherwise(eb, "deployedSealedConfigVars", prefix))),
      )
      .executeTakeFirstOrThrow(),
  ]);
  return (
    Number(apiKeys.count) + Number(variables.count) + Number(instances.count) + Number(userConfigs.count)
  );
}

/** Whether these keys open the store: its pepper, and the mark that it was made with. */
export async function opensStore(store: Store, keys: MasterKey["keys"]): Promise<boolean> {
  const rows = await store.config
    .selectFrom("meta")
    .selectAll()
    .where("key", "in", Object.keys(sealedMeta))
    .execute();
  try {
    for (const { key, value } of rows) unseal({ keys }, sealedMeta[key as keyof typeof sealedMeta], value);
    return rows.length > 0;
  } catch {
    return false;
  }
}

const startsOtherwise = <Table extends keyof ConfigTables, Column extends keyof ConfigTables[Table] & string>(
  eb: ExpressionBuilder<ConfigTables, Table>,
  column: Column,
  prefix: string,
): Expression<SqlBool> => eb(column as never, "not like", `${prefix}%` as never);

function resealed({ masterKey }: Store, purpose: string, sealed: string): string {
  return seal(masterKey, purpose, unseal(masterKey, purpose, sealed));
}

async function resealMeta(
  transaction: ConfigTransaction,
  store: Store,
  prefix: string,
  touched: TouchedEntity[],
): Promise<number> {
  const rows = await transaction
    .selectFrom("meta")
    .selectAll()
    .where("key", "in", Object.keys(sealedMeta))
    .where("value", "not like", `${prefix}%`)
    .execute();
  for (const row of rows) {
    const value = resealed(store, sealedMeta[row.key as keyof typeof sealedMeta], row.value);
    await transaction.updateTable("meta").set({ value }).where("key", "=", row.key).execute();
    // Either wrapping opens to the same pepper, so it may be handed out before the commit.
    if (row.key === "wrappedPepper") store.wrappedPepper = value;
    touched.push({ kind: "settings", id: "settings" });
  }
  return rows.length;
}

async function resealKeys(
  transaction: ConfigTransaction,
  store: Store,
  prefix: string,
  touched: TouchedEntity[],
): Promise<number> {
  const rows = await transaction
    .selectFrom("apiKeys")
    .select(["id", "ownerType", "ownerId", "sealed"])
    .where("sealed", "not like", `${prefix}%`)
    .limit(batchRows)
    .execute();
  for (const { id, ownerType, ownerId, sealed } of rows) {
    await transaction
      .updateTable("apiKeys")
      .set({ sealed: resealed(store, keyPurpose, sealed) })
      .where("id", "=", id)
      .execute();
    touched.push({ kind: ownerType === "INSTANCE" ? "instance" : "integration", id: ownerId });
  }
  return rows.length;
}

/** Not in the feed: data planes are given what was deployed. */
async function resealVariables(
  transaction: ConfigTransaction,
  store: Store,
  prefix: string,
): Promise<number> {
  const rows = await transaction
    .selectFrom("instanceConfigVariables")
    .select(["id", "sealedValue"])
    .where("sealedValue", "not like", `${prefix}%`)
    .limit(batchRows)
    .execute();
  for (const { id, sealedValue } of rows) {
    await transaction
      .updateTable("instanceConfigVariables")
      .set({ sealedValue: resealed(store, variablePurpose, sealedValue!) })
      .where("id", "=", id)
      .execute();
  }
  return rows.length;
}

async function resealDeployed(
  transaction: ConfigTransaction,
  store: Store,
  prefix: string,
  touched: TouchedEntity[],
): Promise<number> {
  const rows = await transaction
    .selectFrom("instances")
    .select(["id", "deployedSealedConfigVars"])
    .where("deployedSealedConfigVars", "not like", `${prefix}%`)
    .limit(batchRows)
    .execute();
  for (const { id, deployedSealedConfigVars } of rows) {
    await transaction
      .updateTable("instances")
      .set({ deployedSealedConfigVars: resealed(store, deployedPurpose, deployedSealedConfigVars!) })
      .where("id", "=", id)
      .execute();
    touched.push({ kind: "instance", id });
  }
  return rows.length;
}

async function resealUserConfigs(
  transaction: ConfigTransaction,
  store: Store,
  prefix: string,
  touched: TouchedEntity[],
): Promise<number> {
  const rows = await transaction
    .selectFrom("userLevelConfigs")
    .select(["id", "instanceId", "deployedSealedConfigVars"])
    .where("deployedSealedConfigVars", "not like", `${prefix}%`)
    .limit(batchRows)
    .execute();
  for (const { id, instanceId, deployedSealedConfigVars } of rows) {
    await transaction
      .updateTable("userLevelConfigs")
      .set({ deployedSealedConfigVars: resealed(store, deployedPurpose, deployedSealedConfigVars!) })
      .where("id", "=", id)
      .execute();
    touched.push({ kind: "instance", id: instanceId });
  }
  return rows.length;
}

/**
 * Instances without config variables: what data planes have of them was sealed when the feed was read. Once
 * for each key that everything is sealed under.
 */
async function touchComputed(
  transaction: ConfigTransaction,
  prefix: string,
  touched: TouchedEntity[],
): Promise<void> {
  const done = await transaction
    .selectFrom("meta")
    .select("value")
    .where("key", "=", "resealedUnder")
    .executeTakeFirst();
  if (done?.value === prefix) return;
  const rows = await transaction
    .selectFrom("instances")
    .innerJoin("feedEntities", (join) =>
      join.onRef("feedEntities.id", "=", "instances.id").on("feedEntities.kind", "=", "instance"),
    )
    .select("instances.id")
    .where("deployedSealedConfigVars", "is", null)
    .execute();
  touched.push(...rows.map(({ id }) => ({ kind: "instance" as const, id })));
  await transaction
    .insertInto("meta")
    .values({ key: "resealedUnder", value: prefix })
    .onConflict((conflict) => conflict.column("key").doUpdateSet({ value: prefix }))
    .execute();
}
