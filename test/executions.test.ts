/** Commands, reports, executions, logs, step results, rejections and replays, with a data plane played by hand. */
import { randomUUID } from "node:crypto";
import { decode, encode } from "@msgpack/msgpack";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Command } from "../shared/commands.ts";
import { newId, parseNodeId, toNodeId } from "../shared/ids.ts";
import type { ExecutionEvent, RejectionEvent, ReportEvent, StoredRequest } from "../shared/reports.ts";
import { type TestControlPlane, testControlPlane } from "./support/controlPlane.ts";
import { waitFor } from "./support/waitFor.ts";

let plane: TestControlPlane;
/** An integration of two flows with a preprocess flow, deployed to one customer. */
let setup: {
  draft: string;
  version: string;
  flowId: string;
  customer: string;
  instance: string;
  flowConfig: string;
  systemInstance: string;
};
let customerUserToken: string;

const yaml = `
definitionVersion: 7
name: Reported
endpointType: instance_specific
preprocessFlowName: Pre
flowNameField: results.flowName
flows:
${["Pre", "Main"]
  .map(
    (name) => `  - name: ${name}
    stableKey: ${name}
    steps:
      - name: Trigger
        isTrigger: true
        action: { key: webhook, component: { key: webhook-triggers, version: LATEST, isPublic: true } }
      - name: Work
        action: { key: runCode, component: { key: code, version: LATEST, isPublic: true } }
        inputs: { code: { type: value, value: "module.exports = async () => ({ data: 1 });" } }`,
  )
  .join("\n")}
`;

const idIn = (nodeId: string): string => parseNodeId(nodeId)!.id;
const nodeIdOf = (executionId: string): string => toNodeId("InstanceExecutionResult", executionId);

beforeAll(async () => {
  plane = await testControlPlane({ SWITCHYARD_DEPLOY_WAIT_MS: "1000" });
  const { importIntegration } = await plane.api(
    `mutation ($definition: String!) { importIntegration(input: { definition: $definition }) {
      integration { id flows { nodes { id name } } systemInstance { id } } errors { field messages } } }`,
    { definition: yaml },
  );
  expect(importIntegration.errors).toEqual([]);
  const { id: draft, flows, systemInstance } = importIntegration.integration;
  const { publishIntegration } = await plane.api(
    `mutation ($id: ID!) { publishIntegration(input: { id: $id }) { integration { id } errors { field messages } } }`,
    { id: draft },
  );
  expect(publishIntegration.errors).toEqual([]);
  const version = publishIntegration.integration.id;
  const { createCustomer } = await plane.api(
    `mutation { createCustomer(input: { name: "One", externalId: "one" }) { customer { id } errors { messages } } }`,
  );
  const customer = createCustomer.customer.id;
  const { createInstance } = await plane.api(
    `mutation ($version: ID!, $customer: ID!) { createInstance(input: { name: "of one", integration: $version, customer: $customer }) {
      instance { id flowConfigs { nodes { id flow { name } } } } errors { messages } } }`,
    { version, customer },
  );
  const { id: instance, flowConfigs } = createInstance.instance;
  await plane.api(`mutation ($id: ID!) { deployInstance(input: { id: $id }) { errors { messages } } }`, {
    id: instance,
  });
  const main = (nodes: { id: string; name?: string; flow?: { name: string } }[]): string =>
    nodes.find((node) => (node.name ?? node.flow?.name) === "Main")!.id;
  setup = {
    draft,
    version,
    customer,
    instance,
    flowId: main(flows.nodes),
    flowConfig: main(flowConfigs.nodes),
    systemInstance: systemInstance.id,
  };
  const { customerRoles } = await plane.api(`{ customerRoles { id } }`);
  const { createCustomerUser } = await plane.api(
    `mutation ($customer: ID!, $role: ID!) { createCustomerUser(input: { customer: $customer, role: $role, email: "u@example.com" }) { user { id } } }`,
    { customer, role: customerRoles[0].id },
  );
  const { createUserToken } = await plane.api(
    `mutation ($user: ID!) { createUserToken(input: { user: $user }) { token } }`,
    { user: createCustomerUser.user.id },
  );
  customerUserToken = createUserToken.token;
});
afterAll(() => plane?.stop());
beforeEach(async () => {
  // What an earlier test left in the queue is not this one's.
  await completeAll(await lease());
});

