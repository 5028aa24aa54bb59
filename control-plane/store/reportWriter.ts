/**
 * Writes executions and rejections. This is where most of the control plane's work is done, so it is SQLite's own
 * statements, prepared once, and an event that tells a whole execution costs two inserts.
 */
import type { ExecutionEvent, RejectionEvent, ReportEvent } from "../../shared/reports.ts";
import type { Sqlite } from "../../shared/sqlite.ts";
import { type BulkReplayWriter, openBulkReplayWriter } from "./bulkReplayWriter.ts";
import { eventParts, type KnownParts, partsLength } from "./eventParts.ts";
import { openExecutionBuckets } from "./executionBuckets.ts";
import { openStateWriter } from "./flowStates.ts";
import { openRetryWriter, type RetryWriter } from "./retryWriter.ts";
import type { ExecutionTables } from "./tables.ts";
import { openUsageWriter, type UsageWriter } from "./usageWriter.ts";

export interface IngestedCounts {
  /** Events that were new. */
  events: number;
  /** Executions that were new. */
  executions: number;
  /** Executions that ended. */
  ended: number;
  /** Rejections that were new. */
  rejections: number;
  /** Executions that are to be run again. */
  retries: number;
}

/** Writes into the executions database; its functions are called inside `exclusively` only. */
export interface ReportWriter {
  /** Runs a transaction of it: all is done, and durable, or nothing. */
  transaction<Result>(work: () => Result): Result;
  ingest(event: ReportEvent, counts: IngestedCounts): void;
  /** The record of an execution that the control plane starts itself, with its request. */
  insertStarted(row: StartedRow, requestJson: string): void;
  readonly retries: RetryWriter;
  readonly bulkReplays: BulkReplayWriter;
  readonly usage: UsageWriter;
  /** Deletes executions with all that was reported of them. */
  remove(ids: readonly string[]): void;
  /** Deletes what the flows of an instance or integration keep. */
  removeStates(ownerId: string): void;
}

type ExecutionRow = ExecutionTables["executions"];
/** The record of an execution that the control plane starts, as it is before its request is counted in. */
export type StartedRow = Omit<ExecutionRow, "hasRequest" | "bytes" | "bucketAtMs">;

/** All columns, in the table's order. */
const executionColumns = [
  "id",
  "status",
  "invokeType",
  "isTest",
  "isDebug",
  "attempt",
  "startedAtMs",
  "endedAtMs",
  "errorCode",
  "error",
  "answerStatus",
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
  "hasRequest",
  "bytes",
  "bucketAtMs",
  "retryOf",
  "retryNumber",
  "maxRetryCount",
  "uniqueRequestId",
  "retryNextAtMs",
  "resultType",
] as const satisfies (keyof ExecutionRow)[];
/** What never changes. */
const fixedColumns: readonly string[] = ["id", "startedAtMs", "bucketAtMs"];

const placeholders = (count: number): string => Array(count).fill("?").join(", ");

