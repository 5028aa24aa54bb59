/** Bulk replays go on, a second's worth at a time, while there are any. */
import type { Logger } from "pino";
import type { ChangeFeed } from "./changeFeed.ts";
import { continueBulkReplays } from "./store/bulkReplays.ts";
import { countCommands } from "./store/commandQueue.ts";
import type { Store } from "./store/store.ts";
import { startTicker, type Ticker } from "./ticker.ts";

const everyMs = 1_000;
/** Commands that wait: while no data plane takes them, no more are made. */
const queuedMax = 1_000;

/** To be woken when there is a new one. */
export function startBulkReplayTicker({
  store,
  feed,
  log,
}: {
  store: Store;
  feed: ChangeFeed;
  log: Logger;
}): Ticker {
  const step = async (): Promise<number | null> => {
    const { queued } = await countCommands(store);
    const goesOn = queued >= queuedMax || (await continueBulkReplays(store, feed.transact));
    return goesOn ? everyMs : null;
  };
  const failure = "bulk replays could not go on";
  return startTicker({ step, log, failure, afterFailureMs: everyMs, wokenMs: everyMs });
}
