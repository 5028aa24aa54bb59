/** State that flows keep between runs, in the executions database: it changes with the finish that carries it. */

import type { Sqlite } from "../../shared/sqlite.ts";
import type { StateKey, StateWrite, StoredState } from "../../shared/states.ts";
import { exclusively } from "./reportIngestion.ts";
import type { Store } from "./store.ts";

export interface StateWriter {
  /** Keeps what is later than what is there; called in the transaction of the execution's finish. */
  write(executionId: string, writes: readonly StateWrite[]): void;
  remove(ownerId: string): void;
}

export function openStateWriter(executions: Sqlite, config: Sqlite): StateWriter {
  const upsert = executions.prepare(
    `INSERT INTO flowStates (ownerId, scope, stableKey, stamp, executionId, value) VALUES (?, ?, ?, ?, ?, ?)
      ON CONFLICT (ownerId, scope, stableKey) DO UPDATE SET stamp = excluded.stamp, executionId = excluded.executionId,
        value = excluded.value
      WHERE (excluded.stamp, excluded.executionId) > (stamp, executionId)`,
  );
  const isThere = config
    .prepare<[string, string], number>(
      "SELECT 1 FROM instances WHERE id = ? UNION ALL SELECT 1 FROM integrations WHERE id = ?",
    )
    .pluck();
  const deleteStates = executions.prepare("DELETE FROM flowStates WHERE ownerId = ?");
  return {
    write(executionId, writes) {
      for (const { ownerId, scope, stableKey, stamp, value } of writes) {
        // What was removed while it ran keeps none.
        if (isThere.get(ownerId, ownerId) === undefined) continue;
        upsert.run(ownerId, scope, stableKey, stamp, executionId, value);
      }
    },
    remove(ownerId) {
      deleteStates.run(ownerId);
    },
  };
}

export interface StateKeysPage {
  keys: StateKey[];
  position: number;
  hasMore: boolean;
}

/** Which states have come to be since a position. */
export async function readStateKeys(store: Store, after: number, first: number): Promise<StateKeysPage> {
  const rows = await store.executions
    .selectFrom("flowStates")
    .select(["position", "ownerId", "scope", "stableKey"])
    .where("position", ">", after)
    .orderBy("position")
    .limit(first + 1)
    .execute();
  const page = rows.slice(0, first);
  return {
    keys: page.map(({ position: _, ...key }) => key),
    position: page.at(-1)?.position ?? after,
    hasMore: rows.length > first,
  };
}

/** Null where nothing was ever stored. */
export async function readState(store: Store, key: StateKey): Promise<StoredState | null> {
  const row = await store.executions
    .selectFrom("flowStates")
    .select(["stamp", "executionId", "value"])
    .where("ownerId", "=", key.ownerId)
    .where("scope", "=", key.scope)
    .where("stableKey", "=", key.stableKey)
    .executeTakeFirst();
  return row ?? null;
}

/**
 * Empties the owner's states, all or those of one scope or flow. What is left of each is its stamp, so that data
 * planes learn of it, and a run that ended before does not bring it back.
 */
export async function clearStates(
  store: Store,
  ownerId: string,
  only: Partial<Pick<StateKey, "scope" | "stableKey">> = {},
): Promise<void> {
  const now = Date.now() * 1000;
  let update = store.executions
    .updateTable("flowStates")
    .set((eb) => ({ value: null, executionId: "", stamp: eb.fn("max", [eb.val(now), eb("stamp", "+", 1)]) }))
    .where("ownerId", "=", ownerId)
    .where("value", "is not", null);
  if (only.scope !== undefined) update = update.where("scope", "=", only.scope);
  if (only.stableKey !== undefined) update = update.where("stableKey", "=", only.stableKey);
  await update.execute();
}

/** Of owners that were removed. */
export async function removeStates(store: Store, ownerIds: readonly string[]): Promise<void> {
  await exclusively(store, (writer) =>
    writer.transaction(() => {
      for (const ownerId of ownerIds) writer.removeStates(ownerId);
    }),
  );
}

/** Those that a removal which was cut short has left; looks at so many, from a position on, and says where to go on. */
export async function removeOrphanStates(store: Store, after: number, first: number): Promise<number> {
  const { keys, position, hasMore } = await readStateKeys(store, after, first);
  const ownerIds = [...new Set(keys.map(({ ownerId }) => ownerId))];
  if (ownerIds.length > 0) {
    const there = new Set<string>();
    for (const table of ["instances", "integrations"] as const) {
      const rows = await store.config.selectFrom(table).select("id").where("id", "in", ownerIds).execute();
      for (const { id } of rows) there.add(id);
    }
    const gone = ownerIds.filter((id) => !there.has(id));
    if (gone.length > 0) await removeStates(store, gone);
  }
  return hasMore ? position : 0;
}
