/** Executions: one webhook's whole story. A customer sees the flow part of its own, and no routing reasons. */
import { sql } from "kysely";
import { type ErrorCode, errorCatalogue } from "../../shared/errors.ts";
import { isUuid } from "../../shared/ids.ts";
import { type Context, customerScope, isOrganization, maySeeCustomer } from "../context.ts";
import { shownRequest, signedAddress } from "../results.ts";
import type { ExecutionDatabase } from "../store/store.ts";
import { readExecutionRequest } from "../store/storedObjects.ts";
import { builder } from "./builder.ts";
import { pageOfQuery } from "./connections.ts";
import { loadCustomers } from "./customers.ts";
import { loadFlowConfig } from "./flowConfigs.ts";
import { inputId } from "./inputs.ts";
import { Execution, type ExecutionItem, InstanceFlowConfig } from "./instanceRefs.ts";
import { loadInstance } from "./instances.ts";
import { findFlow, findIntegration } from "./integrationItems.ts";
import { Customer, Instance, Integration, IntegrationFlow } from "./refs.ts";
import { SortDirection } from "./scalars.ts";

const columns = [
  "executions.id",
  "executions.status",
  "executions.invokeType",
  "executions.isTest",
  "executions.isDebug",
  "executions.attempt",
  "executions.startedAtMs",
  "executions.endedAtMs",
  "executions.errorCode",
  "executions.error",
  "executions.answerStatus",
  "executions.integrationId",
  "executions.versionId",
  "executions.versionNumber",
  "executions.instanceId",
  "executions.customerId",
  "executions.customerUserId",
  "executions.flowId",
  "executions.flowConfigId",
  "executions.flowStableKey",
  "executions.flowName",
  "executions.preprocessFlowName",
  "executions.replayOf",
  "executions.invokedBy",
  "executions.hasRequest",
  "executions.bytes",
] as const;

export const executionsOf = (database: ExecutionDatabase) =>
  database.selectFrom("executions").select(columns);

/**
 * The same by way of their buckets, for the indexes that start with one: `CROSS JOIN` because SQLite walks it in
 * the order that it is written in, the newest bucket first.
 */
const executionsByBucket = (database: ExecutionDatabase) =>
  database
    .selectFrom("executionBuckets")
    .crossJoin("executions")
    .whereRef("executions.bucketAtMs", "=", "executionBuckets.atMs")
    .select(columns) as unknown as ExecutionQuery;

/** One execution, where the viewer may see it. */
export async function loadExecution(context: Context, id: string): Promise<ExecutionItem | null> {
  if (!isUuid(id)) return null;
  const row = await executionsOf(context.store.executions).where("id", "=", id).executeTakeFirst();
  return row !== undefined && maySeeCustomer(context, row.customerId) ? row : null;
}

/** Why it failed, as the viewer may read it: what was looked for while routing is the organization's. */
export function shownError({ error, errorCode }: ExecutionItem, context: Context): string | null {
  if (isOrganization(context) || error === null || errorCode === null) return error;
  if (!organizationCodes.has(errorCode)) return error;
  return errorCatalogue[errorCode as ErrorCode].message;
}

const organizationCodes: ReadonlySet<string> = new Set<ErrorCode>([
  "FLOW_NOT_FOUND",
  "CUSTOMER_NOT_FOUND",
  "CUSTOMER_USER_NOT_FOUND",
  "PREPROCESS_FAILED",
  "KEY_REFUSED",
  "INTERNAL",
]);

const ExecutionStatusType = builder.enumType("ExecutionStatus", {
  description: "How far an execution is.",
  values: {
    QUEUED: { description: "It waits for a data plane." },
    RUNNING: { description: "It runs." },
    SUCCEEDED: { description: "It ended well." },
    FAILED: { description: "It ended with an error." },
  } as const,
});

