/** Bulk replays go on, a second's worth at a time, while there are any. */
import type { Logger } from "pino";
import { messageOf } from "../shared/errors.ts";
import type { ChangeFeed } from "./changeFeed.ts";
import { continueBulkReplays } from "./store/bulkReplays.ts";
import { countCommands } from "./store/commandQueue.ts";
import type { Store } from "./store/store.ts";

export interface BulkReplayTicker {
  /** There is a new one. */
  wake(): void;
  stop(): Promise<void>;
}

const everyMs = 1_000;
/** Commands that wait: while no data plane takes them, no more are made. */
const queuedMax = 1_000;

export function startBulkReplayTicker({
  store,
  feed,
  log,
}: {
  store: Store;
  feed: ChangeFeed;
  log: Logger;
}): BulkReplayTicker {
  let timer: NodeJS.Timeout | undefined;
  let working: Promise<void> | null = null;
  let isWoken = false;
  let isStopped = false;

  const tick = async (): Promise<void> => {
    let goesOn = true;
    isWoken = false;
    try {
      const { queued } = await countCommands(store);
      if (queued < queuedMax) goesOn = await continueBulkReplays(store, feed.transact);
    } catch (error) {
      log.warn({ reason: messageOf(error) }, "bulk replays could not go on");
    }
    working = null;
    if (goesOn || isWoken) next(everyMs);
  };

  const next = (ms: number): void => {
    if (isStopped || working !== null) return;
    clearTimeout(timer);
    timer = setTimeout(() => {
      working = tick();
    }, ms);
    timer.unref();
  };
  next(0);

  return {
    wake() {
      isWoken = true;
      next(0);
    },
    async stop() {
      isStopped = true;
      clearTimeout(timer);
      await working;
    },
  };
}
