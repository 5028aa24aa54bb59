/**
 * Who runs next: each key (an instance, or an endpoint before its routing is known) has a queue of its own, and
 * the keys take turns, so one that has a hundred thousand waiting delays another's next by a round at most. A
 * key runs at most `perKeyMax` at once. First come, first served within a key.
 *
 * Flows that have a queue of their own (`queueKeys.ts`) wait beside the others of their instance: their runs count
 * for the instance, and take turns with its others.
 */
import { type QueuePlace, readQueueKey } from "./queueKeys.ts";

export interface Scheduler<T> {
  enqueue(key: string, item: T): void;
  /** The same for what was taken before: in its flow's own queue it gets its place by `isBefore`. */
  putBack(key: string, item: T): void;
  /** The next one, whose key is charged with a slot until `release`; undefined where none may run now. */
  take(): T | undefined;
  /** Takes one of this key out of its turn: charged with a slot like one that was taken. */
  takeOut(key: string, isIt: (item: T) => boolean): T | undefined;
  /** A slot of this key is free again. */
  release(key: string): void;
  waiting(): number;
  running(): number;
}

export interface SchedulerOptions<T> {
  slots: number;
  perKeyMax: number;
  /** Whether one came before another; asked within a flow's own queue only. */
  isBefore?: (one: T, other: T) => boolean;
}

/** What waits in order. */
interface Line<T> {
  first: Waiting<T> | null;
  last: Waiting<T> | null;
}

/** Of one key, with what has no queue of its own. Linked, and gone once it has neither work nor runs: most keys have one entry at a time. */
interface Lane<T> extends Line<T> {
  readonly key: string;
  running: number;
  /** In the ring of those whose turn may come. */
  isListed: boolean;
  nextLane: Lane<T> | null;
  /** Null while none of its flows' own queues has work or runs. */
  queues: Queues<T> | null;
}

interface Queues<T> {
  byFlow: Map<string, FlowLine<T>>;
  /** The ring of those that may run one. */
  firstReady: FlowLine<T> | null;
  lastReady: FlowLine<T> | null;
  /** Whose turn it is: theirs, or that of what has no queue. */
  isNext: boolean;
}

interface FlowLine<T> extends Line<T> {
  readonly flow: string;
  limit: number;
  running: number;
  isReady: boolean;
  nextReady: FlowLine<T> | null;
}

interface Waiting<T> {
  readonly item: T;
  next: Waiting<T> | null;
}

export function createScheduler<T>({
  slots,
  perKeyMax,
  isBefore = never,
}: SchedulerOptions<T>): Scheduler<T> {
  const lanes = new Map<string, Lane<T>>();
  let firstLane: Lane<T> | null = null;
  let lastLane: Lane<T> | null = null;
  let waiting = 0;
  let running = 0;

  /** At the end of the ring, where it has work and is below its limit. */
  function list(lane: Lane<T>): void {
    if (lane.isListed || lane.running >= perKeyMax) return;
    if (lane.first === null && (lane.queues === null || lane.queues.firstReady === null)) return;
    lane.isListed = true;
    if (lastLane === null) firstLane = lane;
    else lastLane.nextLane = lane;
    lastLane = lane;
  }

  function laneOf(key: string): Lane<T> {
    let lane = lanes.get(key);
    if (lane === undefined) {
      lane = { key, running: 0, first: null, last: null, isListed: false, nextLane: null, queues: null };
      lanes.set(key, lane);
    }
    return lane;
  }

  function enqueue(key: string, item: T, isBefore: (one: T, other: T) => boolean): void {
    const place = readQueueKey(key);
    const lane = laneOf(place?.instanceId ?? key);
    if (place === null) append(lane, item);
    else enqueueInFlow(lane, place, item, isBefore);
    waiting++;
    list(lane);
  }

  function enqueueInFlow(
    lane: Lane<T>,
    { flowStableKey: flow, limit }: QueuePlace,
    item: T,
    isBefore: (one: T, other: T) => boolean,
  ): void {
    lane.queues ??= { byFlow: new Map(), firstReady: null, lastReady: null, isNext: false };
    let line = lane.queues.byFlow.get(flow);
    if (line === undefined) {
      line = { flow, limit, running: 0, first: null, last: null, isReady: false, nextReady: null };
      lane.queues.byFlow.set(flow, line);
    }
    // The newest version's.
    line.limit = limit;
    insert(line, item, isBefore);
    makeReady(lane.queues, line);
  }

  return {
    enqueue: (key, item) => enqueue(key, item, never),
    putBack: (key, item) => enqueue(key, item, isBefore),
    take() {
      const lane = firstLane;
      if (lane === null || running >= slots) return undefined;
      firstLane = lane.nextLane;
      if (firstLane === null) lastLane = null;
      lane.nextLane = null;
      lane.isListed = false;
      const item = lane.queues === null ? shift(lane) : takeOfEither(lane, lane.queues);
      lane.running++;
      running++;
      waiting--;
      list(lane);
      return item;
    },
    takeOut(key, isIt) {
      const place = readQueueKey(key);
      const lane = lanes.get(place?.instanceId ?? key);
      const line = place === null ? lane : lane?.queues?.byFlow.get(place.flowStableKey);
      const item = line === undefined ? undefined : remove(line, isIt);
      if (lane === undefined || line === undefined || item === undefined) return undefined;
      // What is listed without work is passed over by its ring.
      if ("flow" in line) line.running++;
      lane.running++;
      running++;
      waiting--;
      unlist(lane);
      return item;
    },
    release(key) {
      const place = readQueueKey(key);
      const lane = lanes.get(place?.instanceId ?? key);
      if (lane === undefined || lane.running === 0) throw new Error(`no slot of ${key} is taken`);
      if (place !== null) releaseOfFlow(lane, place.flowStableKey);
      lane.running--;
      running--;
      if (lane.first === null && lane.running === 0 && lane.queues === null) lanes.delete(lane.key);
      else list(lane);
    },
    waiting: () => waiting,
    running: () => running,
  };

  /** Out of the rings, where it has nothing to run any more. Walks them: for what is rare. */
  function unlist(lane: Lane<T>): void {
    const { queues } = lane;
    if (queues !== null) {
      queues.firstReady = null;
      queues.lastReady = null;
      for (const line of queues.byFlow.values()) {
        line.isReady = false;
        line.nextReady = null;
      }
      for (const line of queues.byFlow.values()) makeReady(queues, line);
    }
    const hasWork = lane.first !== null || (queues !== null && queues.firstReady !== null);
    if (!lane.isListed || hasWork) return;
    let before: Lane<T> | null = null;
    for (let each = firstLane; each !== lane && each !== null; each = each.nextLane) before = each;
    if (before === null) firstLane = lane.nextLane;
    else before.nextLane = lane.nextLane;
    if (lastLane === lane) lastLane = before;
    lane.nextLane = null;
    lane.isListed = false;
  }
}

