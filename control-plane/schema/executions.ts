/** Executions: one webhook's whole story. A customer sees the flow part of its own, and no routing reasons. */
import { type ErrorCode, errorCatalogue } from "../../shared/errors.ts";
import { isUuid } from "../../shared/ids.ts";
import { invokeTypes } from "../../shared/reports.ts";
import { type Context, isOrganization, maySeeCustomer } from "../context.ts";
import { shownRequest, signedAddress } from "../results.ts";
import type { ExecutionDatabase } from "../store/store.ts";
import { readExecutionRequest } from "../store/storedObjects.ts";
import { builder } from "./builder.ts";
import { loadCustomers } from "./customers.ts";
import { loadFlowConfig } from "./flowConfigs.ts";
import { inputId } from "./inputs.ts";
import { Execution, type ExecutionItem, InstanceFlowConfig } from "./instanceRefs.ts";
import { loadInstance } from "./instances.ts";
import { findFlow, findIntegration } from "./integrationItems.ts";
import { Customer, Instance, Integration, IntegrationFlow } from "./refs.ts";

export const executionItemColumns = [
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
  "executions.retryOf",
  "executions.retryNumber",
  "executions.maxRetryCount",
  "executions.uniqueRequestId",
  "executions.retryNextAtMs",
  "executions.resultType",
] as const;

export const executionsOf = (database: ExecutionDatabase) =>
  database.selectFrom("executions").select(executionItemColumns);

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

export const ExecutionStatusType = builder.enumType("ExecutionStatus", {
  description: "How far an execution is.",
  values: {
    QUEUED: { description: "It waits for a data plane, or in its flow's queue." },
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
      description: `What started it: ${invokeTypes.join(", ")}.`,
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
}));
