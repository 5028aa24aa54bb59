/**
 * Executions that are to end: taken out of their queue, or stopped on their thread. In between (its package is
 * fetched, its routing ends, it waits its turn after a crash) one can't be reached, so it is tried again for a while, and
 * what comes up later is ended before its code begins.
 */
import { LRUCache } from "lru-cache";
import type { PendingEntry } from "./journal/journal.ts";

export interface Cancels {
  /** True once it has ended, or will as soon as it can be reached; false where it is not here. */
  cancel(id: string): Promise<boolean>;
  /** Whether this one is not to run. */
  has(id: string): boolean;
}

export interface CancelsOptions {
  /** What has not ended. */
  find(id: string): PendingEntry | null;
  /** Out of its queue, and ended; false where it does not wait in one. */
  takeOut(pending: PendingEntry): boolean;
  /** False where it is on no thread. */
  stopRun(id: string): boolean;
}

const rememberedMax = 10_000;
const triesMax = 100;
const againAfterMs = 30;

export function createCancels({ find, takeOut, stopRun }: CancelsOptions): Cancels {
  const canceled = new LRUCache<string, true>({ max: rememberedMax });
  return {
    async cancel(id) {
      // Also where it is not here: it may be on its way into the journal.
      canceled.set(id, true);
      let isReached = false;
      for (let tries = 0; ; tries++) {
        const pending = find(id);
        if (pending === null) return tries > 0;
        if (!isReached) isReached = takeOut(pending) || stopRun(id);
        // Until its end is on record: else a crash would let it run again.
        if (tries === triesMax) return true;
        await new Promise((resolve) => setTimeout(resolve, againAfterMs));
      }
    },
    has: (id) => canceled.size > 0 && canceled.has(id),
  };
}
