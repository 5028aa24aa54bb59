/**
 * Bulk replays: the failed executions of a time, repeated at a measured pace. A job goes through them oldest first. Each
 * batch is noted in one transaction with the place that the job has come to; its commands, in the other database, are
 * queued after it, and again by whoever finds it unfinished.
 */
import { createHash } from "node:crypto";
import { sql } from "kysely";
import { newId } from "../../shared/ids.ts";
import { type CommandPayload, enqueueCommand } from "./commandQueue.ts";
import { exclusively } from "./reportIngestion.ts";
import { type StartingKind, startedRow } from "./startedExecutions.ts";
import { type PreparedReplay, prepareReplay } from "./startedReplays.ts";
import type { ConfigTransaction, Store } from "./store.ts";
import type { ExecutionTables } from "./tables.ts";

/** Which of the failed executions are meant. Ids are uuids. */
export interface BulkReplayFilter {
  fromMs: number;
  toMs: number;
  instanceId?: string | undefined;
  /** Or the id of a version. */
  integrationId?: string | undefined;
  customerId?: string | undefined;
  flowName?: string | undefined;
  errorCode?: string | undefined;
}

export type BulkReplay = ExecutionTables["bulkReplays"];

/** Counting goes no further. */
export const countedMax = 20_000;

/**
 * Failed executions whose work is not done: no tests, nothing that repeats another (its first one is meant then), and
 * nothing that was repeated with success, or is being repeated. What was canceled is meant only where it is asked for.
 */
function candidates(store: Store, filter: BulkReplayFilter) {
  let query = store.executions
    .selectFrom("executions")
    // Written out, as the index of these alone is used where SQLite sees the value.
    .where(sql<boolean>`executions.status = 'FAILED'`)
    .where("executions.startedAtMs", ">=", filter.fromMs)
    .where("executions.startedAtMs", "<=", filter.toMs)
    .where("executions.isTest", "=", 0)
    .where("executions.hasRequest", "=", 1)
    .where("executions.replayOf", "is", null)
    .where("executions.retryOf", "is", null)
    .where("executions.retryNextAtMs", "is", null)
    .where(
      sql<boolean>`NOT EXISTS (SELECT 1 FROM executions AS later WHERE later.replayOf = executions.id AND later.status <> 'FAILED')`,
    )
    .where(
      sql<boolean>`NOT EXISTS (SELECT 1 FROM executions AS later WHERE later.retryOf = executions.id AND (later.status <> 'FAILED' OR later.retryNextAtMs IS NOT NULL))`,
    );
  if (filter.instanceId !== undefined) query = query.where("executions.instanceId", "=", filter.instanceId);
  if (filter.customerId !== undefined) query = query.where("executions.customerId", "=", filter.customerId);
  if (filter.flowName !== undefined) query = query.where("executions.flowName", "=", filter.flowName);
  const { integrationId } = filter;
  if (integrationId !== undefined)
    query = query.where((row) =>
      row.or([
        row("executions.integrationId", "=", integrationId),
        row("executions.versionId", "=", integrationId),
      ]),
    );
  return filter.errorCode === undefined
    ? query.where(sql<boolean>`executions.errorCode IS NOT 'CANCELED'`)
    : query.where("executions.errorCode", "=", filter.errorCode);
}

/** Up to `countedMax`. */
export async function countCandidates(store: Store, filter: BulkReplayFilter): Promise<number> {
  const found = await store.executions
    .selectFrom(candidates(store, filter).select("executions.id").limit(countedMax).as("found"))
    .select((row) => row.fn.countAll<number>().as("count"))
    .executeTakeFirstOrThrow();
  return found.count;
}

export async function startBulkReplay(
  store: Store,
  filter: BulkReplayFilter,
  { perSecond, createdBy }: { perSecond: number; createdBy: string },
): Promise<BulkReplay> {
  const nowMs = Date.now();
  const job: BulkReplay = {
    id: newId(),
    state: "RUNNING",
    filterJson: JSON.stringify({ ...filter, toMs: Math.min(filter.toMs, nowMs) }),
    perSecond,
    total: await countCandidates(store, filter),
    replayed: 0,
    skipped: 0,
    cursorAtMs: 0,
    cursorId: "",
    pendingJson: null,
    createdBy,
    createdAtMs: nowMs,
    finishedAtMs: null,
  };
  await store.executions.insertInto("bulkReplays").values(job).execute();
  return job;
}