builder.node(Execution, {
  description: "One webhook's whole story: how it was routed, what its flow did, how it ended.",
  authScopes: (execution, context) => maySeeCustomer(context, execution.customerId),
  id: { resolve: (execution) => execution.id },
  isTypeOf: undefined,
  loadOne: (id, context) => loadExecution(context, id),
  fields: (t) => ({
    status: t.field({
      type: ExecutionStatusType,
      description: "How far it is.",
      resolve: (execution) => execution.status,
    }),
    startedAt: t.field({
      type: "DateTime",
      description: "When it was accepted.",
      resolve: (execution) => execution.startedAtMs,
    }),
    endedAt: t.field({
      type: "DateTime",
      nullable: true,
      description: "When it ended; null while it has not.",
      resolve: (execution) => execution.endedAtMs,
    }),
    error: t.string({
      nullable: true,
      description: "Why it failed.",
      resolve: (execution, _args, context) => shownError(execution, context),
    }),
    errorCode: t.exposeString("errorCode", {
      nullable: true,
      description: "Why it failed, as a stable code.",
    }),
    invokeType: t.exposeString("invokeType", {
      description: "What started it: WEBHOOK, TEST, TEST_ENDPOINT, REPLAY or CROSS_FLOW.",
    }),
    isTestExecution: t.boolean({
      description: "Whether it is a test.",
      resolve: (execution) => execution.isTest === 1,
    }),
    isDebug: t.boolean({
      description: "Whether it ran in debug mode.",
      resolve: (execution) => execution.isDebug === 1,
    }),
    attempt: t.exposeInt("attempt", {
      description: "Which run of it this record shows: more than 1 where it was run again after a crash.",
    }),
    answerStatus: t.exposeInt("answerStatus", {
      nullable: true,
      description: "The HTTP status that the sender was answered with; null where it was gone.",
    }),
    instance: t.field({
      type: Instance,
      nullable: true,
      description: "The instance it ran on; null where it was not routed to one, or the instance is gone.",
      resolve: ({ instanceId }, _args, context) =>
        instanceId === null ? null : loadInstance(context, instanceId),
    }),
    integration: t.field({
      type: Integration,
      nullable: true,
      description: "The version it ran on, or the draft; null where that is gone.",
      resolve: ({ versionId }, _args, { store }) => findIntegration(store.config, versionId),
    }),
    versionNumber: t.exposeInt("versionNumber", {
      description: "The number of the version it ran on; 0 for a draft.",
    }),
    customer: t.loadable({
      type: Customer,
      nullable: true,
      description: "The customer it ran for; null where it was not routed to one.",
      load: loadCustomers,
      resolve: ({ customerId }) => customerId,
    }),
    flow: t.field({
      type: IntegrationFlow,
      nullable: true,
      description: "The flow it ran; null where it was not routed to one, or the flow is gone.",
      resolve: ({ flowId }, _args, { store }) => (flowId === null ? null : findFlow(store.config, flowId)),
    }),
    flowName: t.exposeString("flowName", {
      nullable: true,
      description: "The name of the flow, as it was then.",
    }),
    flowConfig: t.field({
      type: InstanceFlowConfig,
      nullable: true,
      description: "The instance's flow config; null where it was not routed to one, or that is gone.",
      resolve: ({ flowConfigId }, _args, context) =>
        flowConfigId === null ? null : loadFlowConfig(context, flowConfigId),
    }),
    preprocessFlowName: t.string({
      nullable: true,
      description: "The name of the preprocess flow that ran first; for the organization only.",
      resolve: ({ preprocessFlowName }, _args, context) =>
        isOrganization(context) ? preprocessFlowName : null,
    }),
    requestPayloadUrl: t.string({
      nullable: true,
      description: "Where the request can be read as JSON, without its secrets, for the next ten minutes.",
      resolve: ({ id, hasRequest }, _args, { store, urls }) =>
        hasRequest === 1 ? signedAddress(store, urls, { kind: "executionRequest", executionId: id }) : null,
    }),
    responsePayloadUrl: t.string({
      nullable: true,
      description: "Where the answer could be read; always null, as answers are not stored.",
      resolve: () => null,
    }),
    requestPayload: t.field({
      type: "JSON",
      nullable: true,
      description: "The request without its secrets; its body in base64.",
      complexity: 50,
      resolve: async ({ id }, _args, { store }) => {
        const request = await readExecutionRequest(store, id);
        return request === null ? null : shownRequest(request);
      },
    }),
    replayForExecution: t.field({
      type: Execution,
      nullable: true,
      description: "The execution that this one repeats.",
      resolve: ({ replayOf }, _args, context) =>
        replayOf === null ? null : loadExecution(context, replayOf),
    }),
    invokedBy: t.field({
      type: Execution,
      nullable: true,
      description: "The execution whose flow started this one.",
      resolve: ({ invokedBy }, _args, context) =>
        invokedBy === null ? null : loadExecution(context, invokedBy),
    }),
  }),
});

