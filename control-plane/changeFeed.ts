/**
 * The change feed. A mutation changes rows, and numbers the entities it touched, in one transaction; the data
 * planes that listen are poked after the commit, pull what changed, and acknowledge what they serve.
 */
import type { Logger } from "pino";
import { messageOf } from "../shared/errors.ts";
import { type FeedState, noteDataPlane, readFeedState } from "./store/feedVersions.ts";
import type { ConfigTransaction, Store } from "./store/store.ts";

export interface ChangeFeed {
  /**
   * Runs a transaction on the configuration, then pokes the data planes. Inside, use the transaction only: the
   * store has one connection, and a query beside the transaction would wait for its end for ever.
   */
  transact<Result>(work: (transaction: ConfigTransaction) => Promise<Result>): Promise<Result>;
  state(): Promise<FeedState>;
  /** Yields the state at once, after every change, and as a heartbeat; the data plane is live meanwhile. */
  follow(dataPlaneId: string, name: string, url: string | null): AsyncIterableIterator<FeedState>;
  acknowledge(dataPlaneId: string, name: string, epoch: string, version: number): Promise<void>;
  /** Waits until all live data planes serve `version`. Returns the names of those that do not in time. */
  waitForAcknowledgement(version: number, timeoutMs: number): Promise<string[]>;
  /** The data planes that are connected now, with what they have said that they serve; 0 before they have. */
  subscribers(): { name: string; servedVersion: number }[];
  /** The names of the data planes that are connected now. */
  liveDataPlanes(): string[];
  /** Where the data plane that connected last takes webhooks; null before the first. */
  ingressUrl(): string | null;
  /** Notes what a live data plane says of its master keys. */
  noteMasterKeys(dataPlaneId: string, held: HeldMasterKeys): void;
  /** The live data planes; `held` is null until one has said what it holds. */
  masterKeyHolders(): { id: string; name: string; held: HeldMasterKeys | null }[];
  close(): void;
}

export interface HeldMasterKeys {
  fingerprints: string[];
  /** Those that its unfinished webhooks may still need. */
  inUse: string[];
  /** The version of the feed that it served when it looked. */
  servedVersion: number;
}

const heartbeatMs = 10_000;
const noteDelayMs = 500;

interface Served {
  id: string;
  name: string;
  servedVersion: number;
}

interface Subscriber {
  dataPlaneId: string;
  name: string;
  wake: () => void;
}

interface Waiter {
  version: number;
  settle: () => void;
}

export function createChangeFeed(store: Store, log: Logger): ChangeFeed {
  const subscribers = new Set<Subscriber>();
  /** What each data plane serves of this epoch, by its id. */
  const served = new Map<string, number>();
  const waiters = new Set<Waiter>();
  const masterKeys = new Map<string, HeldMasterKeys>();
  let ingressUrl: string | null = null;
  let isClosed = false;

  const poke = (): void => {
    for (const subscriber of subscribers) subscriber.wake();
  };

  const isLive = (dataPlaneId: string): boolean =>
    [...subscribers].some((subscriber) => subscriber.dataPlaneId === dataPlaneId);

  const pending = (version: number): string[] => {
    const behind = [...subscribers].filter(
      (subscriber) => (served.get(subscriber.dataPlaneId) ?? 0) < version,
    );
    return [...new Set(behind.map((subscriber) => subscriber.name))];
  };

  const settleWaiters = (): void => {
    for (const waiter of waiters) if (pending(waiter.version).length === 0) waiter.settle();
  };

  /** Who serves what is kept for people to read: one write for many changes, off the way of those who wait for them. */
  const unnoted = new Map<string, Served>();
  let noting: NodeJS.Timeout | undefined;
  const noteSoon = (serving: Served): void => {
    unnoted.set(serving.id, serving);
    if (noting !== undefined || isClosed) return;
    noting = setTimeout(() => {
      noting = undefined;
      for (const each of unnoted.values()) {
        noteDataPlane(store, each).catch((error: unknown) =>
          log.warn({ reason: messageOf(error) }, "what a data plane serves could not be noted"),
        );
      }
      unnoted.clear();
    }, noteDelayMs);
  };

  const state = (): Promise<FeedState> => readFeedState(store);

  return {
    state,
    subscribers() {
      const live = new Map([...subscribers].map(({ dataPlaneId, name }) => [dataPlaneId, name]));
      return [...live].map(([id, name]) => ({ name, servedVersion: served.get(id) ?? 0 }));
    },
    liveDataPlanes: () => [...new Set([...subscribers].map((subscriber) => subscriber.name))],

    async transact(work) {
      const result = await store.config.transaction().execute(work);
      poke();
      return result;
    },

    ingressUrl: () => ingressUrl,

    noteMasterKeys(dataPlaneId, held) {
      if (isLive(dataPlaneId)) masterKeys.set(dataPlaneId, held);
    },

    masterKeyHolders() {
      const live = new Map([...subscribers].map(({ dataPlaneId, name }) => [dataPlaneId, name]));
      return [...live].map(([id, name]) => ({ id, name, held: masterKeys.get(id) ?? null }));
    },

    follow(dataPlaneId, name, url) {
      ingressUrl = url ?? ingressUrl;
      let isDue = true;
      let isOver = false;
      let notedAtMs = 0;
      let wake = (): void => {};
      const subscriber: Subscriber = {
        dataPlaneId,
        name,
        wake: () => {
          isDue = true;
          wake();
        },
      };
      subscribers.add(subscriber);
      const leave = (): void => {
        isOver = true;
        subscribers.delete(subscriber);
        // Served versions are forgotten with the last connection: a data plane that comes back says so anew.
        if (!isLive(dataPlaneId)) {
          served.delete(dataPlaneId);
          masterKeys.delete(dataPlaneId);
        }
        settleWaiters();
        wake();
      };
      const due = (): Promise<void> =>
        new Promise((resolve) => {
          const timer = setTimeout(resolve, heartbeatMs);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      return {
        [Symbol.asyncIterator]() {
          return this;
        },
        async next() {
          if (!isDue && !isOver && !isClosed) await due();
          isDue = false;
          if (isClosed) leave();
          if (isOver) return { done: true, value: undefined };
          // Not at each poke: that a change is told must not wait for the sync of a row that says so.
          if (Date.now() - notedAtMs >= heartbeatMs / 2) {
            notedAtMs = Date.now();
            await noteDataPlane(store, { id: dataPlaneId, name });
          }
          return { done: false, value: await readFeedState(store, dataPlaneId) };
        },
        async return() {
          leave();
          return { done: true, value: undefined };
        },
      };
    },

    async acknowledge(dataPlaneId, name, epoch, version) {
      if (epoch !== store.epoch) return;
      if (isLive(dataPlaneId)) {
        served.set(dataPlaneId, Math.max(version, served.get(dataPlaneId) ?? 0));
        settleWaiters();
      }
      noteSoon({ id: dataPlaneId, name, servedVersion: version });
    },

    waitForAcknowledgement(version, timeoutMs) {
      if (pending(version).length === 0) return Promise.resolve([]);
      return new Promise((resolve) => {
        const waiter: Waiter = {
          version,
          settle: () => {
            clearTimeout(timer);
            waiters.delete(waiter);
            resolve(pending(version));
          },
        };
        const timer = setTimeout(() => waiter.settle(), timeoutMs);
        waiters.add(waiter);
      });
    },

    close() {
      isClosed = true;
      clearTimeout(noting);
      poke();
      for (const waiter of waiters) waiter.settle();
    },
  };
}
