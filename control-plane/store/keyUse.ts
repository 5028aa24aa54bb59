/** When keys were last used, as data planes tell it: it only moves forward, and is no change of the feed. */
import type { Store } from "./store.ts";

export interface KeyUse {
  keyId: string;
  lastUsedAtMs: number;
}

/** One transaction for the batch. A key that is gone, and a time behind the one that is known, change nothing. */
export async function noteKeyUse(store: Store, uses: readonly KeyUse[]): Promise<void> {
  // A data plane whose clock is ahead must not keep later uses from being noted.
  const nowMs = Date.now();
  await store.config.transaction().execute(async (transaction) => {
    for (const { keyId, lastUsedAtMs } of uses) {
      const atMs = Math.min(lastUsedAtMs, nowMs);
      await transaction
        .updateTable("apiKeys")
        .set({ lastUsedAtMs: atMs })
        .where("id", "=", keyId)
        .where((eb) => eb.or([eb("lastUsedAtMs", "is", null), eb("lastUsedAtMs", "<", atMs)]))
        .execute();
    }
  });
}
