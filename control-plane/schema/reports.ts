/** What data planes report: checked one by one, so that a broken event never holds up the others. */
import { z } from "zod";
import { type ReportEvent, reportKey } from "../../shared/reports.ts";
import { ingestReports } from "../store/reportIngestion.ts";
import { type FieldError, InputError, mutation } from "./payloads.ts";

const eventsAtOnceMax = 1000;
const partsMax = 100_000;

const id = z.string().min(1).max(100);
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
const executionShape = z.object({
  kind: z.literal("execution"),
  id,
  attempt: count,
  sequence: count,
  invokeType: z.enum(["WEBHOOK", "TEST", "TEST_ENDPOINT", "REPLAY", "CROSS_FLOW"]),
  startedAtMs: time,
  isDebug: z.boolean(),
  target: targetShape,
  request: requestShape.nullable(),
  replayOf: optionalId,
  invokedBy: optionalId,
  steps: z
    .array(
      z.object({
        part,
        sequence: count,
        stepName: text,
        stepStableKey: text,
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
        severity: z.enum(["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "METRIC"]),
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
const eventShape = z.discriminatedUnion("kind", [executionShape, rejectionShape]);

mutation("reportEvents", {
  description: "Stores what happened to webhooks. Every event that is confirmed is durable.",
  authScopes: { dataPlane: true },
  input: (t) => ({
    dataPlaneId: t.string({ required: true, description: "The data plane that reports." }),
    events: t.field({
      type: "JSON",
      required: true,
      description: `A list of events, at most ${eventsAtOnceMax}; the same event may come again.`,
    }),
  }),
  resolve: async ({ events }, { store }) => {
    if (!Array.isArray(events) || events.length > eventsAtOnceMax) {
      throw new InputError("events", `This must be a list of at most ${eventsAtOnceMax} events.`);
    }
    const valid: ReportEvent[] = [];
    const problems: FieldError[] = [];
    for (const [index, event] of events.entries()) {
      const checked = eventShape.safeParse(event);
      if (checked.success) valid.push(checked.data as ReportEvent);
      else problems.push({ field: `events.${index}`, messages: checked.error.issues.map(sentence) });
    }
    await ingestReports(store, valid);
    return { confirmed: valid.map(reportKey), errors: problems };
  },
  output: (t) => ({
    confirmed: t.exposeStringList("confirmed", {
      nullable: true,
      description: "The keys of the events that are stored: id/attempt/sequence, or the rejection's id.",
    }),
  }),
});

const sentence = (issue: z.core.$ZodIssue): string => `${issue.path.join(".") || "event"}: ${issue.message}`;