export const ExecutionConnection = builder.connectionObject(
  {
    type: Execution,
    name: "InstanceExecutionResultConnection",
    description: "A page of executions.",
  },
  { name: "InstanceExecutionResultEdge", description: "An execution with its cursor." },
);

const ExecutionOrderField = builder.enumType("ExecutionOrderField", {
  description: "What executions can be ordered by.",
  values: { STARTED_AT: { description: "When they were accepted." } } as const,
});

const ExecutionOrder = builder.inputType("ExecutionOrder", {
  description: "The order of executions.",
  fields: (t) => ({
    field: t.field({ type: ExecutionOrderField, required: true, description: "What to order by." }),
    direction: t.field({ type: SortDirection, required: true, description: "Which end comes first." }),
  }),
});

type ExecutionQuery = ReturnType<typeof executionsOf>;

const executionFilters = builder.args((t) => ({
  isTestExecution: t.boolean({ description: "Only tests, or only others." }),
  startedAt_Gte: t.field({ type: "DateTime", description: "Only those accepted then or later." }),
  startedAt_Lte: t.field({ type: "DateTime", description: "Only those accepted then or earlier." }),
  flowConfig_Flow: t.id({ description: "Only those of this flow of a draft or version." }),
  flowConfig: t.id({ description: "Only those of this flow config." }),
  flowName: t.string({ description: "Only those of flows with this name." }),
  status: t.field({ type: ExecutionStatusType, description: "Only those that are this far." }),
  status_In: t.field({
    type: [ExecutionStatusType],
    required: { list: false, items: true },
    description: "Only those that are in one of these states.",
  }),
  errorCode: t.string({ description: "Only those that failed with this code." }),
  error_Isnull: t.boolean({ description: "Only those without an error (true), or with one (false)." }),
  endedAt_Isnull: t.boolean({ description: "Only those that have not ended (true), or that have (false)." }),
  replayForExecution_Isnull: t.boolean({
    description: "Only those that are no replay (true), or replays (false).",
  }),
  replayForExecution: t.id({ description: "Only the replays of this execution." }),
  invokeType: t.string({ description: "Only those that were started like this." }),
  orderBy: t.field({
    type: ExecutionOrder,
    description: "The order; the newest first where it is left out.",
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
      resolve: ({ id }, args, context) => pageOfExecutions(context, args, { replayOf: id }),
    },
    ExecutionConnection,
  ),
}));
builder.queryFields((t) => ({
  executionResult: t.field({
    type: Execution,
    nullable: true,
    description: "One execution.",
    authScopes: { signedIn: true },
    args: { id: t.arg.id({ required: true, description: "The execution's id." }) },
    resolve: (_root, args, context) => {
      const id = inputId("InstanceExecutionResult", args.id);
      return id === null ? null : loadExecution(context, id);
    },
  }),
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
        flowConfig_Instance: t.arg.id({ description: "Only this instance's." }),
        integration: t.arg.id({
          description: "Only this integration's; with the id of a version, those that ran on it.",
        }),
        customer: t.arg.id({ description: "Only this customer's." }),
      },
      resolve: (_root, args, context) => {
        const instance = args.instance ?? args.flowConfig_Instance;
        return pageOfExecutions(context, args, {
          instanceId: instance == null ? undefined : (inputId("Instance", instance) ?? ""),
          customerId: args.customer == null ? undefined : (inputId("Customer", args.customer) ?? ""),
          integrationId:
            args.integration == null ? undefined : (inputId("Integration", args.integration) ?? ""),
        });
      },
    },
    ExecutionConnection,
  ),
}));

