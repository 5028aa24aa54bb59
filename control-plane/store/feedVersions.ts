/**
 * The feed's versions: a counter, and for each entity the version of its last change. Whatever changes a row
 * that an entity is computed from touches that entity in the same transaction.
 */
import { sql } from "kysely";
import type { FeedEntityKind } from "../../shared/feed.ts";
import type { ConfigTransaction, Store } from "./store.ts";

export interface TouchedEntity {
  kind: FeedEntityKind;
  id: string;
}

/**
 * Gives each entity a new version, in the transaction that changes its rows. Returns the feed's new version.
 * The counter's row is written first, so that two transactions can't number the same change.
 */
export async function touch(
  transaction: ConfigTransaction,
  entities: readonly TouchedEntity[],
): Promise<number> {
  const distinct = new Map(entities.map((entity) => [`${entity.kind}/${entity.id}`, entity]));
  const row = await transaction
    .updateTable("meta")
    .where("key", "=", "feedVersion")
    .set({ value: sql<string>`cast(cast(value as integer) + ${distinct.size} as text)` })
    .returning("value")
    .executeTakeFirstOrThrow();
  const newest = Number(row.value);
  let version = newest - distinct.size;
  for (const { kind, id } of distinct.values()) {
    version += 1;
    await transaction
      .insertInto("feedEntities")
      .values({ kind, id, version })
      .onConflict((conflict) => conflict.columns(["kind", "id"]).doUpdateSet({ version }))
      .execute();
  }
  return newest;
}

/** After a change of an instance, its flow configs, its keys, or of what it has deployed. */
export async function touchInstance(transaction: ConfigTransaction, instanceId: string): Promise<number> {
  return touchInstances(transaction, [instanceId]);
}

/** Also before a row is deleted: what is computed from it then is found through the row. */
export async function touchInstances(
  transaction: ConfigTransaction,
  instanceIds: readonly string[],
): Promise<number> {
  const rows = await transaction
    .selectFrom("instances")
    .leftJoin("versions", "versions.id", "instances.deployedVersionId")
    .select(["instances.id", "instances.integrationId", "versions.definitionDigest"])
    .where("instances.id", "in", [...instanceIds])
    .execute();
  return touch(
    transaction,
    rows.flatMap((row): TouchedEntity[] => [
      { kind: "instance", id: row.id },
      // The shared URL's version is the latest that is deployed.
      { kind: "integration", id: row.integrationId },
      ...(row.definitionDigest === null ? [] : [{ kind: "definition" as const, id: row.definitionDigest }]),
    ]),
  );
}

/** After a change of an integration's name, draft, or organization keys. */
export async function touchIntegration(
  transaction: ConfigTransaction,
  integrationId: string,
): Promise<number> {
  const integration = await transaction
    .selectFrom("integrations")
    .select("draftDigest")
    .where("id", "=", integrationId)
    .executeTakeFirst();
  const instances = await transaction
    .selectFrom("instances")
    .select("id")
    .where("integrationId", "=", integrationId)
    .where((eb) => eb.or([eb("isSystem", "=", 1), eb("deployedVersionId", "is not", null)]))
    .execute();
  const draftDigest = integration?.draftDigest ?? null;
  return touch(transaction, [
    { kind: "integration", id: integrationId },
    ...instances.map(({ id }) => ({ kind: "instance" as const, id })),
    ...(draftDigest === null ? [] : [{ kind: "definition" as const, id: draftDigest }]),
  ]);
}

/** After a change of a customer or of its users. */
export async function touchCustomer(
  transaction: ConfigTransaction,
  customerId: string,
): Promise<number | null> {
  const instances = await transaction
    .selectFrom("instances")
    .select("id")
    .where("customerId", "=", customerId)
    .where((eb) => eb.or([eb("isSystem", "=", 1), eb("deployedVersionId", "is not", null)]))
    .execute();
  if (instances.length === 0) return null;
  return touch(
    transaction,
    instances.map(({ id }) => ({ kind: "instance" as const, id })),
  );
}

export interface FeedState {
  epoch: string;
  version: number;
  commandsWaiting: boolean;
}

/** `dataPlaneId`: of the one that asks, whose own commands count, too. */
export async function readFeedState(store: Store, dataPlaneId: string | null = null): Promise<FeedState> {
  const { value } = await store.config
    .selectFrom("meta")
    .select("value")
    .where("key", "=", "feedVersion")
    .executeTakeFirstOrThrow();
  const command = await store.config
    .selectFrom("commands")
    .select("id")
    .where("state", "=", "QUEUED")
    .where((row) => row.or([row("dataPlaneId", "is", null), row("dataPlaneId", "=", dataPlaneId)]))
    .limit(1)
    .executeTakeFirst();
  return { epoch: store.epoch, version: Number(value), commandsWaiting: command !== undefined };
}

/** Notes that a data plane was heard of, and what it serves where it said so. */
export async function noteDataPlane(
  store: Store,
  { id, name, servedVersion }: { id: string; name: string; servedVersion?: number },
): Promise<void> {
  const lastSeenAtMs = Date.now();
  const served = servedVersion === undefined ? {} : { servedEpoch: store.epoch, servedVersion };
  await store.config
    .insertInto("dataPlanes")
    .values({ id, name, servedEpoch: "", servedVersion: 0, lastSeenAtMs, ...served })
    .onConflict((conflict) => conflict.column("id").doUpdateSet({ name, lastSeenAtMs, ...served }))
    .execute();
}

export interface KnownDataPlane {
  id: string;
  name: string;
  lastSeenAtMs: number;
}

/** The data planes that were heard of since then. */
export function dataPlanesSeenSince(store: Store, sinceMs: number): Promise<KnownDataPlane[]> {
  return store.config
    .selectFrom("dataPlanes")
    .select(["id", "name", "lastSeenAtMs"])
    .where("lastSeenAtMs", ">=", sinceMs)
    .orderBy("name")
    .execute();
}
