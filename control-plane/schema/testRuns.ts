/** Tests: one flow, or the endpoint configuration of a draft. A draft's tests run for the test customer only. */
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { flowByStableKey } from "../../shared/definition.ts";
import type { Context } from "../context.ts";
import { type ConfiguredVersion, configuredVersionOf } from "../store/configuredVersions.ts";
import { requestOfTest, startExecution } from "../store/startedExecutions.ts";
import { builder } from "./builder.ts";
import { loadExecution, shownError } from "./executions.ts";
import { loadFlowConfig } from "./flowConfigs.ts";
import { notFound, requiredId } from "./inputs.ts";
import { Execution, type ExecutionItem, type FlowConfigItem, InstanceFlowConfig } from "./instanceRefs.ts";
import { findFlow, requiredIntegration } from "./integrationItems.ts";
import { InputError, mutation } from "./payloads.ts";
import { type FlowItem, type InstanceRow, IntegrationFlow } from "./refs.ts";

const payloadLengthMax = 6 * 1024 * 1024;
const headersMax = 200;
const endpointTestTimeoutMs = 30_000;
const pollMs = 50;

const payloadCheck = z.string().max(payloadLengthMax, `At most ${payloadLengthMax} characters.`);
const shortCheck = z.string().max(10_000, "At most 10000 characters.");
const testCheck = z.object({
  payload: payloadCheck.nullish(),
  contentType: shortCheck.nullish(),
  queryParameters: shortCheck.nullish(),
  method: z.enum(["GET", "POST", "PUT", "PATCH", "DELETE"], "Use GET, POST, PUT, PATCH or DELETE.").nullish(),
});

interface FlowTest {
  flow: FlowItem;
  execution: ExecutionItem;
}

const FlowTestType = builder.objectRef<FlowTest>("TestIntegrationFlowResult").implement({
  description: "A test run of one flow of a draft.",
  fields: (t) => ({
    flow: t.expose("flow", { type: IntegrationFlow, description: "The flow that runs." }),
    execution: t.expose("execution", { type: Execution, description: "Its execution, which goes on." }),
  }),
});

mutation("testIntegrationFlow", {
  description: "Runs one flow of a draft for the test customer, without routing and without keys.",
  authScopes: { admin: true },
  input: (t) => ({
    id: t.id({ required: true, description: "The flow of the draft." }),
    payload: t.string({ description: "The request's body." }),
    contentType: t.string({ description: "Its content type; application/json where it is left out." }),
    headers: t.field({
      type: "JSON",
      description: "The request's headers: an object, or JSON of one inside a string.",
    }),
    debug: t.boolean({ description: "Whether to run in debug mode." }),
  }),
  check: testCheck,
  resolve: async (input, context) => {
    const { store } = context;
    const id = requiredId("IntegrationFlow", input.id, "id");
    const flow = await findFlow(store.config, id);
    if (flow === null) throw notFound("id", "flow");
    if (flow.owner.version !== null) {
      throw new InputError("id", "This is a flow of a published version. Tests run on the draft's flows.");
    }
    const { instance } = await draftOf(context, flow.owner.integration.id, "id");
    const row = await store.config
      .selectFrom("instanceFlowConfigs")
      .select("id")
      .where("instanceId", "=", instance.id)
      .where("stableKey", "=", flow.flow.stableKey)
      .executeTakeFirst();
    const item = row === undefined ? null : await loadFlowConfig(context, row.id);
    if (item === null) throw notFound("id", "flow");
    const execution = await runFlow(context, item, input, input.debug === true);
    return { testIntegrationFlowResult: { flow, execution } };
  },
  output: (t) => ({
    testIntegrationFlowResult: t.expose("testIntegrationFlowResult", {
      type: FlowTestType,
      nullable: true,
      description: "The run that was started.",
    }),
  }),
});

interface FlowConfigTest {
  flowConfig: FlowConfigItem;
  execution: ExecutionItem;
}

const FlowConfigTestType = builder.objectRef<FlowConfigTest>("TestInstanceFlowConfigResult").implement({
  description: "A test run of one flow of an instance.",
  fields: (t) => ({
    flowConfig: t.expose("flowConfig", { type: InstanceFlowConfig, description: "The flow config." }),
    execution: t.expose("execution", { type: Execution, description: "Its execution, which goes on." }),
  }),
});

