/**
 * Starts scheduled flows at their times. What became due while no control plane was there is started once; while a
 * flow's last run has not ended, a time of its schedule is passed over.
 */

import { derivedId } from "../shared/ids.ts";
import type { Services } from "./context.ts";
import { nextRunAfter } from "./cron.ts";
import { unendedOf } from "./store/executionEnds.ts";
import {
  type DeployedFlow,
  enqueueInvoked,
  type InvokedFlow,
  insertInvoked,
  removeInvoked,
} from "./store/invokedFlows.ts";
import { scheduledFlows } from "./store/scheduledFlows.ts";
import { changeSchedule, dueSchedules, nextDueAtMs, type ScheduleRow } from "./store/schedules.ts";
import { startTicker, type Ticker } from "./ticker.ts";

type Ticking = Pick<Services, "store" | "feed" | "metrics" | "log">;

const dueAtOnceMax = 100;
/** Asking for the next time is one look into an index, and sees what others of the same store have changed. */
const lookMs = 1_000;
const pauseMin = 5;
const lateAfterMs = 3 * lookMs;

export function startScheduleTicker(services: Ticking): Ticker {
  const { store, log } = services;
  const step = async (): Promise<number> => {
    const nextAtMs = await nextDueAtMs(store.config);
    const inMs = nextAtMs === null ? lookMs : nextAtMs - Date.now();
    if (inMs > 0) return Math.min(lookMs, inMs);
    await startDue(services, Date.now());
    return pauseMin;
  };
  const failure = "scheduled flows could not be started; it is tried again";
  return startTicker({ step, log, failure, afterFailureMs: lookMs });
}

interface Decision {
  row: ScheduleRow;
  changes: Pick<ScheduleRow, "nextAtMs" | "isLate" | "lastExecutionId">;
  /** What is started; null where nothing is. */
  invoked: InvokedFlow | null;
  isSkipped: boolean;
}

async function startDue(services: Ticking, nowMs: number): Promise<void> {
  const { store, feed } = services;
  const due = await dueSchedules(store.config, nowMs, dueAtOnceMax);
  if (due.length === 0) return;
  const lastIds = due.flatMap((row) => row.lastExecutionId ?? []);
  const running = await unendedOf(store, lastIds, nowMs);
  const flows = await scheduledFlows(store.config, due);
  const decisions = due.map((row) => decide(row, running, flows.get(row), nowMs));
  const invoked = decisions.flatMap((decision) => decision.invoked ?? []);
  await insertInvoked(store, invoked);
  const started = await feed.transact(async (transaction) => {
    const changed: Decision[] = [];
    for (const decision of decisions)
      if (await changeSchedule(transaction, decision.row, decision.changes)) changed.push(decision);
    const starting = changed.flatMap((decision) => decision.invoked ?? []);
    await enqueueInvoked(transaction, starting);
    return starting;
  });
  // The schedule was changed meanwhile, or its instance removed.
  const lost = invoked.filter((each) => !started.includes(each));
  if (lost.length > 0)
    await removeInvoked(
      store,
      lost.map(({ executionId }) => executionId),
    );
  tell(services, decisions, started.length);
}

function decide(
  row: ScheduleRow,
  running: ReadonlySet<string>,
  deployed: DeployedFlow | undefined,
  nowMs: number,
): Decision {
  const { instanceId, stableKey, lastExecutionId } = row;
  const tickAtMs = row.nextAtMs!;
  const nextAtMs = nextRunAfter(row, nowMs);
  const none = { row, invoked: null, isSkipped: false };
  if (deployed === undefined) return { ...none, changes: { nextAtMs, isLate: 0, lastExecutionId } };
  if (lastExecutionId !== null && running.has(lastExecutionId)) {
    // Nobody was there at its time. The last run may have ended long ago, and its report be on its way.
    if (row.isLate === 1 || nowMs - tickAtMs > lateAfterMs)
      return { ...none, changes: { nextAtMs: nowMs + lookMs, isLate: 1, lastExecutionId } };
    return { ...none, changes: { nextAtMs, isLate: 0, lastExecutionId }, isSkipped: true };
  }
  const executionId = derivedId(tickAtMs, `${instanceId} ${stableKey} ${tickAtMs}`);
  return {
    row,
    changes: { nextAtMs, isLate: 0, lastExecutionId: executionId },
    invoked: {
      executionId,
      invokeType: "SCHEDULED",
      invocation: { kind: "schedule", tickAtMs },
      deployed,
    },
    isSkipped: false,
  };
}

function tell({ metrics, log }: Ticking, decisions: readonly Decision[], started: number): void {
  metrics.scheduled("started", started);
  for (const { row, isSkipped } of decisions) {
    if (!isSkipped) continue;
    metrics.scheduled("skipped", 1);
    const { instanceId, stableKey, lastExecutionId } = row;
    log.warn(
      { instanceId, flow: stableKey, executionId: lastExecutionId },
      "a time of a schedule was passed over: its last run has not ended",
    );
  }
}
