/**
 * The states that runs begin with and leave behind.
 *
 * What a run has changed travels in the event that ends it: with that event it is in the journal or it is not, and
 * with that event the control plane keeps it. From then on it is what the next run here begins with. Until the control
 * plane has confirmed the event, nothing that it says of that state counts; after that, what is known is asked about
 * again once it is older than a second, since another data plane may have run the flow. Where the control plane is
 * out of reach, what is known is used.
 *
 * Which states there are at all is known beforehand, so that the runs of flows that keep none wait for nothing.
 */
import { LRUCache } from "lru-cache";
import type { Logger } from "pino";
import { messageOf } from "../../shared/errors.ts";
import type { ExecutionEvent } from "../../shared/reports.ts";
import {
  emptyState,
  isLaterState,
  nextStamp,
  type StateKey,
  type StateWrite,
  type StoredState,
  stateKeyText,
  stateVersion,
} from "../../shared/states.ts";
import type { ControlPlane } from "../controlPlane.ts";
import type { StateTexts } from "../runtime/messages.ts";
import type { StateChanges } from "./changes.ts";
import { keptStateNames, type RunStateKeys } from "./keys.ts";
import { openNearStates } from "./near.ts";

export interface States {
  /**
   * What a run begins with; null where nothing is stored. A promise where the control plane must be asked, which
   * rejects where a state is not known and can't be asked for in time.
   */
  read(keys: RunStateKeys): StateTexts | null | Promise<StateTexts | null>;
  /** What an execution has changed, for the event that ends it. */
  writes(changes: StateChanges): StateWrite[];
  /** The event is in the journal. */
  saved(eventKey: string, executionId: string, writes: readonly StateWrite[]): void;
  /** What is kept here of those that are gone goes. */
  forget(ownerIds: readonly string[], isGone: (ownerId: string) => boolean): void;
  /** The control plane has stored these events. */
  confirmed(eventKeys: readonly string[]): void;
  stats(): StatesStats;
  stop(): void;
}

export interface StatesStats {
  /** Events with states that the control plane has not confirmed. */
  unconfirmed: number;
  /** Runs that wait for what the control plane says. */
  waiting: number;
}

export interface StatesOptions {
  /** A file of the data plane's folder. */
  file: string;
  controlPlane: Pick<ControlPlane, "feedStateKeys" | "feedStates">;
  /** Events with states that are in the journal unconfirmed, oldest first. */
  unconfirmed(): Iterable<{ key: string; json: string }>;
  runTimeoutMs: number;
  logger: Logger;
}

/** What was known for longer is asked about again. */
const freshMs = 1_000;
/** A run waits so long to hear whether what is known is current. */
const checkTimeoutMs = 2_000;
/** A run whose state is not known waits so long at most. */
const unknownTimeoutMs = 60_000;
const retryMs = 250;
/** Where the control plane did not answer, what is known is used for so long without asking. */
const awayMs = 1_000;
const listedAtOnce = 10_000;
const askedAtOnceMax = 100;
const nearBytesMax = 512 * 1024 * 1024;
const freshEntriesMax = 100_000;

interface Asked {
  key: StateKey;
  text: string;
  waiting: ((error: Error | null) => void)[];
}