mutation("testInstanceFlowConfig", {
  description: "Runs one flow of an instance on what is deployed there, without routing and without keys.",
  authScopes: { admin: true },
  input: (t) => ({
    id: t.id({ required: true, description: "The flow config of the instance." }),
    payload: t.string({ description: "The request's body." }),
    contentType: t.string({ description: "Its content type; application/json where it is left out." }),
    headers: t.field({
      type: "JSON",
      description: "The request's headers: an object, or JSON of one inside a string.",
    }),
  }),
  check: testCheck,
  resolve: async (input, context) => {
    const item = await loadFlowConfig(context, requiredId("InstanceFlowConfig", input.id, "id"));
    if (item === null) throw notFound("id", "flow config");
    const execution = await runFlow(context, item, input, item.instance.globalDebug === 1);
    return { testInstanceFlowConfigResult: { flowConfig: item, execution } };
  },
  output: (t) => ({
    testInstanceFlowConfigResult: t.expose("testInstanceFlowConfigResult", {
      type: FlowConfigTestType,
      nullable: true,
      description: "The run that was started.",
    }),
  }),
});

const EndpointTestType = builder.objectRef<ExecutionItem>("TestIntegrationEndpointConfigResult").implement({
  description: "A test of a draft's endpoint configuration.",
  fields: (t) => ({
    execution: t.field({
      type: Execution,
      description: "The whole record: both parts' logs and step results.",
      resolve: (execution) => execution,
    }),
    isFinished: t.boolean({
      description: "Whether it ended within the thirty seconds that are waited; else it goes on.",
      resolve: (execution) => execution.endedAtMs !== null,
    }),
    statusCode: t.exposeInt("answerStatus", {
      nullable: true,
      description: "What a sender would have been answered with.",
    }),
    flowName: t.exposeString("flowName", {
      nullable: true,
      description: "The flow that it was routed to; null where it was routed to none.",
    }),
    routingError: t.string({
      nullable: true,
      description: "Why it was not routed to a flow; null where it was.",
      resolve: (execution, _args, context) =>
        execution.errorCode !== null && routingCodes.has(execution.errorCode)
          ? shownError(execution, context)
          : null,
    }),
  }),
});

const routingCodes: ReadonlySet<string> = new Set([
  "FLOW_NOT_FOUND",
  "CUSTOMER_NOT_FOUND",
  "CUSTOMER_USER_NOT_FOUND",
  "PREPROCESS_FAILED",
  "BODY_INVALID",
  "CONTENT_TYPE_NOT_ACCEPTED",
]);

mutation("testIntegrationEndpointConfig", {
  description:
    "Routes a request by the draft's endpoint configuration and runs what it leads to, always for the test customer. " +
    "Waits for the end, thirty seconds at most.",
  authScopes: { admin: true },
  input: (t) => ({
    id: t.id({ description: "The integration." }),
    integration: t.id({ description: "The integration, as another name of id." }),
    payload: t.string({ description: "The request's body." }),
    contentType: t.string({ description: "Its content type; application/json where it is left out." }),
    headers: t.field({
      type: "JSON",
      description: "The request's headers: an object, or JSON of one inside a string.",
    }),
    method: t.string({ description: "The request's method; POST where it is left out." }),
    queryParameters: t.string({ description: "The request's query string, without the question mark." }),
    debug: t.boolean({ description: "Whether to run in debug mode." }),
  }),
  check: testCheck,
  resolve: async (input, context) => {
    const { store } = context;
    const nodeId = input.id ?? input.integration;
    if (nodeId == null) throw new InputError("id", "This field is required.");
    const { integration } = await requiredIntegration(store.config, nodeId, "id");
    const { configured } = await draftOf(context, integration.id, "id");
    const request = requestOfTest(store, {
      ...input,
      headers: headerList(input.headers),
      query: input.queryParameters,
      token: configured.integration.token,
    });
    const isDebug = input.debug === true;
    const executionId = await startExecution(
      context,
      {
        invokeType: "TEST_ENDPOINT",
        isTest: true,
        isDebug,
        integrationId: integration.id,
        versionId: integration.id,
        versionNumber: 0,
        instanceId: null,
        customerId: null,
        flowId: null,
        flowConfigId: null,
        flowStableKey: null,
        flowName: null,
        replayOf: null,
        request,
      },
      "TEST_ENDPOINT",
      (id) => ({ executionId: id, integrationId: integration.id, isDebug, request }),
    );
    return { testIntegrationEndpointConfigResult: await endedExecution(context, executionId) };
  },
  output: (t) => ({
    testIntegrationEndpointConfigResult: t.expose("testIntegrationEndpointConfigResult", {
      type: EndpointTestType,
      nullable: true,
      description: "How it went.",
    }),
  }),
});