interface ExecutionFilters {
  first?: number | null | undefined;
  last?: number | null | undefined;
  after?: string | null | undefined;
  before?: string | null | undefined;
  isTestExecution?: boolean | null | undefined;
  startedAt_Gte?: Date | null | undefined;
  startedAt_Lte?: Date | null | undefined;
  flowConfig_Flow?: string | null | undefined;
  flowConfig?: string | null | undefined;
  flowName?: string | null | undefined;
  status?: ExecutionItem["status"] | null | undefined;
  status_In?: ExecutionItem["status"][] | null | undefined;
  errorCode?: string | null | undefined;
  error_Isnull?: boolean | null | undefined;
  endedAt_Isnull?: boolean | null | undefined;
  replayForExecution_Isnull?: boolean | null | undefined;
  replayForExecution?: string | null | undefined;
  invokeType?: string | null | undefined;
  instance_Isnull?: boolean | null | undefined;
  orderBy?: { direction: "asc" | "desc" } | null | undefined;
}

/** Whose executions are listed; an id that names nothing is "". */
interface ExecutionOwners {
  instanceId?: string | undefined;
  customerId?: string | undefined;
  /** Or the id of a version. */
  integrationId?: string | undefined;
  replayOf?: string | undefined;
}

function pageOfExecutions(context: Context, args: ExecutionFilters, owners: ExecutionOwners) {
  const { instanceId, integrationId, replayOf } = owners;
  const customerIds = [owners.customerId, customerScope(context) ?? undefined].filter(
    (id) => id !== undefined,
  );
  // Replays of one execution are few, and have an index of their own.
  const isOfReplays = replayOf !== undefined || args.replayForExecution != null;
  const isByBucket = !isOfReplays && (instanceId !== undefined || customerIds.length > 0);
  let query = (isByBucket ? executionsByBucket : executionsOf)(context.store.executions);
  if (instanceId !== undefined) query = query.where("instanceId", "=", instanceId);
  for (const id of customerIds) {
    // With an instance, its index is the narrower one: the plus keeps SQLite from taking the customer's.
    const customer = instanceId === undefined ? sql.ref("customerId") : sql`+${sql.ref("customerId")}`;
    query = query.where(sql<boolean>`${customer} = ${id}`);
  }
  if (integrationId !== undefined) {
    query = query.where((row) =>
      row.or([row("integrationId", "=", integrationId), row("versionId", "=", integrationId)]),
    );
  }
  if (replayOf !== undefined) query = query.where("replayOf", "=", replayOf);
  if (args.instance_Isnull != null) {
    query = query.where("instanceId", args.instance_Isnull ? "is" : "is not", null);
  }
  if (args.isTestExecution != null) query = query.where("isTest", "=", args.isTestExecution ? 1 : 0);
  if (args.startedAt_Gte != null) query = query.where("startedAtMs", ">=", args.startedAt_Gte.getTime());
  if (args.startedAt_Lte != null) query = query.where("startedAtMs", "<=", args.startedAt_Lte.getTime());
  if (args.flowConfig_Flow != null) {
    query = query.where("flowId", "=", inputId("IntegrationFlow", args.flowConfig_Flow) ?? "");
  }
  if (args.flowConfig != null) {
    query = query.where("flowConfigId", "=", inputId("InstanceFlowConfig", args.flowConfig) ?? "");
  }
  if (args.flowName != null) query = query.where("flowName", "=", args.flowName);
  if (args.status != null) query = query.where("status", "=", args.status);
  if (args.status_In != null) query = query.where("status", "in", args.status_In);
  if (args.errorCode != null) query = query.where("errorCode", "=", args.errorCode);
  if (args.error_Isnull != null) query = query.where("error", args.error_Isnull ? "is" : "is not", null);
  if (args.endedAt_Isnull != null)
    query = query.where("endedAtMs", args.endedAt_Isnull ? "is" : "is not", null);
  if (args.replayForExecution_Isnull != null) {
    query = query.where("replayOf", args.replayForExecution_Isnull ? "is" : "is not", null);
  }
  if (args.replayForExecution != null) {
    const id = inputId("InstanceExecutionResult", args.replayForExecution) ?? "";
    query = query.where("replayOf", "=", id);
  }
  if (args.invokeType != null) query = query.where("invokeType", "=", args.invokeType);
  return pageOfQuery(query, args, {
    ...(isByBucket ? { coarse: "executionBuckets.atMs" } : {}),
    columns: ["startedAtMs", "id"],
    key: (row) => [row.startedAtMs, row.id],
    direction: args.orderBy?.direction ?? "desc",
  });
}
