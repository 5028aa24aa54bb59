/** Lists of executions, with the filters and orders of Prismatic's public scripts and our own. */
import { sql } from "kysely";
import { type Context, customerScope } from "../context.ts";
import type { ExecutionDatabase } from "../store/store.ts";
import { builder } from "./builder.ts";
import { pageOfQuery } from "./connections.ts";
import {
  ExecutionConnection,
  ExecutionStatusType,
  executionItemColumns,
  executionsOf,
} from "./executions.ts";
import { inputId } from "./inputs.ts";
import { Execution, type ExecutionItem } from "./instanceRefs.ts";
import { Instance } from "./refs.ts";
import { SortDirection } from "./scalars.ts";

const ExecutionOrderField = builder.enumType("InstanceExecutionResultOrderField", {
  description: "What executions can be ordered by.",
  values: {
    STARTED_AT: { value: "startedAtMs", description: "When they were accepted." },
    ENDED_AT: { value: "endedAtMs", description: "When they ended; those that have not are left out." },
  } as const,
});

const ExecutionOrder = builder.inputType("InstanceExecutionResultOrder", {
  description: "The order of executions.",
  fields: (t) => ({
    field: t.field({ type: ExecutionOrderField, required: true, description: "What to order by." }),
    direction: t.field({ type: SortDirection, required: true, description: "Which end comes first." }),
  }),
});

type ExecutionQuery = ReturnType<typeof executionsOf>;

const items = { list: false, items: true } as const;

export const executionFilters = builder.args((t) => ({
  id: t.id({ description: "Only this one." }),
  id_In: t.field({ type: ["ID"], required: items, description: "Only these." }),
  isTestExecution: t.boolean({ description: "Only tests, or only others." }),
  startedAt_Gte: t.field({ type: "DateTime", description: "Only those accepted then or later." }),
  startedAt_Lte: t.field({ type: "DateTime", description: "Only those accepted then or earlier." }),
  endedAt_Gte: t.field({ type: "DateTime", description: "Only those that ended then or later." }),
  endedAt_Lte: t.field({ type: "DateTime", description: "Only those that ended then or earlier." }),
  endedAt_Isnull: t.boolean({ description: "Only those that have not ended (true), or that have (false)." }),
  flow: t.id({ description: "Only those of this flow of a draft or version." }),
  flowConfig_Flow: t.id({ description: "Only those of this flow of a draft or version." }),
  flowConfig: t.id({ description: "Only those of this flow config." }),
  flowName: t.string({ description: "Only those of flows with this name." }),
  status: t.field({ type: ExecutionStatusType, description: "Only those that are this far." }),
  status_In: t.field({
    type: [ExecutionStatusType],
    required: items,
    description: "Only those that are in one of these states.",
  }),
  errorCode: t.string({ description: "Only those that failed with this code." }),
  error_Isnull: t.boolean({ description: "Only those without an error (true), or with one (false)." }),
  replayForExecution_Isnull: t.boolean({
    description: "Only those that are no replay (true), or replays (false).",
  }),
  replayForExecution: t.id({ description: "Only the replays of this execution." }),
  retryForExecution_Isnull: t.boolean({
    description: "Only those that are no retry (true), or retries (false).",
  }),
  retryForExecution: t.id({ description: "Only the retries of this execution." }),
  retryCount: t.int({ description: "Only those that are the retry of this number; 0 for no retry." }),
  retryCount_Gte: t.int({ description: "Only those that are the retry of this number or a later one." }),
  retryCount_Lte: t.int({ description: "Only those that are the retry of this number or an earlier one." }),
  maxRetryCount: t.int({ description: "Only those that may be retried so often." }),
  maxRetryCount_Gte: t.int({ description: "Only those that may be retried so often or more." }),
  maxRetryCount_Lte: t.int({ description: "Only those that may be retried so often or less." }),
  retryNextAt_Gte: t.field({ type: "DateTime", description: "Only those to be retried then or later." }),
  retryNextAt_Lte: t.field({ type: "DateTime", description: "Only those to be retried then or earlier." }),
  retryNextAt_Isnull: t.boolean({
    description: "Only those that wait for no retry (true), or for one (false).",
  }),
  retryUniqueRequestId: t.string({ description: "Only those whose request has this id." }),
  invokeType: t.string({ description: "Only those that were started like this." }),
  invokeType_In: t.stringList({ description: "Only those that were started in one of these ways." }),
  orderBy: t.field({
    type: ExecutionOrder,
    description: "The order; the newest first where it is left out.",
  }),
  sortBy: t.field({
    type: [ExecutionOrder],
    required: items,
    description: "The same as a list, of which the first counts.",
  }),
}));

