/**
 * Whether a reported event is one. A hand-written check lets through what is right in every field (1.4 µs an event,
 * where zod takes 12); what it does not let through goes to zod, which has the last word and the words.
 */
import { z } from "zod";
import { type ExecutionEvent, invokeTypes, type ReportEvent } from "../../shared/reports.ts";

const partsMax = 100_000;
const idLengthMax = 100;
/** A run has three, and a preprocess flow before it some of its own. */
const statesMax = 10;

/** The event, or what is wrong with it. */
export function checkedEvent(event: unknown): ReportEvent | string[] {
  if (isExecutionEvent(event)) return event;
  const checked = eventShape.safeParse(event);
  return checked.success ? (checked.data as ReportEvent) : checked.error.issues.map(sentence);
}

const sentence = (issue: z.core.$ZodIssue): string => `${issue.path.join(".") || "event"}: ${issue.message}`;

const id = z.string().min(1).max(idLengthMax);
const text = z.string();
const time = z.number().int().nonnegative();
const count = z.number().int().nonnegative();
const optionalId = id.nullable();
const optionalText = text.nullable();

const requestShape = z.object({
  method: text,
  pathFragment: text,
  query: text,
  headers: z.array(z.tuple([text, text])),
  body: optionalText,
  keyHmacs: z.array(text),
  remoteAddress: text,
  receivedAtMs: time,
  requestId: text,
  token: text,
  invocation: z.looseObject({ kind: text }).optional(),
});
const targetShape = z.object({
  integrationId: id,
  versionId: id,
  versionNumber: count,
  instanceId: optionalId,
  customerId: optionalId,
  customerUserId: optionalId,
  flowId: optionalId,
  flowConfigId: optionalId,
  flowStableKey: optionalText,
  flowName: optionalText,
  preprocessFlowName: optionalText,
});
const part = z.enum(["PREPROCESS", "FLOW"]);
const severity = z.enum(["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "METRIC"]);
const executionShape = z.object({
  kind: z.literal("execution"),
  id,
  attempt: count,
  sequence: count,
  invokeType: z.enum(invokeTypes),
  startedAtMs: time,
  isDebug: z.boolean(),
  target: targetShape,
  request: requestShape.nullable(),
  replayOf: optionalId,
  invokedBy: optionalId,
  retrying: z
    .object({ of: optionalId, number: count, most: count, uniqueRequestId: optionalText })
    .optional(),
  isQueued: z.boolean().optional(),
  steps: z
    .array(
      z.object({
        part,
        sequence: count,
        stepName: text,
        stepStableKey: text,
        loopPath: text.optional(),
        startedAtMs: time,
        endedAtMs: time,
        error: optionalText,
        results: text,
        isTruncated: z.boolean(),
      }),
    )
    .max(partsMax),
  logs: z
    .array(
      z.object({
        part,
        sequence: count,
        atMs: time,
        severity,
        message: text,
        stepName: optionalText,
        sectionId: optionalText,
      }),
    )
    .max(partsMax),
  sections: z.array(z.object({ sectionId: text, label: text, startedAtMs: time })).max(partsMax),
  finish: z
    .object({
      status: z.enum(["SUCCEEDED", "FAILED"]),
      endedAtMs: time,
      errorCode: optionalText,
      error: optionalText,
      answerStatus: z.number().int().nullable(),
      resultType: text.optional(),
      retry: z.object({ executionId: id, dueAtMs: time }).optional(),
      states: z
        .array(
          z.object({
            scope: z.enum(["FLOW", "INSTANCE", "INTEGRATION"]),
            ownerId: id,
            stableKey: text,
            stamp: time,
            value: text,
          }),
        )
        .max(statesMax)
        .optional(),
    })
    .nullable(),
});
const rejectionShape = z.object({
  kind: z.literal("rejection"),
  id,
  atMs: time,
  code: text,
  status: z.number().int(),
  reason: text,
  requestId: text,
  integrationId: optionalId,
  instanceId: optionalId,
  customerId: optionalId,
  method: text,
  remoteAddress: text,
  count,
  request: requestShape.nullable(),
});
/** Says what is wrong, and drops what is not known. */
export const eventShape = z.discriminatedUnion("kind", [executionShape, rejectionShape]);

type Fields = Record<string, unknown>;

/**
 * True only for what `eventShape` accepts as it is. Unknown fields are left alone where nothing reads them; a
 * request, which is stored whole, may have none.
 */
export function isExecutionEvent(value: unknown): value is ExecutionEvent {
  if (!isObject(value) || value["kind"] !== "execution") return false;
  return (
    isId(value["id"]) &&
    isCount(value["attempt"]) &&
    isCount(value["sequence"]) &&
    knownInvokeTypes.has(value["invokeType"]) &&
    isCount(value["startedAtMs"]) &&
    typeof value["isDebug"] === "boolean" &&
    isTarget(value["target"]) &&
    (value["request"] === null || isRequest(value["request"])) &&
    isIdOrNull(value["replayOf"]) &&
    isIdOrNull(value["invokedBy"]) &&
    (value["retrying"] === undefined || isRetrying(value["retrying"])) &&
    (value["isQueued"] === undefined || typeof value["isQueued"] === "boolean") &&
    isListOf(value["steps"], isStep) &&
    isListOf(value["logs"], isLog) &&
    isListOf(value["sections"], isSection) &&
    (value["finish"] === null || isFinish(value["finish"]))
  );
}

const knownInvokeTypes = new Set<unknown>(invokeTypes);
const stateScopes = new Set<unknown>(["FLOW", "INSTANCE", "INTEGRATION"]);
const severities = new Set<unknown>(severity.options);
/** Without `invocation`, which few have. */
const requestFieldCount = Object.keys(requestShape.shape).length - 1;

const isObject = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isText = (value: unknown): boolean => typeof value === "string";
const isTextOrNull = (value: unknown): boolean => value === null || typeof value === "string";
const isId = (value: unknown): boolean =>
  typeof value === "string" && value.length > 0 && value.length <= idLengthMax;
const isIdOrNull = (value: unknown): boolean => value === null || isId(value);
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const isPart = (value: unknown): boolean => value === "FLOW" || value === "PREPROCESS";

function isListOf(value: unknown, isItem: (item: unknown) => boolean): boolean {
  if (!Array.isArray(value) || value.length > partsMax) return false;
  for (const item of value) if (!isItem(item)) return false;
  return true;
}

const isTarget = (value: unknown): boolean =>
  isObject(value) &&
  isId(value["integrationId"]) &&
  isId(value["versionId"]) &&
  isCount(value["versionNumber"]) &&
  isIdOrNull(value["instanceId"]) &&
  isIdOrNull(value["customerId"]) &&
  isIdOrNull(value["customerUserId"]) &&
  isIdOrNull(value["flowId"]) &&
  isIdOrNull(value["flowConfigId"]) &&
  isTextOrNull(value["flowStableKey"]) &&
  isTextOrNull(value["flowName"]) &&
  isTextOrNull(value["preprocessFlowName"]);

const isRequest = (value: unknown): boolean =>
  isObject(value) &&
  isText(value["method"]) &&
  isText(value["pathFragment"]) &&
  isText(value["query"]) &&
  isListOf(value["headers"], isHeader) &&
  isTextOrNull(value["body"]) &&
  isListOf(value["keyHmacs"], isText) &&
  isText(value["remoteAddress"]) &&
  isCount(value["receivedAtMs"]) &&
  isText(value["requestId"]) &&
  isText(value["token"]) &&
  Object.keys(value).length === requestFieldCount + (isInvoked(value) ? 1 : 0);

const isInvoked = ({ invocation }: Fields): boolean => isObject(invocation) && isText(invocation["kind"]);

const isHeader = (value: unknown): boolean =>
  Array.isArray(value) && value.length === 2 && typeof value[0] === "string" && typeof value[1] === "string";

const isStep = (value: unknown): boolean =>
  isObject(value) &&
  isPart(value["part"]) &&
  isCount(value["sequence"]) &&
  isText(value["stepName"]) &&
  isText(value["stepStableKey"]) &&
  (value["loopPath"] === undefined || isText(value["loopPath"])) &&
  isCount(value["startedAtMs"]) &&
  isCount(value["endedAtMs"]) &&
  isTextOrNull(value["error"]) &&
  isText(value["results"]) &&
  typeof value["isTruncated"] === "boolean";

const isLog = (value: unknown): boolean =>
  isObject(value) &&
  isPart(value["part"]) &&
  isCount(value["sequence"]) &&
  isCount(value["atMs"]) &&
  severities.has(value["severity"]) &&
  isText(value["message"]) &&
  isTextOrNull(value["stepName"]) &&
  isTextOrNull(value["sectionId"]);

const isSection = (value: unknown): boolean =>
  isObject(value) && isText(value["sectionId"]) && isText(value["label"]) && isCount(value["startedAtMs"]);

const isFinish = (value: unknown): boolean =>
  isObject(value) &&
  (value["status"] === "SUCCEEDED" || value["status"] === "FAILED") &&
  isCount(value["endedAtMs"]) &&
  isTextOrNull(value["errorCode"]) &&
  isTextOrNull(value["error"]) &&
  (value["answerStatus"] === null || Number.isSafeInteger(value["answerStatus"])) &&
  (value["resultType"] === undefined || isText(value["resultType"])) &&
  (value["retry"] === undefined || isRetry(value["retry"])) &&
  (value["states"] === undefined ||
    (isListOf(value["states"], isState) && (value["states"] as unknown[]).length <= statesMax));

const isRetrying = (value: unknown): boolean =>
  isObject(value) &&
  isIdOrNull(value["of"]) &&
  isCount(value["number"]) &&
  isCount(value["most"]) &&
  isTextOrNull(value["uniqueRequestId"]);

const isRetry = (value: unknown): boolean =>
  isObject(value) && isId(value["executionId"]) && isCount(value["dueAtMs"]);

const isState = (value: unknown): boolean =>
  isObject(value) &&
  stateScopes.has(value["scope"]) &&
  isId(value["ownerId"]) &&
  isText(value["stableKey"]) &&
  isCount(value["stamp"]) &&
  isText(value["value"]);
