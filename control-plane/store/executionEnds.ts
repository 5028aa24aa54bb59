/** Whether executions that the control plane has started have ended. */
import type { Store } from "./store.ts";

/** How it ended; null while it has not. */
export async function executionEnd(
  store: Store,
  executionId: string,
): Promise<{ error: string | null } | null> {
  const row = await store.executions
    .selectFrom("executions")
    .select(["endedAtMs", "error"])
    .where("id", "=", executionId)
    .executeTakeFirst();
  if (row === undefined) return { error: "Its record is gone." };
  return row.endedAtMs === null ? null : { error: row.error };
}

/** A run that was lost with its data plane must not hold up its schedule for ever. */
const lostAfterMs = 24 * 3_600_000;

/** Which of these executions have not ended. */
export async function unendedOf(
  store: Store,
  executionIds: readonly string[],
  nowMs: number,
): Promise<ReadonlySet<string>> {
  if (executionIds.length === 0) return new Set();
  const rows = await store.executions
    .selectFrom("executions")
    .select("id")
    .where("id", "in", executionIds)
    .where("endedAtMs", "is", null)
    .where("startedAtMs", ">", nowMs - lostAfterMs)
    .execute();
  return new Set(rows.map((row) => row.id));
}
