/** Retries that are due become executions: their record first, then their command, each as often as need be. */
import { sql } from "kysely";
import type { InvokeType } from "../../shared/reports.ts";
import { enqueueCommand } from "./commandQueue.ts";
import { exclusively } from "./reportIngestion.ts";
import type { ConfigTransaction, Store } from "./store.ts";
import { readExecutionRequest } from "./storedObjects.ts";

type Transact = <Result>(work: (transaction: ConfigTransaction) => Promise<Result>) => Promise<Result>;

/** Starts up to `most` of those that are due; returns when the next one is, null where none waits. */
export async function startDueRetries(
  store: Store,
  transact: Transact,
  most: number,
  nowMs = Date.now(),
): Promise<number | null> {
  const due = await store.executions
    .selectFrom("retries")
    .selectAll()
    // Written out, as the index of these alone is used where SQLite sees the values.
    .where(sql<boolean>`state IN ('WAITING', 'STARTING')`)
    .where("dueAtMs", "<=", nowMs)
    .orderBy("dueAtMs")
    .limit(most)
    .execute();
  for (const retry of due) {
    if (retry.state === "STARTING" || (await makeRecord(store, retry)))
      await transact(async (transaction) => {
        await queue(store, transaction, retry.id);
      });
    await store.executions
      .updateTable("retries")
      .set({ state: "STARTED" })
      .where("id", "=", retry.id)
      .where("state", "=", "STARTING")
      .execute();
  }
  const next = await store.executions
    .selectFrom("retries")
    .select((row) => row.fn.min("dueAtMs").as("dueAtMs"))
    .where(sql<boolean>`state IN ('WAITING', 'STARTING')`)
    .executeTakeFirst();
  return next?.dueAtMs ?? null;
}

/** How many wait. */
export async function countWaitingRetries(store: Store): Promise<number> {
  const { count } = await store.executions
    .selectFrom("retries")
    .select((row) => row.fn.countAll<number>().as("count"))
    .where(sql<boolean>`state IN ('WAITING', 'STARTING')`)
    .executeTakeFirstOrThrow();
  return count;
}

type Retry = Awaited<ReturnType<typeof readRetry>>;

const readRetry = (store: Store, id: string) =>
  store.executions.selectFrom("retries").selectAll().where("id", "=", id).executeTakeFirstOrThrow();

/** False where it was canceled meanwhile. */
async function makeRecord(store: Store, retry: Retry): Promise<boolean> {
  const failed = await store.executions
    .selectFrom("executions")
    .selectAll()
    .where("id", "=", retry.executionId)
    .executeTakeFirst();
  const request = await readExecutionRequest(store, retry.executionId);
  return exclusively(store, (writer) =>
    writer.transaction(() => {
      // Nothing is left to run where its record was deleted.
      if (failed === undefined || request === null) {
        writer.retries.cancel(retry.executionId);
        return false;
      }
      if (!writer.retries.begin(retry.id, retry.executionId)) return false;
      const { hasRequest: _hasRequest, bytes: _bytes, bucketAtMs: _bucketAtMs, ...known } = failed;
      writer.insertStarted(
        {
          ...known,
          id: retry.id,
          status: "QUEUED",
          attempt: 1,
          startedAtMs: Date.now(),
          endedAtMs: null,
          errorCode: null,
          error: null,
          answerStatus: null,
          preprocessFlowName: null,
          retryOf: retry.originId,
          retryNumber: retry.number,
          retryNextAtMs: null,
          resultType: null,
        },
        JSON.stringify(request),
      );
      return true;
    }),
  );
}

/** From its record, which may have been made by an earlier process. */
async function queue(store: Store, transaction: ConfigTransaction, id: string): Promise<void> {
  const started = await store.executions
    .selectFrom("executions")
    .selectAll()
    .where("id", "=", id)
    .executeTakeFirst();
  const request = await readExecutionRequest(store, id);
  if (started === undefined || request === null) return;
  const { retryOf, retryNumber, instanceId, flowStableKey, customerUserId, replayOf } = started;
  const payload = {
    executionId: id,
    retry: { of: retryOf!, number: retryNumber },
    instanceId: instanceId!,
    flowStableKey: flowStableKey!,
    userId: customerUserId,
    invokeType: started.invokeType as InvokeType,
    isDebug: started.isDebug === 1,
    replayOf,
    request,
  };
  await enqueueCommand(transaction, "RETRY", payload, { id });
}
