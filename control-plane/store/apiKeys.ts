/** API keys as rows: an HMAC to check with, the key itself sealed, and what may be shown of it. */
import { type Definition, type Flow, securityTypeOf } from "../../shared/definition.ts";
import { newId } from "../../shared/ids.ts";
import { keyHmac, keyLast4, keyPrefix, maskKey, seal } from "../../shared/secrets.ts";
import type { ConfigDatabase, ConfigTransaction, Store } from "./store.ts";
import type { ConfigTables } from "./tables.ts";

type Reader = ConfigDatabase | ConfigTransaction;
export type ApiKeyRow = ConfigTables["apiKeys"];

/** Whose key it is: an instance's (the customer's) or an integration's (the organization's), for one flow. */
export interface KeyOwner {
  ownerType: ApiKeyRow["ownerType"];
  ownerId: string;
  stableKey: string;
}

export const isValidKey = (row: ApiKeyRow, nowMs = Date.now()): boolean =>
  row.revokedAtMs === null && (row.expiresAtMs === null || row.expiresAtMs > nowMs);

export type KeyStatus = "ACTIVE" | "EXPIRED" | "REVOKED";

/** A key that was revoked stays so, also once it would have expired. */
export function keyStatus(row: ApiKeyRow, nowMs = Date.now()): KeyStatus {
  if (row.revokedAtMs !== null) return "REVOKED";
  return isValidKey(row, nowMs) ? "ACTIVE" : "EXPIRED";
}

export const maskOf = (row: Pick<ApiKeyRow, "prefix" | "last4">): string => maskKey(row.prefix, row.last4);

/** The keys that an owner has for a flow, or for all its flows, the oldest first; revoked ones among them. */
export function keysOf(
  database: Reader,
  owner: Omit<KeyOwner, "stableKey"> & { stableKey?: string },
): Promise<ApiKeyRow[]> {
  let query = database
    .selectFrom("apiKeys")
    .selectAll()
    .where("ownerType", "=", owner.ownerType)
    .where("ownerId", "=", owner.ownerId)
    .orderBy("createdAtMs")
    .orderBy("id");
  if (owner.stableKey !== undefined) query = query.where("stableKey", "=", owner.stableKey);
  return query.execute();
}

export function keyById(database: Reader, id: string): Promise<ApiKeyRow | undefined> {
  return database.selectFrom("apiKeys").selectAll().where("id", "=", id).executeTakeFirst();
}

/** The key that took the place of this one, or undefined. */
export function successorOf(database: Reader, row: ApiKeyRow): Promise<ApiKeyRow | undefined> {
  return database
    .selectFrom("apiKeys")
    .selectAll()
    .where("ownerType", "=", row.ownerType)
    .where("ownerId", "=", row.ownerId)
    .where("stableKey", "=", row.stableKey)
    .where("rotatedFromId", "=", row.id)
    .orderBy("id", "desc")
    .limit(1)
    .executeTakeFirst();
}

/** The owner's row for this very key, revoked or not. */
export function findKey(
  database: Reader,
  store: Store,
  owner: KeyOwner,
  key: string,
): Promise<ApiKeyRow | undefined> {
  return database
    .selectFrom("apiKeys")
    .selectAll()
    .where("ownerType", "=", owner.ownerType)
    .where("ownerId", "=", owner.ownerId)
    .where("stableKey", "=", owner.stableKey)
    .where("hmac", "=", keyHmac(store.pepper, key))
    .executeTakeFirst();
}

export async function insertKey(
  transaction: ConfigTransaction,
  store: Store,
  owner: KeyOwner,
  made: {
    key: string;
    name: string;
    createdBy: string;
    expiresAtMs: number | null;
    rotatedFromId?: string;
  },
): Promise<ApiKeyRow> {
  const row: ApiKeyRow = {
    id: newId(),
    ...owner,
    name: made.name,
    hmac: keyHmac(store.pepper, made.key),
    sealed: seal(store.masterKey, "apiKey", made.key),
    prefix: keyPrefix(made.key),
    last4: keyLast4(made.key),
    createdAtMs: Date.now(),
    createdBy: made.createdBy,
    lastUsedAtMs: null,
    expiresAtMs: made.expiresAtMs,
    revokedAtMs: null,
    rotatedFromId: made.rotatedFromId ?? null,
  };
  await transaction.insertInto("apiKeys").values(row).execute();
  return row;
}

export async function updateKey(
  transaction: ConfigTransaction,
  id: string,
  changes: Partial<Pick<ApiKeyRow, "name" | "expiresAtMs" | "revokedAtMs">>,
): Promise<void> {
  if (Object.keys(changes).length === 0) return;
  await transaction.updateTable("apiKeys").set(changes).where("id", "=", id).execute();
}

/** The flows that need a key of the customer and have no valid one: what keeps an instance from its deploy. */
export async function flowsWithoutKey(
  database: Reader,
  instanceId: string,
  definition: Definition,
): Promise<Flow[]> {
  const needing = definition.flows.filter((flow) => securityTypeOf(definition, flow) === "customer_required");
  if (needing.length === 0) return [];
  const keys = await keysOf(database, { ownerType: "INSTANCE", ownerId: instanceId });
  const secured = new Set(keys.filter((row) => isValidKey(row)).map((row) => row.stableKey));
  return needing.filter((flow) => !secured.has(flow.stableKey));
}
