/** Starts retries when they are due: one timer, for the earliest. */
import type { Logger } from "pino";
import { messageOf } from "../shared/errors.ts";
import type { ChangeFeed } from "./changeFeed.ts";
import { startDueRetries } from "./store/dueRetries.ts";
import type { Store } from "./store/store.ts";

export interface RetryTicker {
  /** A retry waits that may be the earliest. */
  wake(): void;
  stop(): Promise<void>;
}

/** Others have their turn after so many. */
const atOnceMax = 50;
/** Should the clock be set meanwhile. */
const sleepMaxMs = 60_000;
const afterFailureMs = 1_000;

export function startRetryTicker({
  store,
  feed,
  log,
}: {
  store: Store;
  feed: ChangeFeed;
  log: Logger;
}): RetryTicker {
  let timer: NodeJS.Timeout | undefined;
  let working: Promise<void> | null = null;
  let isWoken = false;
  let isStopped = false;

  const tick = async (): Promise<void> => {
    let sleepMs = sleepMaxMs;
    try {
      do {
        isWoken = false;
        const nextAtMs = await startDueRetries(store, feed.transact, atOnceMax);
        if (nextAtMs !== null) sleepMs = Math.min(sleepMaxMs, Math.max(0, nextAtMs - Date.now()));
      } while (isWoken && !isStopped);
    } catch (error) {
      log.warn({ reason: messageOf(error) }, "retries could not be started");
      sleepMs = afterFailureMs;
    }
    working = null;
    sleep(isWoken ? 0 : sleepMs);
  };

  const sleep = (ms: number): void => {
    if (isStopped) return;
    clearTimeout(timer);
    timer = setTimeout(() => {
      working = tick();
    }, ms);
    timer.unref();
  };
  sleep(0);

  return {
    wake() {
      isWoken = true;
      if (working === null) sleep(0);
    },
    async stop() {
      isStopped = true;
      clearTimeout(timer);
      await working;
    },
  };
}
