/** When keys and tokens were last used: it only moves forward, and is no change of the feed. */
import { sql } from "kysely";
import type { Store } from "./store.ts";

/** In one statement. What is gone, and a time behind the one that is known, change nothing. */
export async function noteLastUse(
  store: Store,
  table: "apiKeys" | "tokens",
  uses: readonly (readonly [id: string, atMs: number])[],
): Promise<void> {
  await sql`
    UPDATE ${sql.table(table)} SET lastUsedAtMs = used.atMs
    FROM (
      SELECT value ->> 0 AS usedId, max(value ->> 1) AS atMs FROM json_each(${JSON.stringify(uses)}) GROUP BY usedId
    ) AS used
    WHERE id = used.usedId AND (lastUsedAtMs IS NULL OR lastUsedAtMs < used.atMs)
  `.execute(store.config);
}
