/** Starts retries when they are due: one timer, for the earliest. */
import type { Logger } from "pino";
import type { ChangeFeed } from "./changeFeed.ts";
import { startDueRetries } from "./store/dueRetries.ts";
import type { Store } from "./store/store.ts";
import { startTicker, type Ticker } from "./ticker.ts";

/** Others have their turn after so many. */
const atOnceMax = 50;
/** Should the clock be set meanwhile. */
const sleepMaxMs = 60_000;
const afterFailureMs = 1_000;

/** To be woken when a retry waits that may be the earliest. */
export function startRetryTicker({
  store,
  feed,
  log,
}: {
  store: Store;
  feed: ChangeFeed;
  log: Logger;
}): Ticker {
  const step = async (): Promise<number> => {
    const nextAtMs = await startDueRetries(store, feed.transact, atOnceMax);
    return nextAtMs === null ? sleepMaxMs : Math.min(sleepMaxMs, Math.max(0, nextAtMs - Date.now()));
  };
  return startTicker({ step, log, failure: "retries could not be started", afterFailureMs });
}
