/** Bulk replays: the failed executions of a time, repeated at a measured pace. */
import { z } from "zod";
import { type Context, viewerName } from "../context.ts";
import {
  type BulkReplay,
  type BulkReplayFilter,
  cancelBulkReplay,
  countCandidates,
  countedMax,
  startBulkReplay,
} from "../store/bulkReplays.ts";
import { builder } from "./builder.ts";
import { pageOfQuery } from "./connections.ts";
import { executionFilters, pageOfExecutions } from "./executionLists.ts";
import { ExecutionConnection } from "./executions.ts";
import { inputId, notFound, requiredId } from "./inputs.ts";
import { Execution } from "./instanceRefs.ts";
import { InputError, mutation } from "./payloads.ts";

const perSecondDefault = 10;
const perSecondMax = 100;

const BulkReplayState = builder.enumType("BulkReplayState", {
  description: "How far a bulk replay is.",
  values: {
    RUNNING: { description: "It goes through what failed." },
    DONE: { description: "It has come to the end." },
    CANCELED: { description: "It was canceled: what it had repeated goes on." },
  } as const,
});

const BulkReplayType = builder.objectRef<BulkReplay>("BulkReplay");

builder.node(BulkReplayType, {
  description: "The failed executions of a time, repeated one after the other.",
  authScopes: { organization: true },
  id: { resolve: (job) => job.id },
  isTypeOf: undefined,
  loadOne: (id, context) => loadBulkReplay(context, id),
  fields: (t) => ({
    state: t.field({
      type: BulkReplayState,
      description: "How far it is.",
      resolve: (job) => job.state,
    }),
    totalCount: t.exposeInt("total", {
      description: `How many failed executions there were when it began, counted up to ${countedMax}.`,
    }),
    replayedCount: t.exposeInt("replayed", { description: "How many it has repeated." }),
    skippedCount: t.exposeInt("skipped", {
      description: "How many it has passed over, since their request is not stored any more.",
    }),
    perSecond: t.exposeInt("perSecond", { description: "How many it repeats a second at most." }),
    createdAt: t.field({
      type: "DateTime",
      description: "When it was begun.",
      resolve: (job) => job.createdAtMs,
    }),
    createdBy: t.exposeString("createdBy", { description: "Who has begun it: a user's id, or admin." }),
    endedAt: t.field({
      type: "DateTime",
      nullable: true,
      description: "When it was done or canceled; null while it runs.",
      resolve: (job) => job.finishedAtMs,
    }),
    executionResults: t.connection(
      {
        type: Execution,
        description: "The replays that it has made; each names what it repeats.",
        args: executionFilters,
        resolve: ({ id }, args, context) => pageOfExecutions(context, args, { bulkReplayId: id }),
      },
      ExecutionConnection,
    ),
  }),
});

const BulkReplayPreview = builder.objectRef<{ count: number }>("BulkReplayPreview").implement({
  description: "What a bulk replay would repeat.",
  fields: (t) => ({
    count: t.exposeInt("count", {
      description: `How many executions it would repeat, counted up to ${countedMax}.`,
    }),
    isMore: t.boolean({
      description: "Whether there are more than were counted.",
      resolve: ({ count }) => count >= countedMax,
    }),
  }),
});

builder.queryFields((t) => ({
  bulkReplayPreview: t.field({
    type: BulkReplayPreview,
    description:
      "What a bulk replay would repeat: executions that failed and were neither repeated with success since, nor are being repeated. Tests, replays, retries and what was canceled are not meant.",
    authScopes: { organization: true },
    args: {
      startedAt_Gte: t.arg({ type: "DateTime", required: true, description: "Accepted then or later." }),
      startedAt_Lte: t.arg({ type: "DateTime", required: true, description: "Accepted then or earlier." }),
      instance: t.arg.id({ description: "Only this instance's." }),
      integration: t.arg.id({ description: "Only this integration's, or those that ran on this version." }),
      customer: t.arg.id({ description: "Only this customer's." }),
      flowName: t.arg.string({ description: "Only those of flows with this name." }),
      errorCode: t.arg.string({ description: "Only those that failed with this code; also CANCELED." }),
    },
    complexity: 100,
    resolve: async (_root, args, { store }) => ({
      count: await countCandidates(
        store,
        filterOf(args, (type, id) => inputId(type, id) ?? ""),
      ),
    }),
  }),
  bulkReplay: t.field({
    type: BulkReplayType,
    nullable: true,
    description: "One bulk replay.",
    authScopes: { organization: true },
    args: { id: t.arg.id({ required: true, description: "The bulk replay's id." }) },
    resolve: (_root, args, context) => loadBulkReplay(context, inputId("BulkReplay", args.id) ?? ""),
  }),
  bulkReplays: t.connection(
    {
      type: BulkReplayType,
      description: "The bulk replays, the newest first.",
      authScopes: { organization: true },
      resolve: (_root, args, { store }) =>
        pageOfQuery(store.executions.selectFrom("bulkReplays").selectAll(), args, {
          columns: ["createdAtMs", "id"],
          key: (job) => [job.createdAtMs, job.id],
          direction: "desc",
        }),
    },
    { name: "BulkReplayConnection", description: "A page of bulk replays." },
    { name: "BulkReplayEdge", description: "A bulk replay with its cursor." },
  ),
}));

