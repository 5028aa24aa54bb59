/**
 * Who runs next: each key (an instance, or an endpoint before its routing is known) has a queue of its own, and
 * the keys take turns, so one that has a hundred thousand waiting delays another's next by a round at most. A
 * key runs at most `perKeyMax` at once. First come, first served within a key.
 */
export interface Scheduler<T> {
  enqueue(key: string, item: T): void;
  /** The next one, whose key is charged with a slot until `release`; undefined where none may run now. */
  take(): T | undefined;
  /** A slot of this key is free again. */
  release(key: string): void;
  waiting(): number;
  running(): number;
}

/** Linked, and gone once it has neither work nor runs: most keys have one entry at a time. */
interface Lane<T> {
  readonly key: string;
  running: number;
  first: Waiting<T> | null;
  last: Waiting<T> | null;
  /** In the ring of those whose turn may come. */
  isListed: boolean;
  nextLane: Lane<T> | null;
}

interface Waiting<T> {
  readonly item: T;
  next: Waiting<T> | null;
}

export function createScheduler<T>({ slots, perKeyMax }: { slots: number; perKeyMax: number }): Scheduler<T> {
  const lanes = new Map<string, Lane<T>>();
  let firstLane: Lane<T> | null = null;
  let lastLane: Lane<T> | null = null;
  let waiting = 0;
  let running = 0;

  /** At the end of the ring, where it has work and is below its limit. */
  function list(lane: Lane<T>): void {
    if (lane.isListed || lane.first === null || lane.running >= perKeyMax) return;
    lane.isListed = true;
    if (lastLane === null) firstLane = lane;
    else lastLane.nextLane = lane;
    lastLane = lane;
  }

  return {
    enqueue(key, item) {
      let lane = lanes.get(key);
      if (lane === undefined) {
        lane = { key, running: 0, first: null, last: null, isListed: false, nextLane: null };
        lanes.set(key, lane);
      }
      const added: Waiting<T> = { item, next: null };
      if (lane.last === null) lane.first = added;
      else lane.last.next = added;
      lane.last = added;
      waiting++;
      list(lane);
    },
    take() {
      const lane = firstLane;
      if (lane === null || running >= slots) return undefined;
      firstLane = lane.nextLane;
      if (firstLane === null) lastLane = null;
      lane.nextLane = null;
      lane.isListed = false;
      const taken = lane.first!;
      lane.first = taken.next;
      if (lane.first === null) lane.last = null;
      // One that has grown old must not keep all that came after it.
      taken.next = null;
      lane.running++;
      running++;
      waiting--;
      list(lane);
      return taken.item;
    },
    release(key) {
      const lane = lanes.get(key);
      if (lane === undefined || lane.running === 0) throw new Error(`no slot of ${key} is taken`);
      lane.running--;
      running--;
      if (lane.first === null && lane.running === 0) lanes.delete(key);
      else list(lane);
    },
    waiting: () => waiting,
    running: () => running,
  };
}