builder.objectFields(Instance, (instance) => ({
  executionResults: instance.connection(
    {
      type: Execution,
      description: "The instance's executions.",
      args: executionFilters,
      resolve: ({ id }, args, context) => pageOfExecutions(context, args, { instanceId: id }),
    },
    ExecutionConnection,
  ),
}));
builder.objectFields(Execution, (execution) => ({
  replays: execution.connection(
    {
      type: Execution,
      description: "The executions that repeat this one.",
      args: executionFilters,
      resolve: ({ id }, args, context) => pageOfExecutions(context, args, { replayOf: id }),
    },
    ExecutionConnection,
  ),
  invokedExecutions: execution.connection(
    {
      type: Execution,
      description: "The executions that this one's flow started by invoking flows.",
      args: executionFilters,
      resolve: ({ id }, args, context) => pageOfExecutions(context, args, { invokedBy: id }),
    },
    ExecutionConnection,
  ),
  retryAttempts: execution.connection(
    {
      type: Execution,
      description: "The retries of this one, where it was the first to fail.",
      args: executionFilters,
      resolve: ({ id }, args, context) => pageOfExecutions(context, args, { retryOf: id }),
    },
    ExecutionConnection,
  ),
}));
builder.queryFields((t) => ({
  executionResults: t.connection(
    {
      type: Execution,
      description: "The executions, also those that were routed to no instance.",
      authScopes: { signedIn: true },
      args: {
        ...executionFilters,
        instance: t.arg.id({ description: "Only this instance's." }),
        instance_Isnull: t.arg.boolean({
          description: "Only those that were routed to no instance (true), or to one (false).",
        }),
        instance_Customer: t.arg.id({ description: "Only this customer's." }),
        instance_Integration: t.arg.id({
          description: "Only this integration's; with the id of a version, those that ran on it.",
        }),
        flowConfig_Instance: t.arg.id({ description: "Only this instance's." }),
        integration: t.arg.id({
          description: "Only this integration's; with the id of a version, those that ran on it.",
        }),
        customer: t.arg.id({ description: "Only this customer's." }),
      },
      resolve: (_root, args, context) => {
        const instance = args.instance ?? args.flowConfig_Instance;
        const customer = args.customer ?? args.instance_Customer;
        const integration = args.integration ?? args.instance_Integration;
        return pageOfExecutions(context, args, {
          instanceId: instance == null ? undefined : (inputId("Instance", instance) ?? ""),
          customerId: customer == null ? undefined : (inputId("Customer", customer) ?? ""),
          integrationId: integration == null ? undefined : (inputId("Integration", integration) ?? ""),
        });
      },
    },
    ExecutionConnection,
  ),
}));

type Maybe<Value> = Value | null | undefined;

interface ExecutionFilters {
  first?: Maybe<number>;
  last?: Maybe<number>;
  after?: Maybe<string>;
  before?: Maybe<string>;
  id?: Maybe<string>;
  id_In?: Maybe<string[]>;
  isTestExecution?: Maybe<boolean>;
  startedAt_Gte?: Maybe<Date>;
  startedAt_Lte?: Maybe<Date>;
  endedAt_Gte?: Maybe<Date>;
  endedAt_Lte?: Maybe<Date>;
  endedAt_Isnull?: Maybe<boolean>;
  flow?: Maybe<string>;
  flowConfig_Flow?: Maybe<string>;
  flowConfig?: Maybe<string>;
  flowName?: Maybe<string>;
  status?: Maybe<ExecutionItem["status"]>;
  status_In?: Maybe<ExecutionItem["status"][]>;
  errorCode?: Maybe<string>;
  error_Isnull?: Maybe<boolean>;
  replayForExecution_Isnull?: Maybe<boolean>;
  replayForExecution?: Maybe<string>;
  retryForExecution_Isnull?: Maybe<boolean>;
  retryForExecution?: Maybe<string>;
  retryCount?: Maybe<number>;
  retryCount_Gte?: Maybe<number>;
  retryCount_Lte?: Maybe<number>;
  maxRetryCount?: Maybe<number>;
  maxRetryCount_Gte?: Maybe<number>;
  maxRetryCount_Lte?: Maybe<number>;
  retryNextAt_Gte?: Maybe<Date>;
  retryNextAt_Lte?: Maybe<Date>;
  retryNextAt_Isnull?: Maybe<boolean>;
  retryUniqueRequestId?: Maybe<string>;
  invokeType?: Maybe<string>;
  invokeType_In?: Maybe<string[]>;
  instance_Isnull?: Maybe<boolean>;
  orderBy?: Maybe<Order>;
  sortBy?: Maybe<Order[]>;
}

