/**
 * Puts what data planes report into the executions database. Every event may come twice, late, or after a
 * newer one: each is stored once, the first finish wins, and an older attempt no longer moves the status.
 */
import type { Insertable, Transaction } from "kysely";
import type { ExecutionEvent, RejectionEvent, ReportEvent, StoredRequest } from "../../shared/reports.ts";
import type { Store } from "./store.ts";
import type { ExecutionTables } from "./tables.ts";

type ExecutionTransaction = Transaction<ExecutionTables>;
type ExecutionRow = Insertable<ExecutionTables["executions"]>;

/** Stores a batch in one transaction; once it returns, every event of it is durable. */
export async function ingestReports(store: Store, events: readonly ReportEvent[]): Promise<void> {
  if (events.length === 0) return;
  const systemInstances = await systemInstancesAmong(store, events);
  await store.executions.transaction().execute(async (transaction) => {
    for (const event of events) {
      if (event.kind === "rejection") await ingestRejection(transaction, event);
      else await ingestExecution(transaction, event, systemInstances);
    }
  });
  await noteKeyUse(store, events);
}

async function ingestExecution(
  transaction: ExecutionTransaction,
  event: ExecutionEvent,
  systemInstances: ReadonlySet<string>,
): Promise<void> {
  const isNew = await noteEvent(transaction, event);
  if (!isNew) return;
  const bytes = await storeParts(transaction, event);
  const stored = await transaction
    .selectFrom("executions")
    .select([
      "status",
      "attempt",
      "bytes",
      "isTest",
      "integrationId",
      "versionId",
      "versionNumber",
      "instanceId",
      "customerId",
      "customerUserId",
      "flowId",
      "flowConfigId",
      "flowStableKey",
      "flowName",
      "preprocessFlowName",
      "replayOf",
      "invokedBy",
    ])
    .where("id", "=", event.id)
    .executeTakeFirst();
  const isTest = isTestEvent(event, systemInstances);
  const requestJson = event.request === null ? null : JSON.stringify(event.request);
  const requestBytes = requestJson === null ? 0 : Buffer.byteLength(requestJson);
  if (stored === undefined) {
    await transaction
      .insertInto("executions")
      .values(newRow(event, isTest, requestJson, rowBytes + requestBytes + bytes))
      .execute();
    return;
  }
  const update: Partial<ExecutionRow> = { bytes: stored.bytes + bytes };
  const isEnded = stored.status === "SUCCEEDED" || stored.status === "FAILED";
  if (!isEnded && event.attempt >= stored.attempt) {
    const isLate = event.attempt === stored.attempt && (await hasLaterEvent(transaction, event));
    const target = mergeTargets(event, stored, isLate);
    Object.assign(update, target, {
      attempt: event.attempt,
      status: event.finish?.status ?? "RUNNING",
      invokeType: event.invokeType,
      isTest: isTest || stored.isTest === 1 ? 1 : 0,
      isDebug: event.isDebug ? 1 : 0,
      replayOf: stored.replayOf ?? event.replayOf,
      invokedBy: stored.invokedBy ?? event.invokedBy,
      ...finishColumns(event),
    });
  }
  await transaction.updateTable("executions").set(update).where("id", "=", event.id).execute();
  if (requestJson !== null) await keepRequest(transaction, event.id, requestJson, requestBytes);
}

async function noteEvent(transaction: ExecutionTransaction, event: ExecutionEvent): Promise<boolean> {
  const result = await transaction
    .insertInto("executionEvents")
    .values({ executionId: event.id, attempt: event.attempt, sequence: event.sequence })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst();
  return result.numInsertedOrUpdatedRows === 1n;
}

