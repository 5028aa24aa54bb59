/** What runs as an instance is deployed, moved and removed: real planes, a real bundle, a third party on a socket. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ensureCustomer } from "../shared/scripts/deployInstance.ts";
import { endedExecution, messagesOf } from "./support/executionRecord.ts";
import { graphql } from "./support/graphql.ts";
import { bootPlanes, type TestPlanes } from "./support/planes.ts";
import { publishFixture, publishYamlFixture } from "./support/publishAndDeploy.ts";
import { sendWebhook } from "./support/sendWebhook.ts";
import { startThirdParty, type ThirdParty } from "./support/thirdParty.ts";
import { waitFor } from "./support/waitFor.ts";

let planes: TestPlanes;
let thirdParty: ThirdParty;
let version: Awaited<ReturnType<typeof publishFixture>>;

beforeAll(async () => {
  planes = await bootPlanes({ environment: { SWITCHYARD_HOOK_TIMEOUT_MS: "4000" } });
  thirdParty = await startThirdParty();
  version = await publishFixture(planes, "lifecycle");
}, 60_000);

beforeEach(() => {
  thirdParty.told.length = 0;
  thirdParty.failing.clear();
  thirdParty.holding.clear();
});

afterAll(async () => {
  await planes?.stop();
  await thirdParty?.stop();
});

// biome-ignore lint/suspicious/noExplicitAny: tests read whatever their own document asked for.
const api = (document: string, variables: Record<string, unknown> = {}): Promise<any> =>
  graphql(planes.controlUrl, planes.adminToken, document, variables);

async function createInstance(externalId: string, versionId = version.versionId): Promise<string> {
  const customer = await ensureCustomer(planes.api, { name: externalId, externalId });
  const { createInstance: created } = await api(
    `mutation ($customer: ID!, $integration: ID!, $configVariables: [InputInstanceConfigVariable]) {
      createInstance(input: { name: "Lifecycle", customer: $customer, integration: $integration, configVariables: $configVariables }) {
        instance { id } errors { messages }
      }
    }`,
    { customer, integration: versionId, configVariables: [{ key: "Third Party", value: thirdParty.url }] },
  );
  expect(created.errors).toEqual([]);
  return created.instance.id;
}

async function deploy(id: string): Promise<string[]> {
  const { deployInstance } = await api(
    "mutation ($id: ID!) { deployInstance(input: { id: $id }) { instance { needsDeploy } errors { messages } } }",
    { id },
  );
  // biome-ignore lint/suspicious/noExplicitAny: as above.
  return deployInstance.errors.flatMap((error: any) => error.messages);
}

async function remove(id: string): Promise<string[]> {
  const { deleteInstance } = await api(
    "mutation ($id: ID!) { deleteInstance(input: { id: $id }) { lifecycleProblems errors { messages } } }",
    { id },
  );
  expect(deleteInstance.errors).toEqual([]);
  return deleteInstance.lifecycleProblems;
}

const stateOf = async (id: string) =>
  (
    await api(
      "query ($id: ID!) { instance(id: $id) { needsDeploy lastDeployedAt deployedVersion { versionNumber } } }",
      { id },
    )
  ).instance;

interface Run {
  id: string;
  flowName: string;
  invokeType: string;
  status: string;
  requestPayload: { invocation: { kind: string; hook?: string } };
}

/** The instance's executions, the oldest first. */
async function runsOf(instance: string): Promise<Run[]> {
  const { executionResults } = await api(
    `query ($instance: ID!) {
      executionResults(instance: $instance, first: 100, orderBy: { field: STARTED_AT, direction: ASC }) {
        nodes { id flowName invokeType status requestPayload }
      }
    }`,
    { instance },
  );
  return executionResults.nodes;
}

const pathsTold = (): string[] => thirdParty.told.map(({ path }) => path);