async function report(events: unknown[]): Promise<{ confirmed: string[]; errors: { field: string }[] }> {
  const data = await plane.as(
    plane.dataPlaneToken,
    `mutation ($events: JSON!) { reportEvents(input: { dataPlaneId: "dp", events: $events }) { confirmed errors { field messages } } }`,
    { events },
  );
  return data.reportEvents;
}

async function lease({ by = "dp", held }: { by?: string; held?: string[] } = {}): Promise<Command[]> {
  const data = await plane.as(
    plane.dataPlaneToken,
    `mutation ($by: String!, $held: [String!]) {
      leaseCommands(input: { dataPlaneId: $by, first: 100, held: $held }) { commands errors { messages } } }`,
    { by, held },
  );
  return data.leaseCommands.commands;
}

async function completeAll(commands: { id: string }[], error: string | null = null): Promise<void> {
  await plane.as(
    plane.dataPlaneToken,
    `mutation ($results: JSON!) { completeCommands(input: { dataPlaneId: "dp", results: $results }) { errors { messages } } }`,
    { results: commands.map(({ id }) => ({ id, error })) },
  );
}

const request = (): StoredRequest => ({
  method: "POST",
  pathFragment: "/more",
  query: "a=1&api_key=hidden-in-query",
  headers: [
    ["Content-Type", "application/json"],
    ["Authorization", "Bearer hidden-in-header"],
    ["X-Other", "shown"],
  ],
  body: Buffer.from(`{"n":1}`).toString("base64"),
  keyHmacs: [],
  remoteAddress: "203.0.113.1",
  receivedAtMs: Date.now(),
  requestId: randomUUID(),
  token: "the-token",
});

function event(changes: Partial<ExecutionEvent> & { id: string }): ExecutionEvent {
  return {
    kind: "execution",
    attempt: 1,
    sequence: 1,
    invokeType: "WEBHOOK",
    startedAtMs: Date.now(),
    isDebug: false,
    target: {
      integrationId: idIn(setup.draft),
      versionId: idIn(setup.version),
      versionNumber: 1,
      instanceId: idIn(setup.instance),
      customerId: idIn(setup.customer),
      customerUserId: null,
      flowId: null,
      flowConfigId: idIn(setup.flowConfig),
      flowStableKey: "Main",
      flowName: "Main",
      preprocessFlowName: "Pre",
    },
    request: null,
    replayOf: null,
    invokedBy: null,
    steps: [],
    logs: [],
    sections: [],
    finish: null,
    ...changes,
  };
}

const step = (sequence: number, part: "PREPROCESS" | "FLOW", stepName: string, data: unknown) => ({
  part,
  sequence,
  stepName,
  stepStableKey: stepName,
  startedAtMs: Date.now(),
  endedAtMs: Date.now(),
  error: null,
  results: Buffer.from(encode({ data, contentType: "application/json" })).toString("base64"),
  isTruncated: false,
});

const log = (
  sequence: number,
  part: "PREPROCESS" | "FLOW",
  message: string,
  sectionId: string | null = null,
) => ({
  part,
  sequence,
  atMs: Date.now(),
  severity: "INFO" as const,
  message,
  stepName: null,
  sectionId,
});

const finish = (status: "SUCCEEDED" | "FAILED", error: string | null = null) => ({
  status,
  endedAtMs: Date.now(),
  errorCode: error === null ? null : ("FLOW_FAILED" as const),
  error,
  answerStatus: 200,
});

const document = `query ($id: ID!) { executionResult(id: $id) {
  id status error errorCode attempt isTestExecution answerStatus flowName preprocessFlowName endedAt requestPayloadUrl requestPayload
  instance { name } customer { name } integration { versionNumber } replayForExecution { id } replays { nodes { id } }
  stepResults(orderBy: { field: ENDED_AT, direction: ASC }) { totalCount nodes { stepName part resultsUrl } }
  logs(orderBy: { field: TIMESTAMP, direction: ASC }) { totalCount nodes { severity message part sectionId } }
} }`;

const execution = async (id: string) => (await plane.api(document, { id: nodeIdOf(id) })).executionResult;
const asCustomer = async (id: string) =>
  (await plane.as(customerUserToken, document, { id: nodeIdOf(id) })).executionResult;

