/** Step results: what each step of an execution gave, of its newest attempt. */
import { isOrganization } from "../context.ts";
import { signedAddress } from "../results.ts";
import type { ExecutionDatabase } from "../store/store.ts";
import type { ExecutionTables } from "../store/tables.ts";
import { builder } from "./builder.ts";
import { pageOfQuery } from "./connections.ts";
import { loadExecution } from "./executions.ts";
import { Execution } from "./instanceRefs.ts";
import { SortDirection } from "./scalars.ts";

type StepItem = Omit<ExecutionTables["executionSteps"], "results">;

export const ExecutionPartType = builder.enumType("ExecutionPart", {
  description: "Which flow of an execution something belongs to.",
  values: {
    PREPROCESS: { description: "The preprocess flow, which finds out where a webhook goes." },
    FLOW: { description: "The flow that the webhook was routed to." },
  } as const,
});

const StepResult = builder.objectRef<StepItem>("InstanceStepResult");

const stepsOf = (database: ExecutionDatabase) =>
  database
    .selectFrom("executionSteps")
    .select([
      "executionId",
      "attempt",
      "sequence",
      "part",
      "stepName",
      "stepStableKey",
      "loopPath",
      "startedAtMs",
      "endedAtMs",
      "error",
      "isTruncated",
    ]);

builder.node(StepResult, {
  description: "What one step of an execution gave.",
  // Whose execution it is was checked on the way here.
  authScopes: ({ part }) => (part === "FLOW" ? { signedIn: true } : { organization: true }),
  id: { resolve: ({ executionId, attempt, sequence }) => `${executionId}/${attempt}/${sequence}` },
  isTypeOf: undefined,
  loadOne: async (id, context) => {
    const [executionId = "", attempt = "", sequence = ""] = id.split("/");
    if ((await loadExecution(context, executionId)) === null) return null;
    const row = await stepsOf(context.store.executions)
      .where("executionId", "=", executionId)
      .where("attempt", "=", Number(attempt))
      .where("sequence", "=", Number(sequence))
      .executeTakeFirst();
    return row !== undefined && (isOrganization(context) || row.part === "FLOW") ? row : null;
  },
  fields: (t) => ({
    stepName: t.exposeString("stepName", { description: "The step's name." }),
    displayStepName: t.exposeString("stepName", { description: "The step's name, as it is shown." }),
    stepStableKey: t.exposeString("stepStableKey", { description: "The step's stable key." }),
    loopPath: t.exposeString("loopPath", {
      nullable: true,
      description:
        "The loops that it ran in, outermost first, each with the number of its iteration: Pages[2]/Orders[0]. Null outside of loops.",
    }),
    part: t.field({
      type: ExecutionPartType,
      description: "Whether it is a step of the preprocess flow.",
      resolve: ({ part }) => part as "PREPROCESS" | "FLOW",
    }),
    startedAt: t.field({
      type: "DateTime",
      description: "When it started.",
      resolve: ({ startedAtMs }) => startedAtMs,
    }),
    endedAt: t.field({
      type: "DateTime",
      description: "When it ended.",
      resolve: ({ endedAtMs }) => endedAtMs,
    }),
    error: t.exposeString("error", { nullable: true, description: "Why it failed; null where it did not." }),
    isTruncated: t.boolean({
      description: "Whether its results could not be kept, and a note stands for them.",
      resolve: ({ isTruncated }) => isTruncated === 1,
    }),
    resultsUrl: t.string({
      description: "Where the results can be read as MessagePack, for the next ten minutes.",
      resolve: ({ executionId, attempt, sequence }, _args, { store, urls }) =>
        signedAddress(store, urls, { kind: "stepResult", executionId, attempt, sequence }),
    }),
  }),
});

const StepOrderField = builder.enumType("StepResultOrderField", {
  description:
    "What step results can be ordered by; steps run one after another, so both are the same order.",
  values: {
    STARTED_AT: { description: "When they started." },
    ENDED_AT: { description: "When they ended." },
  } as const,
});

const StepOrder = builder.inputType("StepResultOrder", {
  description: "The order of step results.",
  fields: (t) => ({
    field: t.field({ type: StepOrderField, required: true, description: "What to order by." }),
    direction: t.field({ type: SortDirection, required: true, description: "Which end comes first." }),
  }),
});

builder.objectField(Execution, "stepResults", (t) =>
  t.connection(
    {
      type: StepResult,
      description: "The results of the newest attempt's steps; for a customer, the flow's only.",
      args: {
        displayStepName: t.arg.string({ description: "Only those of the step with this name." }),
        part: t.arg({ type: ExecutionPartType, description: "Only those of this part." }),
        orderBy: t.arg({
          type: StepOrder,
          description: "The order; the first step first where it is left out.",
        }),
      },
      resolve: ({ id, attempt }, args, context) => {
        let query = stepsOf(context.store.executions)
          .where("executionId", "=", id)
          .where("attempt", "=", attempt);
        if (!isOrganization(context)) query = query.where("part", "=", "FLOW");
        if (args.part != null) query = query.where("part", "=", args.part);
        if (args.displayStepName != null) query = query.where("stepName", "=", args.displayStepName);
        return pageOfQuery(query, args, {
          columns: ["attempt", "sequence"],
          key: (row) => [row.attempt, row.sequence],
          direction: args.orderBy?.direction ?? "asc",
        });
      },
    },
    { name: "InstanceStepResultConnection", description: "A page of step results." },
    { name: "InstanceStepResultEdge", description: "A step result with its cursor." },
  ),
);
