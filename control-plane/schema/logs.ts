/** Logs of executions, and the sections that they were written in. */
import { type Context, isOrganization } from "../context.ts";
import type { ExecutionTables } from "../store/tables.ts";
import { builder } from "./builder.ts";
import { contains, type PageArguments, pageOfList, pageOfQuery } from "./connections.ts";
import { loadExecution } from "./executions.ts";
import { inputId } from "./inputs.ts";
import { Execution, type ExecutionItem } from "./instanceRefs.ts";
import { SortDirection } from "./scalars.ts";
import { ExecutionPartType } from "./stepResults.ts";

type LogItem = ExecutionTables["executionLogs"];
type SectionItem = ExecutionTables["executionSections"];

export const LogSeverityType = builder.enumType("LogSeverity", {
  description: "How much a log line matters.",
  values: {
    TRACE: { description: "The finest detail." },
    DEBUG: { description: "For finding mistakes." },
    INFO: { description: "What happened." },
    WARN: { description: "What may be wrong." },
    ERROR: { description: "What is wrong." },
    METRIC: { description: "A measurement." },
  } as const,
});
type Severity = (typeof LogSeverityType)["$inferType"];

const Log = builder.objectRef<LogItem>("Log");

builder.node(Log, {
  description: "A line that an execution logged.",
  // Whose execution it is was checked on the way here.
  authScopes: ({ part }) => (part === "FLOW" ? { signedIn: true } : { organization: true }),
  id: { resolve: ({ executionId, attempt, sequence }) => `${executionId}/${attempt}/${sequence}` },
  isTypeOf: undefined,
  loadOne: async (id, context) => {
    const [executionId = "", attempt = "", sequence = ""] = id.split("/");
    if ((await loadExecution(context, executionId)) === null) return null;
    const row = await context.store.executions
      .selectFrom("executionLogs")
      .selectAll()
      .where("executionId", "=", executionId)
      .where("attempt", "=", Number(attempt))
      .where("sequence", "=", Number(sequence))
      .executeTakeFirst();
    return row !== undefined && (isOrganization(context) || row.part === "FLOW") ? row : null;
  },
  fields: (t) => ({
    timestamp: t.field({
      type: "DateTime",
      description: "When it was logged.",
      resolve: ({ atMs }) => atMs,
    }),
    severity: t.field({
      type: LogSeverityType,
      description: "How much it matters.",
      resolve: ({ severity }) => severity as Severity,
    }),
    message: t.exposeString("message", { description: "What was logged." }),
    stepName: t.exposeString("stepName", {
      nullable: true,
      description: "The step that logged it; null for the runner's own lines.",
    }),
    sectionId: t.field({
      type: "UUID",
      nullable: true,
      description: "The section it was logged in.",
      resolve: ({ sectionId }) => sectionId,
    }),
    part: t.field({
      type: ExecutionPartType,
      description: "Whether the preprocess flow logged it.",
      resolve: ({ part }) => part as "PREPROCESS" | "FLOW",
    }),
    attempt: t.exposeInt("attempt", { description: "The attempt that logged it." }),
  }),
});

const LogOrderField = builder.enumType("LogOrderField", {
  description: "What logs can be ordered by.",
  values: { TIMESTAMP: { description: "When they were logged." } } as const,
});

const LogOrder = builder.inputType("LogOrder", {
  description: "The order of logs.",
  fields: (t) => ({
    field: t.field({ type: LogOrderField, required: true, description: "What to order by." }),
    direction: t.field({ type: SortDirection, required: true, description: "Which end comes first." }),
  }),
});

const LogConnection = builder.connectionObject(
  { type: Log, name: "LogConnection", description: "A page of logs." },
  { name: "LogEdge", description: "A log line with its cursor." },
);

const Section = builder.objectRef<SectionItem>("ExecutionSection").implement({
  description: "A part of an execution's logs with a label of its own.",
  fields: (t) => ({
    sectionId: t.field({
      type: "UUID",
      description: "The section's id, as the logs name it.",
      resolve: ({ sectionId }) => sectionId,
    }),
    label: t.exposeString("label", { description: "What the section is about." }),
    startedAt: t.field({
      type: "DateTime",
      description: "When it began.",
      resolve: ({ startedAtMs }) => startedAtMs,
    }),
  }),
});

const SectionOrderField = builder.enumType("ExecutionSectionOrderField", {
  description: "What sections can be ordered by.",
  values: { STARTED_AT: { description: "When they began." } } as const,
});

const SectionOrder = builder.inputType("ExecutionSectionOrder", {
  description: "The order of sections.",
  fields: (t) => ({
    field: t.field({ type: SectionOrderField, required: true, description: "What to order by." }),
    direction: t.field({ type: SortDirection, required: true, description: "Which end comes first." }),
  }),
});

