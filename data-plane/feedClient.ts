/**
 * Keeps the replica up to date: at every poke pulls what changed, page by page into one transaction (or into one
 * new file, for a snapshot), has all readers take it up, and acknowledges it.
 */
import { setImmediate as nextTurn, setTimeout as pause } from "node:timers/promises";
import type { Logger } from "pino";
import { ConfigurationError, messageOf } from "../shared/errors.ts";
import type { FeedChange, FeedPage } from "../shared/feed.ts";
import type { ControlPlane, FeedPoke } from "./controlPlane.ts";
import type { ReplicaState } from "./replica/state.ts";
import type { ReplicaUpdate, ReplicaWriter } from "./replica/writer.ts";

export interface FeedClient {
  /** Asks now, where the replica was forgotten. */
  pull(): void;
  stop(): void;
  /** Whether a change is on its way. */
  isPulling(): boolean;
  stats(): FeedStats;
}

export interface FeedStats {
  isConnected: boolean;
  /** Versions that the replica is behind what the control plane last told of. */
  lag: number;
}

export interface FeedClientOptions {
  controlPlane: ControlPlane;
  replica: ReplicaWriter;
  logger: Logger;
  /** Has all readers take up what was applied; resolves when they have. */
  onApplied(state: ReplicaState): Promise<void>;
  /** The replica is what the control plane has at this moment. */
  onCurrent(): void;
  /** Seconds within which that must be known again; 0 where it may take as long as it takes. */
  maxStalenessSeconds: number;
  onCommands(): void;
  /** What was applied can't be served: another master key. */
  onFatal(error: ConfigurationError): void;
}

const retryAfterMs = 500;
const askAtLeastEveryMs = 10_000;
/** A snapshot of a thousand pages does not begin anew for one that got no answer. */
const pageAttempts = 5;

export function startFeedClient({
  controlPlane,
  replica,
  logger,
  onApplied,
  onCurrent,
  maxStalenessSeconds,
  onCommands,
  onFatal,
}: FeedClientOptions): FeedClient {
  let wanted: FeedPoke | null = null;
  let isPulling = false;
  let isStopped = false;
  let isLost = false;

  let isServed = true;

  const isUpToDate = (state: Pick<FeedPoke, "epoch" | "version">): boolean => {
    const { epoch, version } = replica.state();
    return isServed && state.epoch === epoch && version >= state.version;
  };

  const serve = async (state: ReplicaState) => {
    isServed = false;
    await onApplied(state);
    const again = replica.refreshed();
    if (again !== null) await onApplied(again);
    isServed = true;
  };

  const pullOnce = async () => {
    // What was applied and, for an error, not taken up: without the list of what changed.
    if (!isServed) await serve(replica.state());
    const pulled = await pullAll(controlPlane, replica);
    if (pulled !== null) await serve(pulled.state);
    onCurrent();
    if (pulled === null) return;
    const { epoch, version } = pulled.state;
    await controlPlane.acknowledge(epoch, version);
    logger.debug({ version, changes: pulled.changes, isSnapshot: pulled.isSnapshot }, "feed applied");
  };

  const pull = async () => {
    if (isPulling) return;
    isPulling = true;
    try {
      while (wanted !== null && !isStopped && !isUpToDate(wanted)) await pullOnce();
    } catch (error) {
      if (error instanceof ConfigurationError) return onFatal(error);
      logger.warn({ reason: messageOf(error) }, "the feed could not be read");
      if (!isStopped) setTimeout(() => void pull(), retryAfterMs).unref();
    } finally {
      isPulling = false;
    }
  };

  /** Asks unasked: pokes may come more seldom than the limit wants, or not at all over a dead connection. */
  const ask = async () => {
    if (isPulling) return;
    isPulling = true;
    try {
      await pullOnce();
    } catch (error) {
      if (error instanceof ConfigurationError) return onFatal(error);
      logger.debug({ reason: messageOf(error) }, "the control plane did not say whether there is news");
    } finally {
      isPulling = false;
      void pull();
    }
  };
  const asking =
    maxStalenessSeconds > 0
      ? setInterval(() => void ask(), Math.min(askAtLeastEveryMs, (maxStalenessSeconds * 1000) / 3))
      : undefined;

  const acknowledgeCurrent = (poke: FeedPoke) => {
    const { epoch, version } = replica.state();
    if (isUpToDate(poke)) controlPlane.acknowledge(epoch, version).catch(() => {});
  };

  const subscription = controlPlane.subscribe(
    (poke) => {
      const isNew = isLost || wanted === null;
      if (isNew) {
        logger.info("connected to the control plane");
        acknowledgeCurrent(poke);
      }
      isLost = false;
      wanted = poke;
      if (isUpToDate(poke)) onCurrent();
      // One that was leased in an earlier life is not among those that wait.
      if (poke.commandsWaiting || isNew) onCommands();
      void pull();
    },
    (reason) => {
      if (!isLost && !isStopped)
        logger.warn({ reason }, "the control plane is out of reach; serving what the replica holds");
      isLost = true;
    },
  );
  return {
    pull: () => void pull(),
    isPulling: () => isPulling,
    stats() {
      if (wanted === null) return { isConnected: false, lag: 0 };
      const { epoch, version } = replica.state();
      const isSameEpoch = wanted.epoch === epoch;
      return { isConnected: !isLost, lag: Math.max(0, wanted.version - (isSameEpoch ? version : 0)) };
    },
    stop() {
      isStopped = true;
      clearInterval(asking);
      subscription.stop();
    },
  };
}

interface Pulled {
  state: ReplicaState;
  changes: number;
  isSnapshot: boolean;
}

/** Applies all pages up to the newest version; null where there is nothing new. */
async function pullAll(controlPlane: ControlPlane, replica: ReplicaWriter): Promise<Pulled | null> {
  const { epoch, version } = replica.state();
  let page = await controlPlane.feedChanges(epoch, version);
  const { epoch: newEpoch, isSnapshot } = page;
  if (newEpoch === epoch && page.version <= version && !page.hasMore) return null;
  const update = isSnapshot ? replica.beginSnapshot() : replica.beginDelta();
  let changes = 0;
  try {
    for (;;) {
      const following = page.hasMore ? nextPage(controlPlane, newEpoch, page.version) : null;
      // Looked at when this page is in; where that fails nobody looks.
      following?.catch(() => {});
      // An entity that changed between two pages comes again in a later one, and that one counts.
      await addInSlices(update, page.changes);
      changes += page.changes.length;
      if (following === null) break;
      page = await following;
      if (page.epoch !== newEpoch)
        throw new Error("the control plane's store was replaced while its feed was read");
    }
    const state = await update.commit({ epoch: newEpoch, version: page.version });
    return { state, changes, isSnapshot };
  } catch (error) {
    update.abandon();
    throw error;
  }
}

async function nextPage(controlPlane: ControlPlane, epoch: string, since: number): Promise<FeedPage> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await controlPlane.feedChanges(epoch, since);
    } catch (error) {
      if (attempt === pageAttempts) throw error;
      await pause(retryAfterMs);
    }
  }
}

/** Some 5 ms each: the main thread has webhooks to run meanwhile, and a turn of it may take ten times as long. */
export const sliceChanges = 250;

async function addInSlices(update: ReplicaUpdate, changes: readonly FeedChange[]): Promise<void> {
  for (let at = 0; at < changes.length; at += sliceChanges) {
    if (at > 0) await nextTurn();
    update.add(changes.slice(at, at + sliceChanges));
  }
}