describe("a deploy", () => {
  test("calls onInstanceDeploy and the webhook's create with the new version, then the first sync, once", async () => {
    const id = await createInstance("deployed");
    expect(await deploy(id)).toEqual([]);
    expect(await stateOf(id)).toMatchObject({ needsDeploy: false, deployedVersion: { versionNumber: 1 } });
    await waitFor(() => pathsTold().includes("onExecution"));
    expect(pathsTold()).toEqual(["onInstanceDeploy", "create", "onDeployTrigger", "onExecution"]);
    expect(thirdParty.told[1]!.body.url).toContain(`${planes.ingressUrl}/trigger/`);
    expect(thirdParty.told[3]!.body).toEqual({ body: { records: 3 } });
    const runs = await waitFor(async () => {
      const found = await runsOf(id);
      return found.every((run) => run.status === "SUCCEEDED") ? found : null;
    });
    expect(runs.map((run) => [run.flowName, run.invokeType, run.requestPayload.invocation])).toEqual([
      ["Orders", "DEPLOY_FLOW", { kind: "hook", hook: "onInstanceDeploy", timeoutMs: 4000 }],
      ["Orders", "DEPLOY_FLOW", { kind: "hook", hook: "webhookCreate", timeoutMs: 4000 }],
      ["Sync", "DEPLOY_FLOW", { kind: "deploy" }],
    ]);
    const record = await endedExecution(planes, runs[0]!.id);
    expect(messagesOf(record)).toContain("Telling onInstanceDeploy");
    expect(record.stepResults.nodes.map((step) => step.stepName)).toEqual(["On Trigger"]);

    // Hooks run at each deploy, the sync at the first one only.
    thirdParty.told.length = 0;
    expect(await deploy(id)).toEqual([]);
    await waitFor(async () => (await runsOf(id)).filter((run) => run.status === "SUCCEEDED").length === 5);
    expect(pathsTold()).toEqual(["onInstanceDeploy", "create"]);
  });

  test("whose hook fails is undone, and says which one and why", async () => {
    const id = await createInstance("refused");
    thirdParty.failing.set("create", "no more webhooks for you");
    expect(await deploy(id)).toEqual([
      'The deploy was undone: webhookCreate of flow "Orders" failed: On Trigger: webhookCreate: no more webhooks for you',
    ]);
    expect(await stateOf(id)).toEqual({ needsDeploy: true, lastDeployedAt: null, deployedVersion: null });
    const failed = (await runsOf(id)).at(-1)!;
    expect(await endedExecution(planes, failed.id)).toMatchObject({
      status: "FAILED",
      errorCode: "HOOK_FAILED",
    });

    // It was no first deploy: the sync comes with the one that succeeds.
    thirdParty.failing.clear();
    thirdParty.told.length = 0;
    expect(await deploy(id)).toEqual([]);
    await waitFor(() => pathsTold().includes("onExecution"));

    // A later deploy that fails leaves what was there.
    const before = await stateOf(id);
    thirdParty.failing.set("onInstanceDeploy", "not now");
    expect((await deploy(id))[0]).toContain(
      'onInstanceDeploy of flow "Orders" failed: On Trigger: onInstanceDeploy: not now',
    );
    expect(await stateOf(id)).toEqual({ ...before, needsDeploy: true });
  });

  test("does not wait for a hook for ever", async () => {
    const id = await createInstance("slow");
    let answer = () => {};
    thirdParty.holding.set("onInstanceDeploy", new Promise((resolve) => (answer = resolve)));
    const deploying = deploy(id);
    await waitFor(() => pathsTold().includes("onInstanceDeploy"));
    expect(await deploy(id)).toEqual([
      "The instance is being deployed or removed already. Wait until that has ended, and try again.",
    ]);
    expect((await deploying)[0]).toContain("It did not end within 4000 ms.");
    answer();
  }, 20_000);

  test("whose control plane dies while a hook runs is still to be done, and is done by the next one", async () => {
    const id = await createInstance("interrupted");
    let answer = () => {};
    thirdParty.holding.set("create", new Promise((resolve) => (answer = resolve)));
    const deploying = deploy(id).catch(() => []);
    await waitFor(() => pathsTold().includes("create"));
    await planes.control.kill();
    answer();
    await deploying;
    await planes.control.start();
    expect(await stateOf(id)).toMatchObject({ needsDeploy: true });
    thirdParty.holding.clear();
    thirdParty.told.length = 0;
    await waitFor(async () => (await deploy(id)).length === 0);
    await waitFor(() => pathsTold().includes("onExecution"));
    expect(await stateOf(id)).toMatchObject({ needsDeploy: false, deployedVersion: { versionNumber: 1 } });
    expect(pathsTold().filter((path) => path === "onDeployTrigger")).toHaveLength(1);
  }, 30_000);

  test("does not wait behind what else the instance has to do", async () => {
    const id = await createInstance("busy");
    expect(await deploy(id)).toEqual([]);
    await waitFor(() => pathsTold().includes("onExecution"));
    const { instance } = await api(
      "query ($id: ID!) { instance(id: $id) { flowConfigs { nodes { flow { name } webhookUrl } } } }",
      { id },
    );
    // biome-ignore lint/suspicious/noExplicitAny: as above.
    const { webhookUrl } = instance.flowConfigs.nodes.find((node: any) => node.flow.name === "Sync");
    let answer = () => {};
    thirdParty.holding.set("onExecution", new Promise((resolve) => (answer = resolve)));
    // More than the instance's slots.
    await Promise.all(Array.from({ length: 60 }, () => sendWebhook(webhookUrl, { body: {} })));
    expect(await deploy(id)).toEqual([]);
    answer();
    // None of them is left over for the next test.
    await waitFor(() => pathsTold().filter((path) => path === "onExecution").length === 61);
  }, 30_000);

  test("with hooks is refused while there is nobody to run them", async () => {
    const id = await createInstance("nobody");
    await planes.data.stop();
    try {
      await waitFor(async () => (await deploy(id))[0]?.includes("no data plane is connected to run them"));
      expect(await stateOf(id)).toMatchObject({ deployedVersion: null });
    } finally {
      await planes.data.start();
    }
    await waitFor(async () => (await deploy(id)).length === 0);
    expect(await stateOf(id)).toMatchObject({ deployedVersion: { versionNumber: 1 } });
    await waitFor(() => pathsTold().includes("onExecution"));
  }, 30_000);
});

