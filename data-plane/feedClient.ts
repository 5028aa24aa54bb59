/** Keeps the replica up to date: pulls what changed at every poke, applies it as one, acknowledges it. */
import type { Logger } from "pino";
import { ConfigurationError, messageOf } from "../shared/errors.ts";
import type { FeedChange } from "../shared/feed.ts";
import type { ControlPlane, FeedPoke } from "./controlPlane.ts";
import type { Replica } from "./replica.ts";

export interface FeedClient {
  stop(): void;
}

export interface FeedClientOptions {
  controlPlane: ControlPlane;
  replica: Replica;
  logger: Logger;
  /** After each change was applied. */
  onApplied(): void;
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

  const isUpToDate = (state: Pick<FeedPoke, "epoch" | "version">): boolean => {
    const { epoch, version } = replica.position();
    return state.epoch === epoch && version >= state.version;
  };

  const pullOnce = async () => {
    const update = await pullAll(controlPlane, replica);
    if (isUpToDate(update)) return onCurrent();
    replica.apply(update);
    onApplied();
    onCurrent();
    await controlPlane.acknowledge(update.epoch, update.version);
    logger.debug(
      { version: update.version, changes: update.changes.length, isSnapshot: update.isSnapshot },
      "feed applied",
    );
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
    const { epoch, version } = replica.position();
    if (isUpToDate(poke)) controlPlane.acknowledge(epoch, version).catch(() => {});
  };

  const subscription = controlPlane.subscribe(
    (poke) => {
      if (isLost || wanted === null) {
        logger.info("connected to the control plane");
        acknowledgeCurrent(poke);
      }
      isLost = false;
      wanted = poke;
      if (isUpToDate(poke)) onCurrent();
      if (poke.commandsWaiting) onCommands();
      void pull();
    },
    (reason) => {
      if (!isLost && !isStopped)
        logger.warn({ reason }, "the control plane is out of reach; serving what the replica holds");
      isLost = true;
    },
  );
  return {
    stop() {
      isStopped = true;
      clearInterval(asking);
      subscription.stop();
    },
  };
}

/** All pages up to the newest version. A change in a later page replaces the entity's earlier one. */
async function pullAll(controlPlane: ControlPlane, replica: Replica) {
  const { epoch, version } = replica.position();
  const changes = new Map<string, FeedChange>();
  let page = await controlPlane.feedChanges(epoch, version);
  const { epoch: newEpoch, isSnapshot } = page;
  for (;;) {
    for (const change of page.changes) {
      const key = `${change.kind}/${change.id}`;
      changes.delete(key);
      changes.set(key, change);
    }
    if (!page.hasMore)
      return { epoch: newEpoch, version: page.version, isSnapshot, changes: [...changes.values()] };
    page = await controlPlane.feedChanges(newEpoch, page.version);
    if (page.epoch !== newEpoch)
      throw new Error("the control plane's store was replaced while its feed was read");
  }
}