describe("reports", () => {
  test("make one record of both parts, and a customer sees the flow part only", async () => {
    const id = newId();
    const section = randomUUID();
    const events = [
      event({ id, request: request(), logs: [log(1, "PREPROCESS", "looking up")] }),
      event({
        id,
        sequence: 2,
        steps: [step(2, "PREPROCESS", "Trigger", { a: 1 }), step(5, "FLOW", "Work", { b: 2 })],
        logs: [log(3, "PREPROCESS", "found"), log(4, "FLOW", "working", section)],
        sections: [{ sectionId: section, label: "the work", startedAtMs: Date.now() }],
        finish: finish("SUCCEEDED"),
      }),
    ];
    expect(await report(events)).toEqual({ confirmed: [`${id}/1/1`, `${id}/1/2`], errors: [] });
    const record = await execution(id);
    expect(record).toMatchObject({
      status: "SUCCEEDED",
      attempt: 1,
      isTestExecution: false,
      answerStatus: 200,
      flowName: "Main",
      preprocessFlowName: "Pre",
      instance: { name: "of one" },
      customer: { name: "One" },
      integration: { versionNumber: 1 },
    });
    expect(record.logs.nodes.map((node: { message: string }) => node.message)).toEqual([
      "looking up",
      "found",
      "working",
    ]);
    expect(record.stepResults.totalCount).toBe(2);

    const results = await fetch(record.stepResults.nodes[1].resultsUrl);
    expect(results.status).toBe(200);
    expect(decode(new Uint8Array(await results.arrayBuffer()))).toEqual({
      data: { b: 2 },
      contentType: "application/json",
    });
    const payload = await (await fetch(record.requestPayloadUrl)).json();
    expect(payload).toMatchObject({
      headers: { Authorization: "[redacted]", "X-Other": "shown" },
      queryParameters: { a: "1", api_key: "[redacted]" },
      contentType: "application/json",
      pathFragment: "/more",
    });
    expect(Buffer.from(payload.body, "base64").toString()).toBe(`{"n":1}`);
    expect(JSON.stringify(record.requestPayload)).not.toContain("hidden-in");
    const other = record.requestPayloadUrl.replace("/payloads/", "/results/");
    expect((await fetch(other)).status).toBe(403);
    expect((await fetch(`${record.requestPayloadUrl}x`)).status).toBe(403);

    const seen = await asCustomer(id);
    expect(seen).toMatchObject({ flowName: "Main", preprocessFlowName: null });
    expect(seen.logs).toMatchObject({ totalCount: 1, nodes: [{ message: "working" }] });
    expect(seen.stepResults).toMatchObject({ totalCount: 1, nodes: [{ stepName: "Work" }] });

    const { executionSections } = await plane.api(
      `query ($id: ID!, $ids: [UUID!]) { executionSections(executionResult: $id, sectionId_In: $ids, orderBy: { field: STARTED_AT, direction: ASC }) { nodes { sectionId label } } }`,
      { id: nodeIdOf(id), ids: [section] },
    );
    expect(executionSections.nodes).toEqual([{ sectionId: section, label: "the work" }]);
  });

  test("that come twice or late change nothing: the first finish wins, an older attempt is only confirmed", async () => {
    const id = newId();
    const first = event({ id, logs: [log(1, "FLOW", "attempt 1")] });
    const second = event({
      id,
      attempt: 2,
      logs: [log(1, "FLOW", "attempt 2")],
      steps: [step(2, "FLOW", "Work", 2)],
    });
    await report([first, second]);
    await report([first]);
    const late = event({
      id,
      sequence: 2,
      steps: [step(2, "FLOW", "Work", 1)],
      finish: finish("FAILED", "too late"),
    });
    expect((await report([late])).confirmed).toEqual([`${id}/1/2`]);
    expect(await execution(id)).toMatchObject({ status: "RUNNING", attempt: 2 });
    await report([event({ id, attempt: 2, sequence: 2, finish: finish("SUCCEEDED") })]);
    await report([event({ id, attempt: 3, sequence: 1, finish: finish("FAILED", "again") })]);
    const record = await execution(id);
    expect(record).toMatchObject({
      status: "SUCCEEDED",
      attempt: 2,
      error: null,
      stepResults: { totalCount: 1 },
    });
    expect(record.logs.nodes.map((node: { message: string }) => node.message)).toEqual([
      "attempt 1",
      "attempt 2",
    ]);
  });

  test("that are broken are named, and do not hold up the others", async () => {
    const id = newId();
    const answer = await report([{ kind: "execution", id: "x" }, event({ id }), null, { kind: "nothing" }]);
    expect(answer.confirmed).toEqual([`${id}/1/1`]);
    expect(answer.errors.map((error) => error.field)).toEqual(["events.0", "events.2", "events.3"]);
    expect(
      await plane.refusal(
        customerUserToken,
        `mutation { reportEvents(input: { dataPlaneId: "x", events: [] }) { confirmed } }`,
      ),
    ).toHaveLength(1);
  });

  test("are polled with cursors that hold while the run goes on", async () => {
    const id = newId();
    const poll = async (nextCursor?: string) =>
      (
        await plane.api(
          `query ($id: ID!, $nextCursor: String) {
            logs(executionResult: $id, after: $nextCursor, orderBy: { field: TIMESTAMP, direction: ASC }) { edges { node { message } cursor } } }`,
          { id: nodeIdOf(id), nextCursor },
        )
      ).logs.edges;
    await report([event({ id, logs: [log(1, "FLOW", "a"), log(2, "FLOW", "b")] })]);
    const first = await poll();
    expect(first).toHaveLength(2);
    expect(await poll(first[1].cursor)).toEqual([]);
    await report([event({ id, sequence: 2, logs: [log(3, "FLOW", "c")], finish: finish("SUCCEEDED") })]);
    expect(await poll(first[1].cursor)).toMatchObject([{ node: { message: "c" } }]);
  });

  test("of a preprocess that failed belong to the integration, and are not the customer's to see", async () => {
    const id = newId();
    const base = event({ id });
    const unrouted = {
      instanceId: null,
      customerId: null,
      flowConfigId: null,
      flowStableKey: null,
      flowName: null,
    };
    await report([
      {
        ...base,
        target: { ...base.target, ...unrouted },
        finish: {
          ...finish("FAILED", `No flow "x". Flows: "Main".`),
          errorCode: "PREPROCESS_FAILED",
          answerStatus: 422,
        },
      } satisfies ReportEvent,
    ]);
    expect(await asCustomer(id)).toBeNull();
    const { executionResults } = await plane.api(
      `query ($integration: ID!) { executionResults(integration: $integration, instance_Isnull: true, error_Isnull: false) { nodes { id error instance { id } } } }`,
      { integration: setup.draft },
    );
    expect(executionResults.nodes).toContainEqual({
      id: nodeIdOf(id),
      error: `No flow "x". Flows: "Main".`,
      instance: null,
    });
  });

  test("are listed by time, newest first, and filtered", async () => {
    const ids = [newId(), newId(), newId()];
    const startedAtMs = Date.now() + 60_000;
    await report(ids.map((id, index) => event({ id, startedAtMs: startedAtMs + index })));
    const since = new Date(startedAtMs).toISOString();
    const { executionResults } = await plane.api(
      `query ($since: DateTime, $instance: ID) { executionResults(first: 2, startedAt_Gte: $since, instance: $instance, isTestExecution: false, status: RUNNING) { totalCount pageInfo { hasNextPage } nodes { id } } }`,
      { since, instance: setup.instance },
    );
    expect(executionResults).toEqual({
      totalCount: 3,
      pageInfo: { hasNextPage: true },
      nodes: [{ id: nodeIdOf(ids[2]!) }, { id: nodeIdOf(ids[1]!) }],
    });
  });
});