mutation("startBulkReplay", {
  description:
    "Repeats the failed executions of a time, oldest first: those that `bulkReplayPreview` counts. Each is sent the whole way again, as by replayExecution.",
  authScopes: { admin: true },
  input: (t) => ({
    startedAt_Gte: t.field({ type: "DateTime", required: true, description: "Accepted then or later." }),
    startedAt_Lte: t.field({ type: "DateTime", required: true, description: "Accepted then or earlier." }),
    instance: t.id({ description: "Only this instance's." }),
    integration: t.id({ description: "Only this integration's, or those that ran on this version." }),
    customer: t.id({ description: "Only this customer's." }),
    flowName: t.string({ description: "Only those of flows with this name." }),
    errorCode: t.string({ description: "Only those that failed with this code; also CANCELED." }),
    perSecond: t.int({
      description: `How many to repeat a second at most, up to ${perSecondMax}; ${perSecondDefault} where it is left out.`,
    }),
  }),
  check: z.object({
    perSecond: z.number().min(1, "At least 1.").max(perSecondMax, `At most ${perSecondMax}.`).nullish(),
  }),
  resolve: async (input, context) => {
    const filter = filterOf(input, (type, id, field) => requiredId(type, id, field));
    if (filter.fromMs > filter.toMs) throw new InputError("startedAt_Gte", "The time ends before it begins.");
    const options = {
      perSecond: input.perSecond ?? perSecondDefault,
      createdBy: viewerName(context),
    };
    const bulkReplay = await startBulkReplay(context.store, filter, options);
    context.bulkReplays.wake();
    return { bulkReplay };
  },
  output: (t) => ({
    bulkReplay: t.expose("bulkReplay", {
      type: BulkReplayType,
      nullable: true,
      description: "The bulk replay, which has begun.",
    }),
  }),
});

mutation("cancelBulkReplay", {
  description: "Ends a bulk replay. What it has repeated already goes on.",
  authScopes: { admin: true },
  input: (t) => ({ id: t.id({ required: true, description: "The bulk replay." }) }),
  resolve: async (input, context) => {
    const id = requiredId("BulkReplay", input.id, "id");
    if ((await loadBulkReplay(context, id)) === null) throw notFound("id", "bulk replay");
    if (!(await cancelBulkReplay(context.store, id)))
      throw new InputError("id", "The bulk replay does not run any more.");
    return { bulkReplay: await loadBulkReplay(context, id) };
  },
  output: (t) => ({
    bulkReplay: t.expose("bulkReplay", {
      type: BulkReplayType,
      nullable: true,
      description: "The bulk replay as it ended.",
    }),
  }),
});

async function loadBulkReplay({ store }: Context, id: string): Promise<BulkReplay | null> {
  const job = await store.executions
    .selectFrom("bulkReplays")
    .selectAll()
    .where("id", "=", id)
    .executeTakeFirst();
  return job ?? null;
}

interface FilterInput {
  startedAt_Gte: Date;
  startedAt_Lte: Date;
  instance?: string | null | undefined;
  integration?: string | null | undefined;
  customer?: string | null | undefined;
  flowName?: string | null | undefined;
  errorCode?: string | null | undefined;
}

function filterOf(
  input: FilterInput,
  idOf: (type: "Instance" | "Integration" | "Customer", id: string, field: string) => string,
): BulkReplayFilter {
  const { instance, integration, customer } = input;
  return {
    fromMs: input.startedAt_Gte.getTime(),
    toMs: input.startedAt_Lte.getTime(),
    instanceId: instance == null ? undefined : idOf("Instance", instance, "instance"),
    integrationId: integration == null ? undefined : idOf("Integration", integration, "integration"),
    customerId: customer == null ? undefined : idOf("Customer", customer, "customer"),
    flowName: input.flowName ?? undefined,
    errorCode: input.errorCode ?? undefined,
  };
}
