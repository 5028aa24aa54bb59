/** A bulk replay's progress, written in the transaction of the records that it makes. */
import type { Sqlite } from "../../shared/sqlite.ts";

export interface BulkReplayWriter {
  /** Moves a job on, and keeps the commands that are to be queued; false where it does not run any more. */
  advance(
    id: string,
    place: { atMs: number; id: string },
    counts: { replayed: number; skipped: number },
    pendingJson: string,
  ): boolean;
  /** This execution is one of the job's. */
  note(id: string, executionId: string): void;
  /** Of an execution that is deleted. */
  remove(executionId: string): void;
}

export function openBulkReplayWriter(executions: Sqlite): BulkReplayWriter {
  const advanceJob = executions.prepare(
    `UPDATE bulkReplays SET cursorAtMs = ?, cursorId = ?, replayed = replayed + ?, skipped = skipped + ?, pendingJson = ?
      WHERE id = ? AND state = 'RUNNING' AND pendingJson IS NULL`,
  );
  const insertItem = executions.prepare(
    "INSERT INTO bulkReplayItems (executionId, bulkReplayId) VALUES (?, ?) ON CONFLICT (executionId) DO NOTHING",
  );
  const removeItem = executions.prepare("DELETE FROM bulkReplayItems WHERE executionId = ?");
  return {
    advance(id, place, { replayed, skipped }, pendingJson) {
      return advanceJob.run(place.atMs, place.id, replayed, skipped, pendingJson, id).changes === 1;
    },
    note(id, executionId) {
      insertItem.run(executionId, id);
    },
    remove(executionId) {
      removeItem.run(executionId);
    },
  };
}