interface FlowTestInput {
  payload?: string | null | undefined;
  contentType?: string | null | undefined;
  headers?: unknown;
}

async function runFlow(
  context: Context,
  { row, instance, configured, flow }: FlowConfigItem,
  input: FlowTestInput,
  isDebug: boolean,
): Promise<ExecutionItem> {
  const deployed = await runningVersion(context, instance, configured);
  const runs = flowByStableKey(deployed.definition, row.stableKey);
  if (runs === undefined) {
    throw new InputError("id", `What is deployed has no flow "${flow?.name ?? row.stableKey}".`);
  }
  const headers = headerList(input.headers);
  const { payload, contentType } = input;
  const request = requestOfTest(context.store, { payload, contentType, headers, token: row.token });
  const executionId = await startExecution(
    context,
    {
      invokeType: "TEST",
      isTest: true,
      isDebug,
      integrationId: instance.integrationId,
      versionId: deployed.version?.id ?? instance.integrationId,
      versionNumber: deployed.version?.number ?? 0,
      instanceId: instance.id,
      customerId: instance.customerId,
      flowId: deployed.flowIds.get(row.stableKey) ?? null,
      flowConfigId: row.id,
      flowStableKey: row.stableKey,
      flowName: runs.name,
      replayOf: null,
      request,
    },
    "RUN_FLOW",
    (id) => ({ executionId: id, instanceId: instance.id, flowStableKey: row.stableKey, isDebug, request }),
  );
  const execution = await loadExecution(context, executionId);
  if (execution === null) throw new Error(`The execution ${executionId} was not stored.`);
  return execution;
}

/** What the instance runs on: its deployed version, or the draft. */
async function runningVersion(
  { store }: Context,
  instance: InstanceRow,
  configured: ConfiguredVersion,
): Promise<ConfiguredVersion> {
  if (instance.isSystem === 1) return configured;
  if (instance.deployedVersionId === null) {
    throw new InputError("id", "The instance is not deployed, so there is nothing to run.");
  }
  const { integrationId, deployedVersionId } = instance;
  const running = await configuredVersionOf(store.config, { integrationId, versionId: deployedVersionId });
  if (running === null) throw notFound("id", "deployed version");
  return running;
}

async function draftOf(
  { store }: Context,
  integrationId: string,
  field: string,
): Promise<{ instance: InstanceRow; configured: ConfiguredVersion }> {
  const instance = await store.config
    .selectFrom("instances")
    .selectAll()
    .where("integrationId", "=", integrationId)
    .where("isSystem", "=", 1)
    .executeTakeFirst();
  const configured = instance === undefined ? null : await configuredVersionOf(store.config, instance);
  if (instance === undefined || configured === null) {
    throw new InputError(field, "The integration's draft is empty: import a definition first.");
  }
  return { instance, configured };
}

/** Headers as an object, as JSON of one, or nothing. */
function headerList(headers: unknown): [string, string][] {
  const parsed = typeof headers === "string" && headers !== "" ? parseJson(headers) : headers;
  if (parsed == null || parsed === "") return [];
  if (typeof parsed !== "object" || Array.isArray(parsed)) {
    throw new InputError("headers", "Headers must be an object of names and values.");
  }
  const list = Object.entries(parsed).map(([name, value]): [string, string] => [name, String(value)]);
  if (list.length > headersMax) throw new InputError("headers", `At most ${headersMax} headers.`);
  for (const [name] of list) {
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) {
      throw new InputError("headers", `"${name}" can't be the name of a header.`);
    }
  }
  return list;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new InputError("headers", "Headers must be JSON.");
  }
}

/** The execution once it has ended, or as it is when the time is up. */
async function endedExecution(context: Context, id: string): Promise<ExecutionItem> {
  const untilMs = Date.now() + endpointTestTimeoutMs;
  while (true) {
    // An admin asks, who may see executions of every customer and of none.
    const execution = await loadExecution(context, id);
    if (execution === null) throw new Error(`The execution ${id} was not stored.`);
    if (execution.endedAtMs !== null || Date.now() >= untilMs) return execution;
    await sleep(pollMs);
  }
}
