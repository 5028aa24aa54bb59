/**
 * What waits in a flow's own queue is told of once it has waited for a moment, so that people see it: a queue may be
 * long, and a run is reported only when it begins.
 */
import type { PendingEntry } from "./journal/journal.ts";

export interface Queued {
  /** It waits from now on. */
  add(pending: PendingEntry): void;
  /** It does not wait any more. */
  remove(pending: PendingEntry): void;
}

const tellAfterMs = 1_000;
const toldAtOnceMax = 500;

/** `tell` is called for those that have waited for a second. */
export function createQueued(tell: (pending: PendingEntry) => void): Queued {
  /** By when they came, the oldest first. */
  const waiting = new Map<PendingEntry, number>();
  let timer: NodeJS.Timeout | null = null;

  function look(): void {
    timer = null;
    const beforeMs = Date.now() - tellAfterMs;
    let told = 0;
    for (const [pending, sinceMs] of waiting) {
      if (sinceMs > beforeMs || ++told > toldAtOnceMax) break;
      waiting.delete(pending);
      tell(pending);
    }
    if (waiting.size > 0) lookLater(told > toldAtOnceMax ? 0 : tellAfterMs);
  }

  function lookLater(ms: number): void {
    timer ??= setTimeout(look, ms);
    timer.unref();
  }

  return {
    add(pending) {
      waiting.set(pending, Date.now());
      lookLater(tellAfterMs);
    },
    remove(pending) {
      if (waiting.size > 0) waiting.delete(pending);
    },
  };
}
