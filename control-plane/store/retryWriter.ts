/** What reports say of retries, written in their transaction. */
import type { ExecutionEvent } from "../../shared/reports.ts";
import type { Sqlite } from "../../shared/sqlite.ts";

export interface RetryWriter {
  /** Of an event that was new; `hasEnded`: with it the execution ended. Returns how many retries wait because of it. */
  note(event: ExecutionEvent, hasEnded: boolean): number;
  /** Its record is about to be made; false where it does not wait any more. */
  begin(id: string, executionId: string): boolean;
  /** Cancels the retry that waits for this execution; true where there was one. */
  cancel(executionId: string): boolean;
  /** Of an execution that is deleted. */
  remove(executionId: string): void;
}

interface Origin {
  id: string;
  startedAtMs: number;
}

export function openRetryWriter(executions: Sqlite): RetryWriter {
  const insert = executions.prepare(
    `INSERT INTO retries (id, executionId, originId, originStartedAtMs, number, instanceId, flowStableKey,
      uniqueRequestId, dueAtMs, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
  );
  const originOf = executions.prepare<[string], Origin>(
    "SELECT originId AS id, originStartedAtMs AS startedAtMs FROM retries WHERE id = ?",
  );
  /** By when the request came, not the retry of it. */
  const newerRequest = executions
    .prepare<[string, string, string, number, string], number>(
      `SELECT 1 FROM executions WHERE uniqueRequestId = ? AND instanceId = ? AND flowStableKey = ? AND retryNumber = 0
        AND (startedAtMs, id) > (?, ?) LIMIT 1`,
    )
    .pluck();
  const olderRetries = executions
    .prepare<[string, string, string, number, string], string>(
      `UPDATE retries SET state = 'CANCELED' WHERE uniqueRequestId = ? AND instanceId = ? AND flowStableKey = ?
        AND state = 'WAITING' AND (originStartedAtMs, originId) < (?, ?) RETURNING executionId`,
    )
    .pluck();
  const cancelOf = executions.prepare(
    "UPDATE retries SET state = 'CANCELED' WHERE executionId = ? AND state = 'WAITING'",
  );
  const beginOne = executions.prepare(
    "UPDATE retries SET state = 'STARTING' WHERE id = ? AND state = 'WAITING'",
  );
  const setNext = executions.prepare("UPDATE executions SET retryNextAtMs = ? WHERE id = ?");
  const removeOf = executions.prepare("DELETE FROM retries WHERE executionId = ?");

  return {
    note(event, hasEnded) {
      const { retrying, finish, target } = event;
      const { instanceId, flowStableKey } = target;
      const next = hasEnded ? finish?.retry : undefined;
      const uniqueRequestId = retrying?.uniqueRequestId ?? null;
      if (retrying === undefined || instanceId === null || flowStableKey === null) return 0;
      if (next === undefined && uniqueRequestId === null) return 0;
      const own: Origin = { id: event.id, startedAtMs: event.startedAtMs };
      const origin = retrying.of === null ? own : (originOf.get(event.id) ?? own);
      const place = [instanceId, flowStableKey, origin.startedAtMs, origin.id] as const;
      if (uniqueRequestId !== null)
        for (const id of olderRetries.all(uniqueRequestId, ...place)) setNext.run(null, id);
      if (next === undefined) return 0;
      const isOutdated =
        uniqueRequestId !== null && newerRequest.get(uniqueRequestId, ...place) !== undefined;
      insert.run(
        next.executionId,
        event.id,
        origin.id,
        origin.startedAtMs,
        retrying.number + 1,
        instanceId,
        flowStableKey,
        uniqueRequestId,
        next.dueAtMs,
        isOutdated ? "CANCELED" : "WAITING",
      );
      if (isOutdated) return 0;
      setNext.run(next.dueAtMs, event.id);
      return 1;
    },
    begin(id, executionId) {
      if (beginOne.run(id).changes === 0) return false;
      setNext.run(null, executionId);
      return true;
    },
    cancel(executionId) {
      if (cancelOf.run(executionId).changes === 0) return false;
      setNext.run(null, executionId);
      return true;
    },
    remove(executionId) {
      removeOf.run(executionId);
    },
  };
}
