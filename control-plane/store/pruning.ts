/** Deletes old records in steps small enough that no report waits long behind one. */
import { sql } from "kysely";
import { exclusively } from "./reportIngestion.ts";
import type { Store } from "./store.ts";
import { dayOf } from "./usageWriter.ts";

/** Deletes up to `rowsMax` executions and rejections from before `beforeMs`; returns how many went. */
export async function pruneOlderThan(store: Store, beforeMs: number, rowsMax: number): Promise<number> {
  const executions = await store.executions
    .selectFrom("executions")
    .select("id")
    .where("startedAtMs", "<", beforeMs)
    .orderBy("startedAtMs")
    .limit(rowsMax)
    .execute();
  await deleteExecutions(
    store,
    executions.map((row) => row.id),
  );
  const rejections = await store.executions
    .selectFrom("rejections")
    .select("id")
    .where("atMs", "<", beforeMs)
    .orderBy("atMs")
    .limit(rowsMax)
    .execute();
  await deleteRejections(
    store,
    rejections.map((row) => row.id),
  );
  return executions.length + rejections.length;
}

/** Deletes the oldest `rowsMax` records that have ended, of both kinds by their time. */
export async function pruneOldest(store: Store, rowsMax: number): Promise<number> {
  const executions = await store.executions
    .selectFrom("executions")
    .select(["id", "startedAtMs as atMs"])
    .where("endedAtMs", "is not", null)
    .orderBy("startedAtMs")
    .limit(rowsMax)
    .execute();
  const rejections = await store.executions
    .selectFrom("rejections")
    .select(["id", "atMs"])
    .orderBy("atMs")
    .limit(rowsMax)
    .execute();
  const oldest = [
    ...executions.map((row) => ({ ...row, isRejection: false })),
    ...rejections.map((row) => ({ ...row, isRejection: true })),
  ]
    .sort((a, b) => a.atMs - b.atMs)
    .slice(0, rowsMax);
  await deleteExecutions(
    store,
    oldest.filter((row) => !row.isRejection).map((row) => row.id),
  );
  await deleteRejections(
    store,
    oldest.filter((row) => row.isRejection).map((row) => row.id),
  );
  return oldest.length;
}

/**
 * Bytes in use in the executions database: pages that hold something, so that deleting shows at once. What flows keep
 * lies there, too, and does not count: no pruning makes it smaller.
 */
export async function executionBytes(store: Store): Promise<number> {
  const { rows } = await sql<{ bytes: number }>`
    SELECT (pages.page_count - free.freelist_count) * size.page_size
      - (SELECT coalesce(sum(octet_length(value)), 0) FROM flowStates) AS bytes
    FROM pragma_page_count AS pages, pragma_freelist_count AS free, pragma_page_size AS size
  `.execute(store.executions);
  return rows[0]?.bytes ?? 0;
}

/** Deletes finished commands from before `beforeMs`. */
export async function pruneCommands(store: Store, beforeMs: number): Promise<void> {
  await store.config
    .deleteFrom("commands")
    .where("state", "in", ["DONE", "FAILED"])
    .where("finishedAtMs", "<", beforeMs)
    .execute();
}

/** Deletes bulk replays that ended before `beforeMs`; what they made is kept as long as other executions. */
export async function pruneBulkReplays(store: Store, beforeMs: number): Promise<void> {
  await store.executions.deleteFrom("bulkReplays").where("finishedAtMs", "<", beforeMs).execute();
}

/** Deletes the usage of days before `beforeMs`. */
export const pruneUsage = (store: Store, beforeMs: number): Promise<void> =>
  exclusively(store, (writer) => writer.usage.prune(dayOf(beforeMs)));

/** Deletes what was meant for data planes that have not come for it since `beforeMs`. */
export async function pruneUnclaimedCommands(store: Store, beforeMs: number): Promise<void> {
  await store.config
    .deleteFrom("commands")
    .where("state", "=", "QUEUED")
    .where("createdAtMs", "<", beforeMs)
    .where("dataPlaneId", "is not", null)
    .execute();
}

/** Deletes up to `rowsMax` rows of the audit log from before `beforeMs`; returns how many went. */
export async function pruneAuditLog(store: Store, beforeMs: number, rowsMax: number): Promise<number> {
  const { numDeletedRows } = await store.config
    .deleteFrom("auditLog")
    .where("id", "in", (query) =>
      query.selectFrom("auditLog").select("id").where("atMs", "<", beforeMs).orderBy("atMs").limit(rowsMax),
    )
    .executeTakeFirst();
  return Number(numDeletedRows);
}

async function deleteExecutions(store: Store, ids: string[]): Promise<void> {
  if (ids.length === 0) return;
  await exclusively(store, (writer) => writer.transaction(() => writer.remove(ids)));
}

async function deleteRejections(store: Store, ids: string[]): Promise<void> {
  if (ids.length === 0) return;
  await store.executions.deleteFrom("rejections").where("id", "in", ids).execute();
}