const never = () => false;

/** Of a lane whose flows have queues: they and the others take turns. */
function takeOfEither<T>(lane: Lane<T>, queues: Queues<T>): T {
  const line = queues.firstReady;
  queues.isNext = !queues.isNext;
  if (line === null || (lane.first !== null && !queues.isNext)) return shift(lane);
  queues.firstReady = line.nextReady;
  if (queues.firstReady === null) queues.lastReady = null;
  line.nextReady = null;
  line.isReady = false;
  const item = shift(line);
  line.running++;
  makeReady(queues, line);
  return item;
}

function makeReady<T>(queues: Queues<T>, line: FlowLine<T>): void {
  if (line.isReady || line.first === null || (line.limit > 0 && line.running >= line.limit)) return;
  line.isReady = true;
  if (queues.lastReady === null) queues.firstReady = line;
  else queues.lastReady.nextReady = line;
  queues.lastReady = line;
}

function releaseOfFlow<T>(lane: Lane<T>, flow: string): void {
  const line = lane.queues?.byFlow.get(flow);
  if (lane.queues === null || line === undefined || line.running === 0)
    throw new Error(`no slot of the queue of ${flow} is taken`);
  line.running--;
  if (line.first === null && line.running === 0) {
    lane.queues.byFlow.delete(flow);
    if (lane.queues.byFlow.size === 0) lane.queues = null;
  } else makeReady(lane.queues, line);
}

function append<T>(line: Line<T>, item: T): void {
  const added: Waiting<T> = { item, next: null };
  if (line.last === null) line.first = added;
  else line.last.next = added;
  line.last = added;
}

/** At the end, but for what came before others: that is put back rarely, and stood near the head. */
function insert<T>(line: Line<T>, item: T, isBefore: (one: T, other: T) => boolean): void {
  if (line.last === null || !isBefore(item, line.last.item)) {
    append(line, item);
    return;
  }
  let before: Waiting<T> | null = null;
  let after = line.first;
  while (after !== null && !isBefore(item, after.item)) {
    before = after;
    after = after.next;
  }
  const added: Waiting<T> = { item, next: after };
  if (before === null) line.first = added;
  else before.next = added;
}

function shift<T>(line: Line<T>): T {
  const taken = line.first!;
  line.first = taken.next;
  if (line.first === null) line.last = null;
  // One that has grown old must not keep all that came after it.
  taken.next = null;
  return taken.item;
}

function remove<T>(line: Line<T>, isIt: (item: T) => boolean): T | undefined {
  let before: Waiting<T> | null = null;
  for (let each = line.first; each !== null; each = each.next) {
    if (isIt(each.item)) {
      if (before === null) line.first = each.next;
      else before.next = each.next;
      if (line.last === each) line.last = before;
      each.next = null;
      return each.item;
    }
    before = each;
  }
  return undefined;
}