/** False where it does not run any more. */
export async function cancelBulkReplay(store: Store, id: string): Promise<boolean> {
  const { numUpdatedRows } = await store.executions
    .updateTable("bulkReplays")
    .set({ state: "CANCELED", finishedAtMs: Date.now() })
    .where("id", "=", id)
    .where("state", "=", "RUNNING")
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

type Transact = <Result>(work: (transaction: ConfigTransaction) => Promise<Result>) => Promise<Result>;

/** A second's worth of each job. True where one goes on. */
export async function continueBulkReplays(store: Store, transact: Transact): Promise<boolean> {
  const jobs = await store.executions
    .selectFrom("bulkReplays")
    .selectAll()
    .where((row) => row.or([row("state", "=", "RUNNING"), row("pendingJson", "is not", null)]))
    .execute();
  for (const job of jobs) {
    // What an earlier process, or the last try, did not get to.
    if (job.pendingJson !== null) await queuePending(store, transact, job.id, job.pendingJson);
    if (job.state === "RUNNING") await nextBatch(store, transact, job);
  }
  return jobs.some((job) => job.state === "RUNNING");
}

interface Pending {
  executionId: string;
  kind: StartingKind;
  payload: CommandPayload<StartingKind>;
}

async function nextBatch(store: Store, transact: Transact, job: BulkReplay): Promise<void> {
  const filter = JSON.parse(job.filterJson) as BulkReplayFilter;
  const batch = await candidates(store, filter)
    .selectAll("executions")
    .where(sql<boolean>`(executions.startedAtMs, executions.id) > (${job.cursorAtMs}, ${job.cursorId})`)
    .orderBy("executions.startedAtMs")
    .orderBy("executions.id")
    .limit(job.perSecond)
    .execute();
  const last = batch.at(-1);
  if (last === undefined) {
    await finish(store, job.id);
    return;
  }
  const prepared: { executionId: string; replay: PreparedReplay }[] = [];
  for (const execution of batch) {
    const replay = await prepareReplay(store, execution);
    if (replay !== null) prepared.push({ executionId: replayId(job.id, execution.id), replay });
  }
  const pendingJson = JSON.stringify(
    prepared.map(
      ({ executionId, replay: { kind, payload } }): Pending => ({
        executionId,
        kind,
        payload: payload(executionId),
      }),
    ),
  );
  const isTaken = await exclusively(store, (writer) =>
    writer.transaction(() => {
      const place = { atMs: last.startedAtMs, id: last.id };
      const counts = { replayed: prepared.length, skipped: batch.length - prepared.length };
      if (!writer.bulkReplays.advance(job.id, place, counts, pendingJson)) return false;
      for (const { executionId, replay } of prepared) {
        const { row, requestJson } = startedRow(executionId, replay.started, Date.now());
        writer.insertStarted(row, requestJson);
        writer.bulkReplays.note(job.id, executionId);
      }
      return true;
    }),
  );
  if (isTaken) await queuePending(store, transact, job.id, pendingJson);
}

async function queuePending(
  store: Store,
  transact: Transact,
  id: string,
  pendingJson: string,
): Promise<void> {
  const pending = JSON.parse(pendingJson) as Pending[];
  await transact(async (transaction) => {
    for (const { executionId, kind, payload } of pending)
      await enqueueCommand(transaction, kind, payload, { id: executionId });
  });
  await store.executions.updateTable("bulkReplays").set({ pendingJson: null }).where("id", "=", id).execute();
}

async function finish(store: Store, id: string): Promise<void> {
  await store.executions
    .updateTable("bulkReplays")
    .set({ state: "DONE", finishedAtMs: Date.now() })
    .where("id", "=", id)
    .where("state", "=", "RUNNING")
    .execute();
}

/** Always the same for an execution and a job, so that what is done twice is there once. */
function replayId(jobId: string, executionId: string): string {
  const hex = createHash("sha256").update(`${jobId} ${executionId}`).digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
