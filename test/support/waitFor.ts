import { setTimeout as sleep } from "node:timers/promises";

/**
 * Calls `probe` until it returns something other than `undefined`, `null` or `false`, and returns that. What
 * the probe throws counts as not yet; the last error is the cause of the timeout's.
 */
export async function waitFor<T>(
  probe: () => T | Promise<T>,
  timeoutMs = 10_000,
): Promise<Exclude<T, undefined | null | false>> {
  const deadline = Date.now() + timeoutMs;
  for (let pauseMs = 10; ; pauseMs = Math.min(pauseMs * 1.5, 250)) {
    let cause: unknown;
    try {
      const value = await probe();
      if (value !== undefined && value !== null && value !== false) {
        return value as Exclude<T, undefined | null | false>;
      }
    } catch (error) {
      cause = error;
    }
    if (Date.now() + pauseMs > deadline) throw new Error(`Nothing came within ${timeoutMs} ms.`, { cause });
    await sleep(pauseMs);
  }
}
