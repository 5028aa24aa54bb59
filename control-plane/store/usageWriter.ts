/**
 * What runs came to, by day and instance. Counted in memory as reports are stored, and written every few seconds: a row
 * for each batch and instance would touch as many pages as the reports themselves. With the rows stands up to which
 * event they count, so after a crash the rest is counted from the events.
 */
import type { ExecutionEvent } from "../../shared/reports.ts";
import type { Sqlite } from "../../shared/sqlite.ts";

export interface UsageWriter {
  /** Of an event that was new; `hasEnded`: with it the execution ended. Inside the transaction that stores it. */
  note(event: ExecutionEvent, hasEnded: boolean): void;
  /** What was noted since the last call is stored (true), or is not (false). */
  settle(isStored: boolean): void;
  /** Writes what was counted. */
  flush(): void;
  /** Deletes days before this one. */
  prune(day: string): void;
}

interface Usage {
  day: string;
  instanceId: string;
  customerId: string;
  succeeded: number;
  failed: number;
  steps: number;
  runMs: number;
}

const flushAfterMs = 5_000;
const dayLength = "2026-01-01".length;

export function openUsageWriter(executions: Sqlite): UsageWriter {
  const upsert = executions.prepare(
    `INSERT INTO usageDays (day, instanceId, customerId, succeeded, failed, steps, runMs) VALUES (?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT (day, instanceId) DO UPDATE SET succeeded = succeeded + excluded.succeeded,
        failed = failed + excluded.failed, steps = steps + excluded.steps, runMs = runMs + excluded.runMs`,
  );
  const lastEvent = executions.prepare<[], number>("SELECT max(rowid) FROM executionEvents").pluck();
  const setCounted = executions.prepare("UPDATE usageCounted SET upTo = ?");
  const pruneDays = executions.prepare("DELETE FROM usageDays WHERE day < ?");
  const counted = new Map<string, Usage>();
  let noted: Usage[] = [];
  let flushedAtMs = Date.now();

  const add = (usage: Usage): void => {
    const key = `${usage.day} ${usage.instanceId}`;
    const known = counted.get(key);
    if (known === undefined) {
      counted.set(key, { ...usage });
      return;
    }
    known.succeeded += usage.succeeded;
    known.failed += usage.failed;
    known.steps += usage.steps;
    known.runMs += usage.runMs;
  };
  const flush = executions.transaction(() => {
    for (const { day, instanceId, customerId, succeeded, failed, steps, runMs } of counted.values())
      upsert.run(day, instanceId, customerId, succeeded, failed, steps, Math.round(runMs));
    setCounted.run(lastEvent.get() ?? 0);
  });
  const flushAll = (): void => {
    flushedAtMs = Date.now();
    if (counted.size === 0) return;
    flush();
    counted.clear();
  };

  for (const usage of uncounted(executions)) add(usage);
  flushAll();

  return {
    note({ target, steps, finish, startedAtMs }, hasEnded) {
      const { instanceId, customerId } = target;
      if (instanceId === null || customerId === null || (steps.length === 0 && !hasEnded)) return;
      noted.push({
        day: dayOf(hasEnded && finish !== null ? finish.endedAtMs : (steps.at(-1)?.endedAtMs ?? startedAtMs)),
        instanceId,
        customerId,
        succeeded: hasEnded && finish?.status === "SUCCEEDED" ? 1 : 0,
        failed: hasEnded && finish?.status === "FAILED" ? 1 : 0,
        steps: steps.length,
        runMs: steps.length === 0 ? 0 : Math.max(0, steps.at(-1)!.endedAtMs - steps[0]!.startedAtMs),
      });
    },
    settle(isStored) {
      if (isStored) for (const usage of noted) add(usage);
      if (noted.length > 0) noted = [];
      if (counted.size > 0 && Date.now() - flushedAtMs >= flushAfterMs) flushAll();
    },
    flush: flushAll,
    prune(day) {
      pruneDays.run(day);
    },
  };
}

const dayMs = 24 * 3_600_000;
let lastDay = { number: -1, text: "" };

/** The day in UTC. Mostly it is the same as before. */
export function dayOf(atMs: number): string {
  const number = Math.floor(atMs / dayMs);
  if (number !== lastDay.number) lastDay = { number, text: new Date(atMs).toISOString().slice(0, dayLength) };
  return lastDay.text;
}

/** Of what was stored after the last flush of an earlier process. */
function uncounted(executions: Sqlite): Usage[] {
  const upTo = executions.prepare<[], number>("SELECT upTo FROM usageCounted").pluck().get() ?? 0;
  const ended = executions.prepare<[number], Omit<Usage, "day" | "steps" | "runMs"> & { atMs: number }>(
    `SELECT endedAtMs AS atMs, instanceId, customerId, status = 'SUCCEEDED' AS succeeded, status = 'FAILED' AS failed
      FROM executions WHERE endedAtMs IS NOT NULL AND instanceId IS NOT NULL AND customerId IS NOT NULL
        AND id IN (SELECT executionId FROM executionEvents WHERE rowid > ? AND attempt >= 0)`,
  );
  const stepped = executions.prepare<
    [number],
    Pick<Usage, "instanceId" | "customerId" | "steps" | "runMs"> & { atMs: number }
  >(
    `SELECT max(step.value ->> 5) AS atMs, instanceId, customerId, count(*) AS steps,
        max(step.value ->> 5) - min(step.value ->> 4) AS runMs
      FROM executionEvents AS event, json_each(event.stepsJson) AS step, executions
      WHERE event.rowid > ? AND executions.id = event.executionId AND instanceId IS NOT NULL AND customerId IS NOT NULL
      GROUP BY event.rowid`,
  );
  return [
    ...ended.all(upTo).map(({ atMs, ...usage }) => ({ ...usage, day: dayOf(atMs), steps: 0, runMs: 0 })),
    ...stepped
      .all(upTo)
      .map(({ atMs, ...usage }) => ({ ...usage, day: dayOf(atMs), succeeded: 0, failed: 0 })),
  ];
}