interface Order {
  field: "startedAtMs" | "endedAtMs";
  direction: "asc" | "desc";
}

/** Whose executions are listed; an id that names nothing is "". */
interface ExecutionOwners {
  instanceId?: string | undefined;
  customerId?: string | undefined;
  /** Or the id of a version. */
  integrationId?: string | undefined;
  replayOf?: string | undefined;
  retryOf?: string | undefined;
  bulkReplayId?: string | undefined;
  invokedBy?: string | undefined;
}

const executionIdOf = (nodeId: string): string => inputId("InstanceExecutionResult", nodeId) ?? "";

/**
 * The same by way of their buckets, for the indexes that start with one: `CROSS JOIN` because SQLite walks it in
 * the order that it is written in, the newest bucket first.
 */
const executionsByBucket = (database: ExecutionDatabase) =>
  database
    .selectFrom("executionBuckets")
    .crossJoin("executions")
    .whereRef("executions.bucketAtMs", "=", "executionBuckets.atMs")
    .select(executionItemColumns) as unknown as ExecutionQuery;

export function pageOfExecutions(context: Context, args: ExecutionFilters, owners: ExecutionOwners) {
  const order = args.orderBy ?? args.sortBy?.[0] ?? { field: "startedAtMs", direction: "desc" };
  const column = order.field;
  const { instanceId } = owners;
  const customerIds = [owners.customerId, customerScope(context) ?? undefined].filter(
    (id) => id !== undefined,
  );
  // Those that were named, and replays and retries of one, are few and have indexes of their own.
  const isOfFew = [
    owners.replayOf,
    owners.retryOf,
    owners.bulkReplayId,
    owners.invokedBy,
    args.replayForExecution,
    args.retryForExecution,
    args.id,
    args.id_In,
  ].some((given) => given != null);
  const isByBucket =
    !isOfFew && column === "startedAtMs" && (instanceId !== undefined || customerIds.length > 0);
  let query = (isByBucket ? executionsByBucket : executionsOf)(context.store.executions);
  if (instanceId !== undefined) query = query.where("instanceId", "=", instanceId);
  for (const id of customerIds) {
    // With an instance, its index is the narrower one: the plus keeps SQLite from taking the customer's.
    const customer = instanceId === undefined ? sql.ref("customerId") : sql`+${sql.ref("customerId")}`;
    query = query.where(sql<boolean>`${customer} = ${id}`);
  }
  query = withRelations(withOwners(query, owners, args), args);
  query = withRetries(withTimes(withOutcome(query, args), args), args);
  if (column === "endedAtMs") query = query.where("endedAtMs", "is not", null);
  return pageOfQuery(query, args, {
    ...(isByBucket ? { coarse: "executionBuckets.atMs" } : {}),
    columns: [column, "id"],
    key: (row) => [row[column]!, row.id],
    direction: order.direction,
  });
}

function withOwners(
  query: ExecutionQuery,
  { integrationId, replayOf, retryOf, bulkReplayId, invokedBy }: ExecutionOwners,
  args: ExecutionFilters,
): ExecutionQuery {
  let found = query;
  if (integrationId !== undefined) {
    found = found.where((row) =>
      row.or([row("integrationId", "=", integrationId), row("versionId", "=", integrationId)]),
    );
  }
  if (replayOf !== undefined) found = found.where("replayOf", "=", replayOf);
  if (retryOf !== undefined) found = found.where("retryOf", "=", retryOf);
  if (bulkReplayId !== undefined)
    found = found.where("executions.id", "in", (query) =>
      query.selectFrom("bulkReplayItems").select("executionId").where("bulkReplayId", "=", bulkReplayId),
    );
  if (invokedBy !== undefined) found = found.where("invokedBy", "=", invokedBy);
  if (args.instance_Isnull != null)
    found = found.where("instanceId", args.instance_Isnull ? "is" : "is not", null);
  for (const flow of [args.flow, args.flowConfig_Flow])
    if (flow != null) found = found.where("flowId", "=", inputId("IntegrationFlow", flow) ?? "");
  if (args.flowConfig != null)
    found = found.where("flowConfigId", "=", inputId("InstanceFlowConfig", args.flowConfig) ?? "");
  if (args.flowName != null) found = found.where("flowName", "=", args.flowName);
  return found;
}