export function openReportWriter(executions: Sqlite, config: Sqlite, testCustomerId: string): ReportWriter {
  const buckets = openExecutionBuckets(executions);
  const insertExecution = executions.prepare(
    `INSERT INTO executions (${executionColumns.join(", ")}) VALUES (${placeholders(executionColumns.length)})
      ON CONFLICT (id) DO NOTHING`,
  );
  const updateExecution = executions.prepare(
    `UPDATE executions SET ${executionColumns
      .filter((column) => !fixedColumns.includes(column))
      .map((column) => `${column} = @${column}`)
      .join(", ")} WHERE id = @id`,
  );
  const readExecution = executions.prepare<[string], ExecutionRow>("SELECT * FROM executions WHERE id = ?");
  const insertEvent = executions.prepare(
    `INSERT INTO executionEvents
      (executionId, attempt, sequence, lastPosition, logsJson, sectionsJson, stepsJson, requestJson, stepResults)
      VALUES (${placeholders(9)}) ON CONFLICT (executionId, attempt, sequence) DO NOTHING`,
  );
  const deleteEvents = executions.prepare("DELETE FROM executionEvents WHERE executionId = ?");
  const deleteExecution = executions.prepare("DELETE FROM executions WHERE id = ?");
  const isStored = executions
    .prepare<[string, number, number], number>(
      "SELECT 1 FROM executionEvents WHERE executionId = ? AND attempt = ? AND sequence = ?",
    )
    .pluck();
  const hasLaterEvent = executions
    .prepare<[string, number, number], number>(
      "SELECT 1 FROM executionEvents WHERE executionId = ? AND attempt = ? AND sequence > ? LIMIT 1",
    )
    .pluck();
  const insertRejection = executions.prepare(
    `INSERT INTO rejections (id, atMs, code, status, reason, requestId, integrationId, instanceId, customerId, method,
      remoteAddress, count, requestJson, replayedByExecutionId, bytes) VALUES (${placeholders(15)})
      ON CONFLICT (id) DO NOTHING`,
  );
  const isSystemInstance = config
    .prepare<[string], number>("SELECT 1 FROM instances WHERE id = ? AND isSystem = 1")
    .pluck();
  const knownParts = openKnownParts(executions);
  const retries = openRetryWriter(executions);
  const bulkReplays = openBulkReplayWriter(executions);
  const usage = openUsageWriter(executions);
  const states = openStateWriter(executions, config);

  const isTest = ({ invokeType, target: { instanceId, customerId } }: ExecutionEvent): 0 | 1 => {
    if (invokeType === "TEST" || invokeType === "TEST_ENDPOINT") return 1;
    // System instances are the test customer's: nobody else's need be looked up.
    if (customerId !== null && customerId !== testCustomerId) return 0;
    return instanceId !== null && isSystemInstance.get(instanceId) !== undefined ? 1 : 0;
  };

  /** What is known of it when its first event comes. */
  const insertNew = (event: ExecutionEvent, requestJson: string | null, bytes: number): boolean => {
    const { id, target, finish } = event;
    const { changes } = insertExecution.run(
      id,
      finish?.status ?? (event.isQueued === true ? "QUEUED" : "RUNNING"),
      event.invokeType,
      isTest(event),
      event.isDebug ? 1 : 0,
      event.attempt,
      event.startedAtMs,
      finish?.endedAtMs ?? null,
      finish?.errorCode ?? null,
      finish?.error ?? null,
      finish?.answerStatus ?? null,
      target.integrationId,
      target.versionId,
      target.versionNumber,
      target.instanceId,
      target.customerId,
      target.customerUserId,
      target.flowId,
      target.flowConfigId,
      target.flowStableKey,
      target.flowName,
      target.preprocessFlowName,
      event.replayOf,
      event.invokedBy,
      requestJson === null ? 0 : 1,
      bytes,
      buckets.take(event.startedAtMs),
      event.retrying?.of ?? null,
      event.retrying?.number ?? 0,
      event.retrying?.most ?? 0,
      event.retrying?.uniqueRequestId ?? null,
      null,
      finish?.resultType ?? null,
    );
    return changes === 1;
  };

  const storeEvent = (
    event: ExecutionEvent,
    parts: ReturnType<typeof eventParts>,
    requestJson: string | null,
  ): void => {
    insertEvent.run(
      event.id,
      event.attempt,
      event.sequence,
      parts.lastPosition,
      parts.logsJson,
      parts.sectionsJson,
      parts.stepsJson,
      requestJson,
      parts.stepResults,
    );
  };

  /** With the finish that counts, and with no other. */
  const keepStates = ({ id, finish }: ExecutionEvent): void => {
    if (finish?.states !== undefined && finish.status === "SUCCEEDED") states.write(id, finish.states);
  };

  const ingestExecution = (event: ExecutionEvent, counts: IngestedCounts): void => {
    const whole = eventParts(event, null);
    const request = event.request === null ? null : JSON.stringify(event.request);
    if (insertNew(event, request, rowBytes + lengthOf(request) + whole.bytes)) {
      storeEvent(event, whole, request);
      counts.events += 1;
      counts.executions += 1;
      if (event.finish !== null) counts.ended += 1;
      counts.retries += retries.note(event, event.finish !== null);
      usage.note(event, event.finish !== null);
      keepStates(event);
    } else if (isStored.get(event.id, event.attempt, event.sequence) === undefined) {
      ingestFurther(event, readExecution.get(event.id)!, request, counts);
    }
  };

  const ingestFurther = (
    event: ExecutionEvent,
    stored: ExecutionRow,
    request: string | null,
    counts: IngestedCounts,
  ): void => {
    const requestJson = stored.hasRequest === 1 ? null : request;
    const parts = eventParts(event, partsLength(event) === 0 ? null : knownParts);
    counts.events += 1;
    const changed: ExecutionRow = {
      ...stored,
      bytes: stored.bytes + parts.bytes + lengthOf(requestJson),
      hasRequest: requestJson === null ? stored.hasRequest : 1,
    };
    const isEnded = stored.status === "SUCCEEDED" || stored.status === "FAILED";
    if (!isEnded && event.attempt >= stored.attempt) {
      const isLate =
        event.attempt === stored.attempt &&
        hasLaterEvent.get(event.id, event.attempt, event.sequence) !== undefined;
      Object.assign(changed, mergeTargets(event, stored, isLate), finishColumns(event), {
        attempt: event.attempt,
        // That it waits may be told late.
        status: event.finish?.status ?? (event.isQueued === true ? stored.status : "RUNNING"),
        invokeType: event.invokeType,
        isTest: isTest(event) | stored.isTest,
        isDebug: event.isDebug ? 1 : 0,
        replayOf: stored.replayOf ?? event.replayOf,
        invokedBy: stored.invokedBy ?? event.invokedBy,
        maxRetryCount: event.retrying?.most ?? stored.maxRetryCount,
        uniqueRequestId: event.retrying?.uniqueRequestId ?? stored.uniqueRequestId,
      });
      if (event.finish !== null) counts.ended += 1;
      keepStates(event);
    }
    updateExecution.run(changed);
    storeEvent(event, parts, requestJson);
    const hasEnded = !isEnded && event.finish !== null && changed.endedAtMs !== null;
    counts.retries += retries.note(event, hasEnded);
    usage.note(event, hasEnded);
  };

  const ingestRejection = (event: RejectionEvent, counts: IngestedCounts): void => {
    const requestJson = event.request === null ? null : JSON.stringify(event.request);
    const { changes } = insertRejection.run(
      event.id,
      event.atMs,
      event.code,
      event.status,
      event.reason,
      event.requestId,
      event.integrationId,
      event.instanceId,
      event.customerId,
      event.method,
      event.remoteAddress,
      event.count,
      requestJson,
      null,
      rowBytes + event.reason.length + lengthOf(requestJson),
    );
    counts.events += changes;
    counts.rejections += changes;
  };

  return {
    retries,
    bulkReplays,
    usage,
    transaction(work) {
      try {
        const result = executions.transaction(work)();
        usage.settle(true);
        return result;
      } catch (error) {
        usage.settle(false);
        // Buckets that it had made are not there.
        buckets.reload();
        throw error;
      }
    },
    ingest(event, counts) {
      if (event.kind === "rejection") ingestRejection(event, counts);
      else ingestExecution(event, counts);
    },
    insertStarted(row, requestJson) {
      const whole: ExecutionRow = {
        ...row,
        hasRequest: 1,
        bytes: Buffer.byteLength(requestJson),
        bucketAtMs: buckets.take(row.startedAtMs),
      };
      insertExecution.run(executionColumns.map((column) => whole[column]));
      insertEvent.run(row.id, ownAttempt, 0, 0, null, null, null, requestJson, null);
    },
    remove(ids) {
      for (const id of ids) {
        deleteEvents.run(id);
        deleteExecution.run(id);
        retries.remove(id);
        bulkReplays.remove(id);
      }
      buckets.removeEmpty();
    },
    removeStates: states.remove,
  };
}