describe("commands", () => {
  test("testIntegrationFlow runs the draft for the test customer; its execution can be polled at once", async () => {
    const { testIntegrationFlow } = await plane.api(
      `mutation ($id: ID!) { testIntegrationFlow(input: { id: $id, payload: "{}", headers: "{\\"X-A\\":\\"1\\"}", debug: true }) {
        testIntegrationFlowResult { flow { name } execution { id status isTestExecution customer { isSystem } } } errors { field messages } } }`,
      { id: setup.flowId },
    );
    expect(testIntegrationFlow.errors).toEqual([]);
    const result = testIntegrationFlow.testIntegrationFlowResult;
    expect(result).toMatchObject({
      flow: { name: "Main" },
      execution: { status: "QUEUED", isTestExecution: true, customer: { isSystem: true } },
    });
    const [command, ...rest] = await lease();
    expect(rest).toEqual([]);
    expect(command).toMatchObject({
      kind: "RUN_FLOW",
      attempts: 1,
      payload: {
        instanceId: idIn(setup.systemInstance),
        flowStableKey: "Main",
        isDebug: true,
        request: {
          headers: [
            ["X-A", "1"],
            ["Content-Type", "application/json"],
          ],
          body: "e30=",
        },
      },
    });
    // Leased, so nobody else gets it, nor does it come twice to who has it in hand.
    expect(await lease()).toEqual([]);
    expect(await lease({ held: [command!.id] })).toEqual([]);
    expect(await lease({ by: "other", held: [] })).toEqual([]);
    // Who says that it has nothing in hand never got it, or has lost it.
    expect(await lease({ held: [] })).toMatchObject([{ id: command!.id, attempts: 2 }]);
    const id = idIn(result.execution.id);
    await report([event({ id, invokeType: "TEST", finish: finish("SUCCEEDED") })]);
    expect(await execution(id)).toMatchObject({ status: "SUCCEEDED", isTestExecution: true });
  });

  test("that fail end the execution that they stand for", async () => {
    const { testInstanceFlowConfig } = await plane.api(
      `mutation ($id: ID!) { testInstanceFlowConfig(input: { id: $id, payload: "x", contentType: "text/plain" }) {
        testInstanceFlowConfigResult { flowConfig { id } execution { id } } errors { field messages } } }`,
      { id: setup.flowConfig },
    );
    const { execution: started, flowConfig } = testInstanceFlowConfig.testInstanceFlowConfigResult;
    expect(flowConfig.id).toBe(setup.flowConfig);
    await completeAll(await lease(), "the instance is not here");
    expect(await execution(idIn(started.id))).toMatchObject({
      status: "FAILED",
      error: "the instance is not here",
    });
  });

  test("testIntegrationEndpointConfig waits for the end and says how it was routed", async () => {
    const answer = plane.api(
      `mutation ($id: ID!) { testIntegrationEndpointConfig(input: { integration: $id, payload: "{}", headers: { A: "1" }, method: "POST" }) {
        testIntegrationEndpointConfigResult { isFinished statusCode routingError flowName execution { id isTestExecution } } errors { field messages } } }`,
      { id: setup.draft },
    );
    const [command] = await waitFor(async () => {
      const commands = await lease();
      return commands.length > 0 && commands;
    });
    expect(command).toMatchObject({ kind: "TEST_ENDPOINT", payload: { integrationId: idIn(setup.draft) } });
    const id = (command as { payload: { executionId: string } }).payload.executionId;
    const base = event({ id, invokeType: "TEST_ENDPOINT" });
    await report([
      {
        ...base,
        target: { ...base.target, instanceId: null, customerId: null, flowName: null },
        finish: { ...finish("FAILED", "no such flow"), errorCode: "FLOW_NOT_FOUND", answerStatus: 422 },
      },
    ]);
    const { testIntegrationEndpointConfig } = await answer;
    expect(testIntegrationEndpointConfig).toEqual({
      errors: [],
      testIntegrationEndpointConfigResult: {
        isFinished: true,
        statusCode: 422,
        routingError: "no such flow",
        flowName: null,
        execution: { id: nodeIdOf(id), isTestExecution: true },
      },
    });
  });

  test("of a deploy: a package that can't be loaded undoes it", async () => {
    const follow = new AbortController();
    const stream = await fetch(`${plane.url}/api`, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        Accept: "text/event-stream",
        Authorization: `Bearer ${plane.dataPlaneToken}`,
      },
      body: JSON.stringify({ query: `subscription { feed(dataPlaneId: "dp", name: "played") { version } }` }),
      signal: follow.signal,
    });
    try {
      const reader = stream.body!.getReader();
      await reader.read();
      const deploying = plane.api(
        `mutation ($id: ID!) { deployInstance(input: { id: $id }) { instance { id } pendingDataPlanes errors { field messages } } }`,
        { id: setup.instance },
      );
      const commands = await waitFor(async () => {
        const leased = await lease();
        return leased.length > 0 && leased;
      });
      expect(commands).toMatchObject([
        { kind: "PREPARE_DEPLOY", payload: { instanceId: idIn(setup.instance) } },
      ]);
      await completeAll(commands, "its package has no index.js");
      expect((await deploying).deployInstance.errors).toEqual([
        { field: "__all__", messages: ["The deploy was undone: its package has no index.js"] },
      ]);
      const { instance } = await plane.api(
        `query ($id: ID!) { instance(id: $id) { needsDeploy deployedVersion { versionNumber } } }`,
        { id: setup.instance },
      );
      expect(instance).toEqual({ needsDeploy: true, deployedVersion: { versionNumber: 1 } });
      const { updateInstance } = await plane.api(
        `mutation ($id: ID!) { updateInstance(input: { id: $id, description: "changed" }) { pendingDataPlanes errors { messages } } }`,
        { id: setup.instance },
      );
      // It never acknowledges, so it is named after the wait.
      expect(updateInstance).toEqual({ pendingDataPlanes: ["played"], errors: [] });
    } finally {
      follow.abort();
    }
  });
});

