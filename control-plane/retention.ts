/**
 * Housekeeping, a small step at a time: executions, rejections, finished commands and the audit log are kept
 * within their age and bytes, and commands that nobody finished are handed out again or end.
 */
import type { Config } from "../shared/config.ts";
import { expireLeases, failOrphans } from "./store/commandQueue.ts";
import { removeOrphanStates } from "./store/flowStates.ts";
import {
  executionBytes,
  pruneAuditLog,
  pruneBulkReplays,
  pruneCommands,
  pruneOlderThan,
  pruneOldest,
  pruneUnclaimedCommands,
  pruneUsage,
} from "./store/pruning.ts";
import type { Store } from "./store/store.ts";

type Limits = Pick<Config, "executionRetentionDays" | "executionBytesMax" | "auditRetentionDays">;

type OnPruned = (kind: "record" | "audit", count: number) => void;

const dayMs = 24 * 3_600_000;
const usageDays = 400;
/** A data plane that was away for longer runs what it holds, also what was canceled meanwhile. */
const unclaimedDays = 7;
const orphanAgeMs = 10 * 60_000;
const stepRowsMax = 200;
const statesAtOnce = 500;
/** The pause after a step that found nothing more to delete, and after one that did. */
const idlePauseMs = 30_000;
const busyPauseMs = 1_000;

/** Runs until the returned function is called, which waits for the step under way. */
export function startRetention(store: Store, config: Limits, onPruned: OnPruned): () => Promise<void> {
  let isStopped = false;
  let timer: NodeJS.Timeout | undefined;
  let step: Promise<void> = Promise.resolve();
  /** How far the states were looked through. */
  let statesAfter = 0;
  const next = (pauseMs: number): void => {
    if (isStopped) return;
    timer = setTimeout(() => {
      step = retentionStep(store, config, Date.now(), onPruned).then(
        async (deleted) => {
          statesAfter = await removeOrphanStates(store, statesAfter, statesAtOnce).catch(() => 0);
          next(deleted > 0 ? busyPauseMs : idlePauseMs);
        },
        // A failed step (a full disk, a locked database) is tried again: nothing else depends on it.
        () => next(idlePauseMs),
      );
    }, pauseMs);
    timer.unref();
  };
  next(busyPauseMs);
  return async () => {
    isStopped = true;
    clearTimeout(timer);
    await step;
  };
}

/** One step; returns how many records it deleted. */
export async function retentionStep(
  store: Store,
  config: Limits,
  nowMs = Date.now(),
  onPruned: OnPruned = () => {},
): Promise<number> {
  await expireLeases(store, nowMs);
  await failOrphans(store, nowMs - orphanAgeMs);
  await pruneCommands(store, nowMs - dayMs);
  await pruneUsage(store, nowMs - usageDays * dayMs);
  await pruneBulkReplays(store, nowMs - config.executionRetentionDays * dayMs);
  await pruneUnclaimedCommands(store, nowMs - unclaimedDays * dayMs);
  const audited = await pruneAuditLog(store, nowMs - config.auditRetentionDays * dayMs, stepRowsMax);
  onPruned("audit", audited);
  const byAge = await pruneOlderThan(store, nowMs - config.executionRetentionDays * dayMs, stepRowsMax);
  onPruned("record", byAge);
  if (byAge > 0) return audited + byAge;
  if ((await executionBytes(store)) <= config.executionBytesMax) return audited;
  const byBytes = await pruneOldest(store, stepRowsMax);
  onPruned("record", byBytes);
  return audited + byBytes;
}
