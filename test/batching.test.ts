/** Triggers that give lists: real planes, a real bundle, a third party that sees each batch. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ensureCustomer } from "../shared/scripts/deployInstance.ts";
import { endedExecution, messagesOf } from "./support/executionRecord.ts";
import { graphql } from "./support/graphql.ts";
import { bootPlanes, type TestPlanes } from "./support/planes.ts";
import { publishAndDeploy, publishFixture } from "./support/publishAndDeploy.ts";
import { sendWebhook } from "./support/sendWebhook.ts";
import { startThirdParty, type ThirdParty } from "./support/thirdParty.ts";
import { waitFor } from "./support/waitFor.ts";

let planes: TestPlanes;
let thirdParty: ThirdParty;
let instanceId: string;
let webhookUrls: Record<string, string>;

// biome-ignore lint/suspicious/noExplicitAny: tests read whatever their own document asked for.
const api = (document: string, variables: Record<string, unknown> = {}): Promise<any> =>
  graphql(planes.controlUrl, planes.adminToken, document, variables);

beforeAll(async () => {
  planes = await bootPlanes({ environment: { SWITCHYARD_RUN_THREADS: "2" } });
  thirdParty = await startThirdParty();
  const version = await publishFixture(planes, "batches");
  const customer = await ensureCustomer(planes.api, { name: "Acme", externalId: "acme" });
  const configVariables = [{ key: "Third Party", value: thirdParty.url }];
  const { createInstance } = await api(
    `mutation ($customer: ID!, $integration: ID!, $configVariables: [InputInstanceConfigVariable]) {
      createInstance(input: { name: "Batches", customer: $customer, integration: $integration, configVariables: $configVariables }) {
        instance { id flowConfigs { nodes { flow { name } webhookUrl } } } errors { messages }
      }
    }`,
    { customer, integration: version.versionId, configVariables },
  );
  instanceId = createInstance.instance.id;
  webhookUrls = Object.fromEntries(
    // biome-ignore lint/suspicious/noExplicitAny: as above.
    createInstance.instance.flowConfigs.nodes.map((node: any) => [node.flow.name, node.webhookUrl]),
  );
}, 60_000);

beforeEach(() => {
  thirdParty.told.length = 0;
  thirdParty.holding.clear();
});

afterAll(async () => {
  await planes?.stop();
  await thirdParty?.stop();
});

const told = (path: string) => thirdParty.told.filter((each) => each.path === path).map(({ body }) => body);

interface Run {
  id: string;
  status: string;
  invokeType: string;
  invokedBy: { id: string } | null;
  requestPayload: { invocation?: { kind: string; page?: number; index?: number } };
  stepResults: { nodes: { stepName: string }[] };
}

async function runsOf(flowName: string): Promise<Run[]> {
  const { executionResults } = await api(
    `query ($instance: ID!, $flowName: String!) {
      executionResults(instance: $instance, flowName: $flowName, first: 100, orderBy: { field: STARTED_AT, direction: ASC }) {
        nodes { id status invokeType invokedBy { id } requestPayload stepResults { nodes { stepName } } }
      }
    }`,
    { instance: instanceId, flowName },
  );
  return executionResults.nodes;
}

/** Those that follow from one, once there are so many and all have ended well. */
const followers = (flowName: string, rootId: string, count: number) =>
  waitFor(async () => {
    const found = (await runsOf(flowName)).filter((run) => run.invokedBy?.id === rootId);
    return found.length === count && found.every((run) => run.status === "SUCCEEDED") ? found : null;
  }, 20_000);

const send = async (flowName: string, order: object): Promise<string> => {
  const answer = await sendWebhook(webhookUrls[flowName]!, { body: order });
  expect(answer.status).toBe(200);
  return answer.executionId!;
};