/** What an attempt has of logs, steps and sections already: read where an event may repeat some of it. */
function openKnownParts(executions: Sqlite): KnownParts {
  const lastPosition = executions
    .prepare<[string, number], number | null>(
      "SELECT max(lastPosition) FROM executionEvents WHERE executionId = ? AND attempt = ?",
    )
    .pluck();
  const numbersIn = (view: string) =>
    executions
      .prepare<[string, number], number>(`SELECT sequence FROM ${view} WHERE executionId = ? AND attempt = ?`)
      .pluck();
  const logs = numbersIn("executionLogs");
  const steps = numbersIn("executionSteps");
  const sections = executions
    .prepare<[string, number], string>(
      "SELECT sectionId FROM executionSections WHERE executionId = ? AND attempt = ?",
    )
    .pluck();
  return {
    lastPosition: ({ id, attempt }) => lastPosition.get(id, attempt) ?? 0,
    logs: ({ id, attempt }) => logs.all(id, attempt),
    steps: ({ id, attempt }) => steps.all(id, attempt),
    sections: ({ id, attempt }) => sections.all(id, attempt),
  };
}

function finishColumns({ finish }: ExecutionEvent): Partial<ExecutionRow> {
  if (finish === null) return {};
  const { endedAtMs, errorCode, error, answerStatus, resultType = null } = finish;
  return { endedAtMs, errorCode, error, answerStatus, resultType };
}

const lengthOf = (text: string | null): number => (text === null ? 0 : Buffer.byteLength(text));

type Target = ExecutionEvent["target"];

/** What either knows; where both know, the later event counts. */
function mergeTargets({ target }: ExecutionEvent, stored: Target, isLate: boolean): Target {
  const [first, second] = isLate ? [stored, target] : [target, stored];
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

/** No data plane reports it. */
const ownAttempt = -1;
/** What a row takes beside its texts: a rough figure is enough for retention. */
const rowBytes = 600;