/** Logs, steps and sections; returns about how many bytes they take. */
async function storeParts(transaction: ExecutionTransaction, event: ExecutionEvent): Promise<number> {
  const owner = { executionId: event.id, attempt: event.attempt };
  let bytes = 0;
  for (const log of event.logs) {
    bytes += partBytes + Buffer.byteLength(log.message);
    await transaction
      .insertInto("executionLogs")
      .values({
        ...owner,
        sequence: log.sequence,
        part: log.part,
        atMs: log.atMs,
        severity: log.severity,
        message: log.message,
        stepName: log.stepName,
        sectionId: log.sectionId,
      })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
  for (const step of event.steps) {
    const results = Buffer.from(step.results, "base64");
    bytes += partBytes + results.length;
    await transaction
      .insertInto("executionSteps")
      .values({
        ...owner,
        sequence: step.sequence,
        part: step.part,
        stepName: step.stepName,
        stepStableKey: step.stepStableKey,
        startedAtMs: step.startedAtMs,
        endedAtMs: step.endedAtMs,
        error: step.error,
        results,
        isTruncated: step.isTruncated ? 1 : 0,
      })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
  for (const section of event.sections) {
    bytes += partBytes;
    await transaction
      .insertInto("executionSections")
      .values({ ...owner, ...section })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
  return bytes;
}

function newRow(
  event: ExecutionEvent,
  isTest: boolean,
  requestJson: string | null,
  bytes: number,
): ExecutionRow {
  return {
    id: event.id,
    status: event.finish?.status ?? "RUNNING",
    invokeType: event.invokeType,
    isTest: isTest ? 1 : 0,
    isDebug: event.isDebug ? 1 : 0,
    attempt: event.attempt,
    startedAtMs: event.startedAtMs,
    endedAtMs: null,
    errorCode: null,
    error: null,
    answerStatus: null,
    ...targetColumns(event),
    replayOf: event.replayOf,
    invokedBy: event.invokedBy,
    requestJson,
    bytes,
    ...finishColumns(event),
  };
}

function finishColumns(event: ExecutionEvent): Partial<ExecutionRow> {
  if (event.finish === null) return {};
  const { endedAtMs, errorCode, error, answerStatus } = event.finish;
  return { endedAtMs, errorCode, error, answerStatus };
}

type TargetColumns = ReturnType<typeof targetColumns>;

function targetColumns({ target }: ExecutionEvent) {
  return {
    integrationId: target.integrationId,
    versionId: target.versionId,
    versionNumber: target.versionNumber,
    instanceId: target.instanceId,
    customerId: target.customerId,
    customerUserId: target.customerUserId,
    flowId: target.flowId,
    flowConfigId: target.flowConfigId,
    flowStableKey: target.flowStableKey,
    flowName: target.flowName,
    preprocessFlowName: target.preprocessFlowName,
  };
}

/** What either knows; where both know, the later event counts. */
function mergeTargets(event: ExecutionEvent, stored: TargetColumns, isLate: boolean): TargetColumns {
  const reported = targetColumns(event);
  const [first, second] = isLate ? [stored, reported] : [reported, stored];
  return {
    integrationId: first.integrationId,
    versionId: first.versionId,
    versionNumber: first.versionNumber,
    instanceId: first.instanceId ?? second.instanceId,
    customerId: first.customerId ?? second.customerId,
    customerUserId: first.customerUserId ?? second.customerUserId,
    flowId: first.flowId ?? second.flowId,
    flowConfigId: first.flowConfigId ?? second.flowConfigId,
    flowStableKey: first.flowStableKey ?? second.flowStableKey,
    flowName: first.flowName ?? second.flowName,
    preprocessFlowName: first.preprocessFlowName ?? second.preprocessFlowName,
  };
}

async function hasLaterEvent(transaction: ExecutionTransaction, event: ExecutionEvent): Promise<boolean> {
  const later = await transaction
    .selectFrom("executionEvents")
    .select("sequence")
    .where("executionId", "=", event.id)
    .where("attempt", "=", event.attempt)
    .where("sequence", ">", event.sequence)
    .limit(1)
    .executeTakeFirst();
  return later !== undefined;
}

async function keepRequest(
  transaction: ExecutionTransaction,
  id: string,
  requestJson: string,
  requestBytes: number,
): Promise<void> {
  await transaction
    .updateTable("executions")
    .set((row) => ({ requestJson, bytes: row("bytes", "+", requestBytes) }))
    .where("id", "=", id)
    .where("requestJson", "is", null)
    .execute();
}

async function ingestRejection(transaction: ExecutionTransaction, event: RejectionEvent): Promise<void> {
  const requestJson = event.request === null ? null : JSON.stringify(event.request);
  await transaction
    .insertInto("rejections")
    .values({
      id: event.id,
      atMs: event.atMs,
      code: event.code,
      status: event.status,
      reason: event.reason,
      requestId: event.requestId,
      integrationId: event.integrationId,
      instanceId: event.instanceId,
      customerId: event.customerId,
      method: event.method,
      remoteAddress: event.remoteAddress,
      count: event.count,
      requestJson,
      replayedByExecutionId: null,
      bytes: rowBytes + event.reason.length + (requestJson === null ? 0 : Buffer.byteLength(requestJson)),
    })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

function isTestEvent(event: ExecutionEvent, systemInstances: ReadonlySet<string>): boolean {
  if (event.invokeType === "TEST" || event.invokeType === "TEST_ENDPOINT") return true;
  return event.target.instanceId !== null && systemInstances.has(event.target.instanceId);
}

async function systemInstancesAmong(
  store: Store,
  events: readonly ReportEvent[],
): Promise<ReadonlySet<string>> {
  const ids = new Set<string>();
  for (const event of events) {
    if (event.kind === "execution" && event.target.instanceId !== null) ids.add(event.target.instanceId);
  }
  if (ids.size === 0) return ids;
  const rows = await store.config
    .selectFrom("instances")
    .select("id")
    .where("isSystem", "=", 1)
    .where("id", "in", [...ids])
    .execute();
  return new Set(rows.map((row) => row.id));
}

/**
 * When a key was last used, to the minute: a key under load must not cost a write for each request. Only the
 * event that carries the request names the keys; with a preprocess flow the instance is not known by then, so
 * any instance of the integration is looked at.
 */
async function noteKeyUse(store: Store, events: readonly ReportEvent[]): Promise<void> {
  const uses = events.filter(
    (event) => event.kind === "execution" && event.request !== null && event.request.keyHmacs.length > 0,
  ) as (ExecutionEvent & { request: StoredRequest })[];
  if (uses.length === 0) return;
  await store.config.transaction().execute(async (transaction) => {
    for (const { request, target } of uses) {
      const usedAtMs = request.receivedAtMs;
      let update = transaction
        .updateTable("apiKeys")
        .set({ lastUsedAtMs: usedAtMs })
        .where("hmac", "in", request.keyHmacs)
        .where((key) =>
          key.or([key("lastUsedAtMs", "is", null), key("lastUsedAtMs", "<", usedAtMs - keyUseResolutionMs)]),
        )
        .where((key) =>
          key.or([
            key("ownerId", "=", target.integrationId),
            target.instanceId !== null
              ? key("ownerId", "=", target.instanceId)
              : key(
                  "ownerId",
                  "in",
                  key
                    .selectFrom("instances")
                    .select("instances.id")
                    .where("integrationId", "=", target.integrationId),
                ),
          ]),
        );
      if (target.flowStableKey !== null) update = update.where("stableKey", "=", target.flowStableKey);
      await update.execute();
    }
  });
}

const keyUseResolutionMs = 60_000;
/** What a row takes beside its texts: a rough figure is enough for retention. */
const rowBytes = 600;
const partBytes = 120;