function withRelations(query: ExecutionQuery, args: ExecutionFilters): ExecutionQuery {
  let found = query;
  if (args.id != null) found = found.where("executions.id", "=", executionIdOf(args.id));
  if (args.id_In != null) found = found.where("executions.id", "in", args.id_In.map(executionIdOf));
  if (args.replayForExecution_Isnull != null)
    found = found.where("replayOf", args.replayForExecution_Isnull ? "is" : "is not", null);
  if (args.replayForExecution != null)
    found = found.where("replayOf", "=", executionIdOf(args.replayForExecution));
  if (args.retryForExecution_Isnull != null)
    found = found.where("retryOf", args.retryForExecution_Isnull ? "is" : "is not", null);
  if (args.retryForExecution != null)
    found = found.where("retryOf", "=", executionIdOf(args.retryForExecution));
  return found;
}

function withOutcome(query: ExecutionQuery, args: ExecutionFilters): ExecutionQuery {
  let found = query;
  if (args.isTestExecution != null) found = found.where("isTest", "=", args.isTestExecution ? 1 : 0);
  if (args.status != null) found = found.where("status", "=", args.status);
  if (args.status_In != null) found = found.where("status", "in", args.status_In);
  if (args.errorCode != null) found = found.where("errorCode", "=", args.errorCode);
  if (args.error_Isnull != null) found = found.where("error", args.error_Isnull ? "is" : "is not", null);
  // Nothing else has an error. Written out, as the index of these alone is used where SQLite sees the value.
  if (args.error_Isnull === false) found = found.where(sql<boolean>`executions.status = 'FAILED'`);
  if (args.invokeType != null) found = found.where("invokeType", "=", args.invokeType);
  if (args.invokeType_In != null) found = found.where("invokeType", "in", args.invokeType_In);
  return found;
}

function withTimes(query: ExecutionQuery, args: ExecutionFilters): ExecutionQuery {
  let found = query;
  if (args.startedAt_Gte != null) found = found.where("startedAtMs", ">=", args.startedAt_Gte.getTime());
  if (args.startedAt_Lte != null) found = found.where("startedAtMs", "<=", args.startedAt_Lte.getTime());
  if (args.endedAt_Gte != null) found = found.where("endedAtMs", ">=", args.endedAt_Gte.getTime());
  if (args.endedAt_Lte != null) found = found.where("endedAtMs", "<=", args.endedAt_Lte.getTime());
  if (args.endedAt_Isnull != null)
    found = found.where("endedAtMs", args.endedAt_Isnull ? "is" : "is not", null);
  return found;
}

function withRetries(query: ExecutionQuery, args: ExecutionFilters): ExecutionQuery {
  let found = query;
  if (args.retryCount != null) found = found.where("retryNumber", "=", args.retryCount);
  if (args.retryCount_Gte != null) found = found.where("retryNumber", ">=", args.retryCount_Gte);
  if (args.retryCount_Lte != null) found = found.where("retryNumber", "<=", args.retryCount_Lte);
  if (args.maxRetryCount != null) found = found.where("maxRetryCount", "=", args.maxRetryCount);
  if (args.maxRetryCount_Gte != null) found = found.where("maxRetryCount", ">=", args.maxRetryCount_Gte);
  if (args.maxRetryCount_Lte != null) found = found.where("maxRetryCount", "<=", args.maxRetryCount_Lte);
  if (args.retryNextAt_Gte != null)
    found = found.where("retryNextAtMs", ">=", args.retryNextAt_Gte.getTime());
  if (args.retryNextAt_Lte != null)
    found = found.where("retryNextAtMs", "<=", args.retryNextAt_Lte.getTime());
  if (args.retryNextAt_Isnull != null)
    found = found.where("retryNextAtMs", args.retryNextAt_Isnull ? "is" : "is not", null);
  if (args.retryUniqueRequestId != null)
    found = found.where("uniqueRequestId", "=", args.retryUniqueRequestId);
  return found;
}
