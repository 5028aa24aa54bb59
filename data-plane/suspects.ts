/**
 * After a crash only a few of the entries that may be its cause start at once, each with its mark on disk, so that
 * the next crash is blamed on few. One that has run for a while makes room for the next.
 */
import { createFifo } from "./fifo.ts";

/** Of one that may run. */
export interface SuspectPlace {
  /** Its code begins to run. */
  begin(): void;
  /** It ended, or does not run. */
  leave(): void;
}

export interface Suspects<T> {
  add(item: T): void;
  waiting(): number;
}

const atOnce = 4;
const watchMs = 1_000;

/** `start`: this one may run. */
export function createSuspects<T>(start: (item: T, place: SuspectPlace) => void): Suspects<T> {
  const queue = createFifo<T>();
  let free = atOnce;

  function next(): void {
    while (free > 0) {
      const suspect = queue.shift();
      if (suspect === undefined) return;
      free--;
      start(suspect, newPlace());
    }
  }

  function newPlace(): SuspectPlace {
    let timer: NodeJS.Timeout | null = null;
    let isLeft = false;
    const leave = () => {
      if (isLeft) return;
      isLeft = true;
      if (timer !== null) clearTimeout(timer);
      free++;
      next();
    };
    return {
      begin() {
        timer ??= setTimeout(leave, watchMs);
      },
      leave,
    };
  }

  return {
    add(item) {
      queue.push(item);
      next();
    },
    waiting: () => queue.size(),
  };
}