const logFilters = builder.args((t) => ({
  severity: t.field({ type: LogSeverityType, description: "Only lines of this severity." }),
  severity_In: t.field({
    type: [LogSeverityType],
    required: { list: false, items: true },
    description: "Only lines of one of these severities.",
  }),
  message_Icontains: t.string({ description: "Only lines with this text." }),
  part: t.field({ type: ExecutionPartType, description: "Only lines of this part." }),
  orderBy: t.field({ type: LogOrder, description: "The order; the oldest first where it is left out." }),
}));

builder.objectFields(Execution, (execution) => ({
  logs: execution.connection(
    {
      type: Log,
      description: "What it logged; for a customer, what its flow logged.",
      args: logFilters,
      resolve: (item, args, context) => pageOfLogs(context, item, args),
    },
    LogConnection,
  ),
}));
builder.queryFields((t) => ({
  logs: t.connection(
    {
      type: Log,
      description: "The logs of an execution.",
      authScopes: { signedIn: true },
      args: {
        executionResult: t.arg.id({ required: true, description: "The execution's id." }),
        ...logFilters,
      },
      resolve: async (_root, args, context) => {
        const execution = await namedExecution(context, args.executionResult);
        return execution === null ? pageOfList<LogItem>([], args) : pageOfLogs(context, execution, args);
      },
    },
    LogConnection,
  ),
  executionSections: t.connection(
    {
      type: Section,
      description: "The sections of an execution's logs.",
      authScopes: { signedIn: true },
      args: {
        executionResult: t.arg.id({ required: true, description: "The execution's id." }),
        sectionId_In: t.arg({
          type: ["UUID"],
          required: { list: false, items: true },
          description: "Only these sections.",
        }),
        orderBy: t.arg({
          type: SectionOrder,
          description: "The order; the oldest first where it is left out.",
        }),
      },
      resolve: async (_root, args, context) => {
        const execution = await namedExecution(context, args.executionResult);
        if (execution === null) return pageOfList<SectionItem>([], args);
        const sections = await sectionsOf(context, execution);
        const wanted = args.sectionId_In == null ? null : new Set(args.sectionId_In);
        const found = sections.filter((section) => wanted === null || wanted.has(section.sectionId));
        if (args.orderBy?.direction === "desc") found.reverse();
        return pageOfList(found, args);
      },
    },
    { name: "ExecutionSectionConnection", description: "A page of sections." },
    { name: "ExecutionSectionEdge", description: "A section with its cursor." },
  ),
}));

interface LogFilters extends PageArguments {
  severity?: Severity | null | undefined;
  severity_In?: Severity[] | null | undefined;
  message_Icontains?: string | null | undefined;
  part?: "PREPROCESS" | "FLOW" | null | undefined;
  orderBy?: { direction: "asc" | "desc" } | null | undefined;
}

/** All attempts, up to the one that counts. A cursor holds while the run goes on: lines only come after it. */
function pageOfLogs(context: Context, { id, attempt }: ExecutionItem, args: LogFilters) {
  let query = context.store.executions
    .selectFrom("executionLogs")
    .selectAll()
    .where("executionId", "=", id)
    .where("attempt", "<=", attempt);
  if (!isOrganization(context)) query = query.where("part", "=", "FLOW");
  if (args.part != null) query = query.where("part", "=", args.part);
  if (args.severity != null) query = query.where("severity", "=", args.severity);
  if (args.severity_In != null) query = query.where("severity", "in", args.severity_In);
  if (args.message_Icontains) query = query.where(contains("message", args.message_Icontains));
  return pageOfQuery(query, args, {
    columns: ["attempt", "sequence"],
    key: (row) => [row.attempt, row.sequence],
    direction: args.orderBy?.direction ?? "asc",
  });
}

/** A customer sees the sections that its flow's logs were written in. */
function sectionsOf(context: Context, { id, attempt }: ExecutionItem): Promise<SectionItem[]> {
  let query = context.store.executions
    .selectFrom("executionSections")
    .selectAll()
    .where("executionId", "=", id)
    .where("attempt", "<=", attempt)
    .orderBy("startedAtMs")
    .orderBy("sectionId");
  if (!isOrganization(context)) {
    query = query.where((row) =>
      row.exists(
        row
          .selectFrom("executionLogs")
          .select("executionLogs.sequence")
          .whereRef("executionLogs.executionId", "=", "executionSections.executionId")
          .whereRef("executionLogs.attempt", "=", "executionSections.attempt")
          .whereRef("executionLogs.sectionId", "=", "executionSections.sectionId")
          .where("executionLogs.part", "=", "FLOW"),
      ),
    );
  }
  return query.execute();
}

async function namedExecution(context: Context, nodeId: string): Promise<ExecutionItem | null> {
  const id = inputId("InstanceExecutionResult", nodeId);
  return id === null ? null : loadExecution(context, id);
}