describe("removing an instance", () => {
  test("calls the webhook's delete and onInstanceDelete, with the states that the others have left", async () => {
    const id = await createInstance("removed");
    expect(await deploy(id)).toEqual([]);
    const webhookId = `webhook-${pathsTold().indexOf("create") + 1}`;
    await waitFor(() => pathsTold().includes("onExecution"));
    thirdParty.told.length = 0;
    expect(await remove(id)).toEqual([]);
    expect(thirdParty.told).toEqual([
      { path: "delete", body: { id: webhookId } },
      { path: "onInstanceDelete", body: { state: { deployed: true } } },
    ]);
    expect(await stateOf(id)).toBeNull();
  });

  test("goes on where a hook fails, and says what is left to be done", async () => {
    const id = await createInstance("stubborn");
    expect(await deploy(id)).toEqual([]);
    thirdParty.failing.set("delete", "that webhook is locked");
    expect(await remove(id)).toEqual([
      'webhookDelete of flow "Orders" failed: On Trigger: webhookDelete: that webhook is locked',
    ]);
    expect(pathsTold()).toContain("onInstanceDelete");
    expect(await stateOf(id)).toBeNull();
  });
});

describe("listening to a draft", () => {
  test("has its webhooks made for tests, and removed again", async () => {
    const listen = async (isListening: boolean) => {
      // As prism sends it.
      const { updateWorkflowTestConfiguration } = await api(
        `mutation UpdateIntegrationFlowListeningMode($integrationId: ID!, $isListening: Boolean) {
          updateWorkflowTestConfiguration(input: { id: $integrationId, listeningMode: $isListening }) { errors { field messages } }
        }`,
        { integrationId: version.integrationId, isListening },
      );
      return updateWorkflowTestConfiguration.errors;
    };
    const configVariables = [{ key: "Third Party", value: thirdParty.url }];
    const { updateIntegration } = await api(
      `mutation ($id: ID!, $configVariables: [InputInstanceConfigVariable]) {
        updateIntegration(input: { id: $id, testConfigVariables: $configVariables }) {
          integration { systemInstance { id } } errors { messages }
        }
      }`,
      { id: version.integrationId, configVariables },
    );
    expect(updateIntegration.errors).toEqual([]);
    expect(await listen(true)).toEqual([]);
    expect(await listen(false)).toEqual([]);
    expect(thirdParty.told).toEqual([
      { path: "create", body: { url: expect.stringContaining(planes.ingressUrl) } },
      { path: "delete", body: { id: "webhook-1" } },
    ]);
    const { executionResults } = await api(
      `query ($id: ID!) { executionResults(instance: $id, first: 10) { nodes { isTestExecution status } } }`,
      { id: updateIntegration.integration.systemInstance.id },
    );
    expect(executionResults.nodes).toEqual(Array(2).fill({ isTestExecution: true, status: "SUCCEEDED" }));
    thirdParty.failing.set("create", "not here");
    expect(await listen(true)).toEqual([
      {
        field: "__all__",
        messages: ['webhookCreate of flow "Orders" failed: On Trigger: webhookCreate: not here'],
      },
    ]);
  });
});

describe("a flow with a management trigger", () => {
  test("runs at each deploy, or as its instance is removed, and never keeps either", async () => {
    const managed = await publishYamlFixture(planes, "management-flows");
    const id = await createInstance("managed", managed.versionId);
    expect(await deploy(id)).toEqual([]);
    await waitFor(async () => (await runsOf(id)).filter((run) => run.status === "SUCCEEDED").length === 1);
    expect(await deploy(id)).toEqual([]);
    const runs = await waitFor(async () => {
      const found = await runsOf(id);
      return found.length === 2 && found.every((run) => run.status === "SUCCEEDED") ? found : null;
    });
    expect(runs.map((run) => [run.flowName, run.invokeType])).toEqual([
      ["Set Up", "DEPLOY_FLOW"],
      ["Set Up", "DEPLOY_FLOW"],
    ]);
    expect(thirdParty.told).toEqual(Array(2).fill({ path: "setUp", body: { body: null } }));
    thirdParty.failing.set("tearDown", "it will not go");
    expect(await remove(id)).toEqual(['Flow "Tear Down" failed: Tell: it will not go']);
    expect(thirdParty.told.at(-1)).toEqual({ path: "tearDown", body: { state: { isSetUp: true } } });
    expect((await runsOf(id)).at(-1)).toMatchObject({ flowName: "Tear Down", invokeType: "TEAR_DOWN_FLOW" });
  });
});
