/** Ends executions: those that no data plane has taken here, the others by a command for each data plane. */
import { sql } from "kysely";
import { newId } from "../../shared/ids.ts";
import { enqueueCommand } from "./commandQueue.ts";
import { exclusively } from "./reportIngestion.ts";
import type { ConfigTransaction, Store } from "./store.ts";

/** Cancels the retry that waits for a failed execution; false where none does. */
export const cancelRetry = (store: Store, executionId: string): Promise<boolean> =>
  exclusively(store, (writer) => writer.transaction(() => writer.retries.cancel(executionId)));

/** What cancels it: `handedOut` are the commands, one a data plane. */
export type Canceling = { isEnded: true } | { isEnded: false; handedOut: string[] };

/** In a transaction of the configuration; `endUnclaimed` is to follow where it says that it has ended. */
export async function cancelByCommand(
  transaction: ConfigTransaction,
  executionId: string,
  sinceMs: number,
): Promise<Canceling> {
  const unclaimed = await transaction
    .updateTable("commands")
    .set({ state: "FAILED", error: canceledError, finishedAtMs: Date.now() })
    .where("state", "=", "QUEUED")
    .where(sql<boolean>`payloadJson ->> 'executionId' = ${executionId}`)
    .returning("id")
    .execute();
  if (unclaimed.length > 0) return { isEnded: true };
  const dataPlanes = await transaction
    .selectFrom("dataPlanes")
    .select("id")
    .where("lastSeenAtMs", ">=", sinceMs)
    .execute();
  const handedOut: string[] = [];
  for (const { id: dataPlaneId } of dataPlanes)
    handedOut.push(
      await enqueueCommand(transaction, "CANCEL", { canceledId: executionId }, { id: newId(), dataPlaneId }),
    );
  return { isEnded: false, handedOut };
}

/** Of one whose command nobody has taken: no report will end it. */
export async function endUnclaimed(store: Store, executionId: string): Promise<void> {
  await store.executions
    .updateTable("executions")
    .set({ status: "FAILED", errorCode: "CANCELED", error: canceledError, endedAtMs: Date.now() })
    .where("id", "=", executionId)
    .where("status", "in", ["QUEUED", "RUNNING"])
    .execute();
}

const canceledError = "It was canceled.";