describe("a flow with a batched trigger", () => {
  test("has its first sync worked on in batches", async () => {
    const { deployInstance } = await api(
      "mutation ($id: ID!) { deployInstance(input: { id: $id }) { errors { messages } } }",
      { id: instanceId },
    );
    expect(deployInstance.errors).toEqual([]);
    const root = await waitFor(async () =>
      (await runsOf("Singles")).find((run) => run.requestPayload.invocation?.kind === "deploy"),
    );
    const batches = await followers("Singles", root.id, 2);
    expect(batches.map((run) => run.invokeType)).toEqual(["DEPLOY_FLOW", "DEPLOY_FLOW"]);
    expect(told("batch")).toEqual([{ id: 100 }, { id: 101 }]);
    expect(told("page")).toEqual([]);
  });

  test("works on each batch in an execution of its own, page by page", async () => {
    const rootId = await send("Pairs", { pages: 3, perPage: 3 });
    const found = await followers("Pairs", rootId, 8);
    const root = await endedExecution(planes, rootId);
    expect(root.stepResults.nodes.map((step) => step.stepName)).toEqual(["On Trigger"]);
    expect(messagesOf(root)).toContain(
      "The trigger's items were split into 2 batches; the next page follows.",
    );
    expect(told("page")).toEqual([0, 1, 2].map((page) => ({ page, batch: { enabled: true, batchSize: 2 } })));
    const ids = told("batch").map((batch: { id: number }[]) => batch.map(({ id }) => id));
    expect(ids.sort((a: number[], b: number[]) => a[0]! - b[0]!)).toEqual([
      [0, 1],
      [2],
      [3, 4],
      [5],
      [6, 7],
      [8],
    ]);
    const kinds = Map.groupBy(found, (run) => run.requestPayload.invocation!.kind);
    expect(kinds.get("page")).toHaveLength(2);
    for (const run of kinds.get("batch")!) {
      expect(run.invokeType).toBe("WEBHOOK");
      expect(run.stepResults.nodes.map((step) => step.stepName).sort()).toEqual([
        "On Execution",
        "On Trigger",
      ]);
    }
  }, 30_000);

  test("works on no more batches at once than it says", async () => {
    let release = () => {};
    thirdParty.holding.set("batch", new Promise((resolve) => (release = resolve)));
    const rootId = await send("Singles", { pages: 2, perPage: 2 });
    await waitFor(() => told("batch").length > 0);
    await waitFor(async () => (await runsOf("Pairs")).length > 0);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(told("batch")).toEqual([{ id: 0 }]);
    // The second page waits behind the batches of the first.
    expect(told("page")).toHaveLength(1);
    release();
    await followers("Singles", rootId, 5);
    expect(told("batch")).toEqual([{ id: 0 }, { id: 1 }, { id: 2 }, { id: 3 }]);
  }, 30_000);

  test("loses none of them, and makes none twice, when the data plane is killed", async () => {
    let release = () => {};
    thirdParty.holding.set("batch", new Promise((resolve) => (release = resolve)));
    const rootId = await send("Singles", { pages: 3, perPage: 4 });
    await waitFor(() => told("batch").length > 0);
    await planes.data.kill();
    release();
    thirdParty.holding.clear();
    await planes.data.start();
    const found = await followers("Singles", rootId, 14);
    const places = found.map(({ requestPayload: { invocation } }) => JSON.stringify(invocation));
    expect(new Set(places).size).toBe(14);
    const worked = new Set(told("batch").map(({ id }: { id: number }) => id));
    expect([...worked].sort((a, b) => a - b)).toEqual(Array.from({ length: 12 }, (_, index) => index));
  }, 60_000);

  test("goes on while the control plane is away", async () => {
    await planes.control.kill();
    const rootId = await send("Pairs", { pages: 2, perPage: 2 });
    await waitFor(() => told("batch").length === 2, 20_000);
    await planes.control.start();
    await followers("Pairs", rootId, 3);
  }, 60_000);

  test("whose items are no list fails, and says so", async () => {
    const answer = await sendWebhook(webhookUrls["Unlisted"]!, { body: {} });
    expect(answer.status).toBe(500);
    expect(await endedExecution(planes, answer.executionId!)).toMatchObject({
      status: "FAILED",
      errorCode: "BATCH_INVALID",
      error: "On Trigger: The trigger's resolveItems returned no list.",
    });
  });

  test("is routed to by a preprocess flow like any other", async () => {
    const { instances } = await publishAndDeploy(planes, "batches-routed", ["routed"]);
    const answer = await sendWebhook(instances["routed"]!.webhookUrls["Numbers"]!, { body: {} });
    expect(answer.status).toBe(200);
    const messages = await waitFor(async () => {
      const { executionResults } = await api(
        `query ($instance: ID!) { executionResults(instance: $instance, first: 100) { nodes { id status invokedBy { id } } } }`,
        { instance: instances["routed"]!.instanceId },
      );
      // biome-ignore lint/suspicious/noExplicitAny: as above.
      const batches = executionResults.nodes.filter((run: any) => run.invokedBy?.id === answer.executionId);
      // biome-ignore lint/suspicious/noExplicitAny: as above.
      if (batches.length < 3 || batches.some((run: any) => run.status !== "SUCCEEDED")) return null;
      // biome-ignore lint/suspicious/noExplicitAny: as above.
      return Promise.all(batches.map(async (run: any) => messagesOf(await endedExecution(planes, run.id))));
    }, 20_000);
    const found = messages.flat().filter((message: string) => message.startsWith("got "));
    expect(found.sort()).toEqual(["got 1", "got 2", "got 3"]);
  });
});