export function openStates(options: StatesOptions): States {
  const { controlPlane, logger } = options;
  const near = openNearStates(options.file, {
    warn: (message, reason) => logger.error({ reason }, message),
    onLost: () => takeUpAgain(),
  });
  let { epoch, position } = near.listed();
  /** The states that there are, and whose: what is not among them is empty. */
  const listed = new Set<string>();
  const owners = new Set<string>();
  /** The event that a state waits to be confirmed with. */
  const unconfirmed = new Map<string, string>();
  const unconfirmedEvents = new Map<string, string[]>();
  /** What the disk did not take. */
  const held = new Map<string, StoredState>();
  /** When a state was known to be current, by the clock that is never set. */
  const checkedAt = new LRUCache<string, number>({ max: freshEntriesMax });
  let toAsk = new Map<string, Asked>();
  let lastStamp = 0;
  let waiting = 0;
  let awayUntil = 0;
  let isListKnown = false;
  let hasRun = false;
  let isPulling = false;
  let isStopped = false;
  const whenListKnown: (() => void)[] = [];

  for (const key of near.listed().keys) list(stateKeyText(key));
  for (const text of near.keys()) list(text);
  for (const { key, json } of options.unconfirmed()) recover(key, json);
  const timer = setInterval(() => {
    if (!hasRun && isListKnown) return;
    hasRun = false;
    void pullList();
  }, freshMs);
  timer.unref();
  void pullList();

  function list(text: string): void {
    listed.add(text);
    owners.add(ownerOf(text));
  }

  /** The copy was damaged and is empty: what the control plane has is asked for, the rest is in the journal. */
  function takeUpAgain(): void {
    checkedAt.clear();
    position = 0;
    for (const { key, json } of options.unconfirmed()) recover(key, json);
  }

  function recover(eventKey: string, json: string): void {
    const { id, finish } = JSON.parse(json) as ExecutionEvent;
    const writes = (finish?.states ?? []).filter((write) => {
      const there = near.version(stateKeyText(write));
      return there === null || !isLaterState(there, { stamp: write.stamp, executionId: id });
    });
    keep(eventKey, id, writes);
  }

  /** Which states there are, as far as that is new. */
  async function pullList(): Promise<void> {
    if (isPulling || isStopped) return;
    isPulling = true;
    try {
      for (let hasMore = true; hasMore && !isStopped; ) {
        const page = await controlPlane.feedStateKeys(position, listedAtOnce);
        if (page.epoch !== epoch && position > 0) {
          // Of another store: nothing that was known counts, but for what it has yet to be told.
          forgetConfirmed();
          position = 0;
          epoch = page.epoch;
          continue;
        }
        ({ epoch, position, hasMore } = page);
        for (const key of page.keys) list(stateKeyText(key));
        near.list(page.keys, epoch, position);
      }
      noteListKnown();
    } catch (error) {
      // What was known at the last start counts then; where nothing ever was, runs wait.
      logger.debug({ reason: messageOf(error) }, "the control plane did not say which flows keep state");
      if (epoch !== "") noteListKnown();
    } finally {
      isPulling = false;
    }
  }

  function noteListKnown(): void {
    isListKnown = true;
    for (const done of whenListKnown.splice(0)) done();
  }

  function forgetConfirmed(): void {
    near.clear((key) => unconfirmed.has(key));
    checkedAt.clear();
    listed.clear();
    owners.clear();
    for (const text of unconfirmed.keys()) list(text);
  }

  const stateAt = (text: string): StoredState | null => held.get(text) ?? near.read(text);
  const versionAt = (text: string): Omit<StoredState, "value"> | null => held.get(text) ?? near.version(text);

  const isFresh = (text: string): boolean =>
    unconfirmed.has(text) || (checkedAt.get(text) ?? Number.NEGATIVE_INFINITY) > performance.now() - freshMs;

  /** Undefined where one of them is not known: it made room for others, or the copy was damaged. */
  function texts(keys: RunStateKeys): StateTexts | null | undefined {
    let found: StateTexts | null = null;
    for (const name of keptStateNames) {
      const text = stateKeyText(keys[name]);
      if (!listed.has(text)) continue;
      const state = stateAt(text);
      if (state === null) return undefined;
      const { value } = state;
      if (value === null || value === emptyState) continue;
      found ??= {};
      found[name] = value;
    }
    return found;
  }

  async function readSlowly(keys: RunStateKeys): Promise<StateTexts | null> {
    const untilMs = Date.now() + Math.min(unknownTimeoutMs, options.runTimeoutMs);
    waiting++;
    try {
      if (!isListKnown) await listKnown(untilMs);
      for (let isFirst = true; ; isFirst = false) {
        if (!isFirst) await new Promise((resolve) => setTimeout(resolve, retryMs));
        const listedKeys = keptStateNames
          .map((name) => keys[name])
          .filter((key) => listed.has(stateKeyText(key)));
        const unknown = listedKeys.filter((key) => versionAt(stateKeyText(key)) === null);
        const isAway = performance.now() < awayUntil;
        const asked = isAway ? unknown : listedKeys.filter((key) => unknown.includes(key) || isStale(key));
        // Where nobody answers, what is known is used.
        await Promise.all(asked.map(ask)).catch(() => {});
        const found = texts(keys);
        if (found !== undefined) return found;
        if (Date.now() >= untilMs) throw new Error(unavailable);
      }
    } finally {
      waiting--;
    }
  }

  const unavailable =
    "The state that the flow keeps is not known on this data plane, and the control plane could not be asked for it.";

  function listKnown(untilMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timeout = setTimeout(() => reject(new Error(unavailable)), Math.max(0, untilMs - Date.now()));
      whenListKnown.push(() => {
        clearTimeout(timeout);
        resolve();
      });
    });
  }

  const isStale = (key: StateKey): boolean => {
    const text = stateKeyText(key);
    return listed.has(text) && !isFresh(text);
  };

  /** Resolves when the control plane has said what it has; asked together with all that is asked in this turn. */
  function ask(key: StateKey): Promise<void> {
    const text = stateKeyText(key);
    return new Promise((resolve, reject) => {
      let asked = toAsk.get(text);
      if (asked === undefined) {
        asked = { key, text, waiting: [] };
        if (toAsk.size === 0) setImmediate(askAll);
        toAsk.set(text, asked);
      }
      asked.waiting.push((error) => (error === null ? resolve() : reject(error)));
    });
  }

  function askAll(): void {
    const all = [...toAsk.values()];
    toAsk = new Map();
    for (let from = 0; from < all.length; from += askedAtOnceMax)
      void askSome(all.slice(from, from + askedAtOnceMax));
  }

  async function askSome(asked: readonly Asked[]): Promise<void> {
    const sinceMs = performance.now();
    try {
      const question = asked.map(({ key, text }) => {
        const there = versionAt(text);
        return { ...key, version: there === null ? null : stateVersion(there) };
      });
      const answers = await withTimeout(controlPlane.feedStates(question), checkTimeoutMs);
      const later: Asked[] = [];
      const fetched: { key: string; state: StoredState }[] = [];
      for (const [index, one] of asked.entries()) {
        const answer = answers[index] ?? null;
        if (answer === "LATER") later.push(one);
        else take(one.text, answer, sinceMs, fetched);
      }
      if (fetched.length > 0) {
        near.write(fetched);
        near.shrink(nearBytesMax, (key) => unconfirmed.has(key));
      }
      for (const one of asked) if (!later.includes(one)) for (const done of one.waiting) done(null);
      if (later.length > 0) await askSome(later);
    } catch (error) {
      awayUntil = performance.now() + awayMs;
      logger.debug({ reason: messageOf(error) }, "the control plane did not say what state flows keep");
      for (const { waiting: waiters } of asked) for (const done of waiters) done(error as Error);
    }
  }

  function take(
    text: string,
    answer: StoredState | "SAME" | null,
    sinceMs: number,
    fetched: { key: string; state: StoredState }[],
  ): void {
    // Stored here while the question was on its way: that is the newest.
    const there = versionAt(text);
    if (there !== null && (unconfirmed.has(text) || (checkedAt.get(text) ?? 0) > sinceMs)) return;
    if (answer !== "SAME") {
      const stored = answer ?? { stamp: 0, executionId: "", value: null };
      if (there === null || answer === null || isLaterState(stored, there))
        fetched.push({ key: text, state: stored });
    }
    checkedAt.set(text, performance.now());
  }

  function keep(eventKey: string, executionId: string, writes: readonly StateWrite[]): void {
    const states = writes.map((write) => ({
      key: stateKeyText(write),
      state: { stamp: write.stamp, executionId, value: write.value },
    }));
    try {
      near.write(states);
      for (const { key } of states) held.delete(key);
    } catch (error) {
      logger.error(
        { reason: messageOf(error) },
        "states of flows can't be written to the disk; kept in memory",
      );
      for (const { key, state } of states) held.set(key, state);
    }
    for (const { key } of states) {
      unconfirmed.set(key, eventKey);
      list(key);
    }
    unconfirmedEvents.set(
      eventKey,
      states.map(({ key }) => key),
    );
    near.shrink(nearBytesMax, (key) => unconfirmed.has(key));
  }

  return {
    read(keys) {
      hasRun = true;
      if (!isListKnown) return readSlowly(keys);
      if (!owners.has(keys.instanceState.ownerId) && !owners.has(keys.integrationState.ownerId)) return null;
      if (keptStateNames.some((name) => isStale(keys[name]))) return readSlowly(keys);
      const found = texts(keys);
      return found === undefined ? readSlowly(keys) : found;
    },
    writes({ kept }) {
      const writes: StateWrite[] = [];
      for (const [text, { key, value }] of kept) {
        lastStamp = Math.max(nextStamp(versionAt(text)), lastStamp + 1);
        writes.push({ ...key, stamp: lastStamp, value });
      }
      return writes;
    },
    saved: keep,
    confirmed(eventKeys) {
      if (unconfirmedEvents.size === 0) return;
      for (const eventKey of eventKeys) {
        const keys = unconfirmedEvents.get(eventKey);
        if (keys === undefined) continue;
        unconfirmedEvents.delete(eventKey);
        for (const key of keys) {
          if (unconfirmed.get(key) !== eventKey) continue;
          unconfirmed.delete(key);
          checkedAt.set(key, performance.now());
        }
      }
    },
    forget(ownerIds, isGone) {
      for (const ownerId of ownerIds) {
        if (!owners.has(ownerId) || !isGone(ownerId)) continue;
        owners.delete(ownerId);
        for (const text of listed) {
          if (ownerOf(text) !== ownerId) continue;
          listed.delete(text);
          held.delete(text);
          unconfirmed.delete(text);
        }
        near.forget(ownerId);
      }
    },
    stats: () => ({ unconfirmed: unconfirmedEvents.size, waiting }),
    stop() {
      isStopped = true;
      clearInterval(timer);
      near.close();
    },
  };
}

const ownerOf = (keyText: string): string => keyText.slice(0, keyText.indexOf("/"));

async function withTimeout<Result>(promise: Promise<Result>, ms: number): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error("no answer in time")), ms);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
