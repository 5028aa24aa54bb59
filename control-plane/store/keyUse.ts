/** When keys were last used, as data planes tell it: it only moves forward, and is no change of the feed. */
import { sql } from "kysely";
import type { Store } from "./store.ts";

export interface KeyUse {
  keyId: string;
  lastUsedAtMs: number;
}

/** In one statement. A key that is gone, and a time behind the one that is known, change nothing. */
export async function noteKeyUse(store: Store, uses: readonly KeyUse[]): Promise<void> {
  // A data plane whose clock is ahead must not keep later uses from being noted.
  const nowMs = Date.now();
  await sql`
    UPDATE apiKeys SET lastUsedAtMs = used.atMs
    FROM (
      SELECT value ->> 'keyId' AS keyId, max(min(value ->> 'lastUsedAtMs', ${nowMs})) AS atMs
      FROM json_each(${JSON.stringify(uses)}) GROUP BY keyId
    ) AS used
    WHERE apiKeys.id = used.keyId AND (lastUsedAtMs IS NULL OR lastUsedAtMs < used.atMs)
  `.execute(store.config);
}
