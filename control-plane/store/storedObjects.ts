/** Reads the large parts of records one at a time: step results, and requests as they were kept. */
import type { StoredRequest } from "../../shared/reports.ts";
import type { Store } from "./store.ts";

/** msgpack of one step's results. */
export async function readStepResults(
  store: Store,
  step: { executionId: string; attempt: number; sequence: number },
): Promise<Buffer | null> {
  const row = await store.executions
    .selectFrom("executionSteps")
    .select("results")
    .where("executionId", "=", step.executionId)
    .where("attempt", "=", step.attempt)
    .where("sequence", "=", step.sequence)
    .executeTakeFirst();
  return row === undefined ? null : Buffer.from(row.results);
}

export async function readExecutionRequest(store: Store, executionId: string): Promise<StoredRequest | null> {
  const row = await store.executions
    .selectFrom("executionEvents")
    .select("requestJson")
    .where("executionId", "=", executionId)
    .where("requestJson", "is not", null)
    .executeTakeFirst();
  return row?.requestJson == null ? null : (JSON.parse(row.requestJson) as StoredRequest);
}

export async function readRejectionRequest(store: Store, rejectionId: string): Promise<StoredRequest | null> {
  const row = await store.executions
    .selectFrom("rejections")
    .select("requestJson")
    .where("id", "=", rejectionId)
    .executeTakeFirst();
  return row?.requestJson == null ? null : (JSON.parse(row.requestJson) as StoredRequest);
}