describe("rejections and replays", () => {
  const rejection = (changes: Partial<RejectionEvent>): RejectionEvent => ({
    kind: "rejection",
    id: newId(),
    atMs: Date.now(),
    code: "INSTANCE_PAUSED",
    status: 409,
    reason: "The instance is paused.",
    requestId: randomUUID(),
    integrationId: idIn(setup.draft),
    instanceId: idIn(setup.instance),
    customerId: idIn(setup.customer),
    method: "POST",
    remoteAddress: "203.0.113.9",
    count: 1,
    request: request(),
    ...changes,
  });
  const replayRejection = async (id: string) =>
    (
      await plane.api(
        `mutation ($id: ID!) { replayRejection(input: { id: $id }) { execution { id status invokeType } rejection { replayedBy { id } } errors { field messages } } }`,
        { id: toNodeId("Rejection", id) },
      )
    ).replayRejection;

  test("are read by the organization, and the kept ones can be replayed", async () => {
    const paused = rejection({});
    const refused = rejection({ code: "KEY_REFUSED", status: 401, request: null });
    expect((await report([paused, refused, paused])).confirmed).toEqual([paused.id, refused.id, paused.id]);
    const { rejections } = await plane.api(
      `query ($instance: ID) { rejections(instance: $instance, isReplayable: true) { nodes { id code status reason isReplayable count instance { name } requestPayload } } }`,
      { instance: setup.instance },
    );
    expect(rejections.nodes).toMatchObject([
      {
        id: toNodeId("Rejection", paused.id),
        code: "INSTANCE_PAUSED",
        status: 409,
        instance: { name: "of one" },
      },
    ]);
    expect(JSON.stringify(rejections)).not.toContain("hidden-in");
    expect(await plane.refusal(customerUserToken, `{ rejections { totalCount } }`)).toHaveLength(1);
    expect((await replayRejection(refused.id)).errors[0].messages[0]).toMatch(/401 can't be sent again/);
    const replayed = await replayRejection(paused.id);
    expect(replayed).toMatchObject({
      errors: [],
      execution: { status: "QUEUED", invokeType: "REPLAY" },
      rejection: { replayedBy: { id: replayed.execution.id } },
    });
    expect(await lease()).toMatchObject([
      { kind: "REPLAY", payload: { executionId: idIn(replayed.execution.id), request: paused.request } },
    ]);
  });

  test("an execution is repeated with its request, and linked", async () => {
    const replay = async (id: string) =>
      (
        await plane.api(
          `mutation ($id: ID!) { replayExecution(input: { id: $id }) { execution { id replayForExecution { id } } errors { field messages } } }`,
          { id: nodeIdOf(id) },
        )
      ).replayExecution;
    const [whole, empty, running] = [newId(), newId(), newId()];
    const kept = request();
    await report([
      event({ id: whole, request: kept, finish: finish("FAILED", "broke") }),
      event({ id: empty, finish: finish("SUCCEEDED") }),
      event({ id: running, request: kept }),
    ]);
    expect((await replay(empty)).errors[0].messages[0]).toMatch(/not stored/);
    expect((await replay(running)).errors[0].messages[0]).toMatch(/not ended/);
    const replayed = await replay(whole);
    expect(replayed.execution.replayForExecution.id).toBe(nodeIdOf(whole));
    expect(await lease()).toMatchObject([{ kind: "REPLAY", payload: { replayOf: whole, request: kept } }]);
    expect((await execution(whole)).replays.nodes).toEqual([{ id: replayed.execution.id }]);
  });
});
