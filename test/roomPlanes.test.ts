/** The room where flows run, as an admin sees it: versions that are held back, modules of an instance's own. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { endedExecution, executionRecord } from "./support/executionRecord.ts";
import { graphql } from "./support/graphql.ts";
import { metricNames, readMetrics } from "./support/metrics.ts";
import { bootPlanes, type TestPlanes } from "./support/planes.ts";
import { publishAndDeploy, publishFixture } from "./support/publishAndDeploy.ts";
import { sendWebhook } from "./support/sendWebhook.ts";
import { waitFor } from "./support/waitFor.ts";

let planes: TestPlanes;
let urls: Record<string, Record<string, string>>;
let versionId: string;
let integrationId: string;

const api = (document: string, variables: Record<string, unknown> = {}) =>
  graphql(planes.controlUrl, planes.adminToken, document, variables);

beforeAll(async () => {
  planes = await bootPlanes({
    environment: {
      SWITCHYARD_RUN_THREADS: "1",
      SWITCHYARD_RUN_BLOCKED_TIMEOUT_MS: "1000",
      SWITCHYARD_THREAD_DEATHS_MAX: "2",
      // Longer than the test: what ends it is what the test does.
      SWITCHYARD_HOLD_BACK_MS: "600000",
    },
  });
  const { version, instances } = await publishAndDeploy(planes, "room", ["hatters", "rockets"]);
  ({ versionId, integrationId } = version);
  urls = Object.fromEntries(
    Object.entries(instances).map(([customer, { webhookUrls }]) => [customer, webhookUrls]),
  );
});
afterAll(() => planes?.stop());

const send = (customer: string, flowName: string, body: object = {}) =>
  sendWebhook(urls[customer]![flowName]!, { body });
const countOf = async (customer: string): Promise<number> => (await send(customer, "Count")).json.count;

test("instances share their version's module, until the integration says that each has its own", async () => {
  expect([await countOf("hatters"), await countOf("rockets"), await countOf("hatters")]).toEqual([1, 2, 3]);
  const isolate = async (isolation: string) => {
    const { updateIntegration } = await api(
      `mutation ($id: ID!, $isolation: IntegrationIsolation) {
        updateIntegration(input: { id: $id, isolation: $isolation }) { integration { isolation } errors { messages } }
      }`,
      { id: integrationId, isolation },
    );
    expect(updateIntegration).toEqual({ integration: { isolation }, errors: [] });
  };
  await isolate("INSTANCE");
  await waitFor(async () => (await countOf("hatters")) === 1);
  expect(await countOf("hatters")).toBe(2);
  expect([await countOf("rockets"), await countOf("rockets"), await countOf("hatters")]).toEqual([1, 2, 3]);
  await isolate("VERSION");
  await waitFor(async () => (await countOf("hatters")) > 3);
});

test("a version whose runs keep killing threads is held back: what comes for it waits until it is released", async () => {
  const killers = [
    await send("hatters", "Deadly", { death: "exit" }),
    await send("hatters", "Deadly", { death: "exit" }),
  ];
  for (const { executionId } of killers)
    expect(await endedExecution(planes, executionId!)).toMatchObject({ errorCode: "RUN_KILLED_THREAD" });

  const waiting = await send("rockets", "Deadly");
  expect(waiting.status).toBe(200);
  const refused = await send("rockets", "Count");
  expect(refused).toMatchObject({ status: 503, json: { error: { code: "BUNDLE_HELD_BACK" } } });
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
  expect(await endedExecution(planes, refused.json.executionId)).toMatchObject({
    status: "FAILED",
    errorCode: "BUNDLE_HELD_BACK",
    error: expect.stringContaining("took 2 threads down"),
  });

  const held = await waitFor(async () => {
    const { heldBackVersions } = await api(
      `{ heldBackVersions { dataPlane threadsLost reason since until waitingExecutions
        integration { id heldBack { threadsLost } } } }`,
    );
    return heldBackVersions[0]?.waitingExecutions === 1 ? heldBackVersions : null;
  });
  expect(held).toEqual([
    expect.objectContaining({
      dataPlane: "data-plane-1",
      threadsLost: 2,
      integration: { id: versionId, heldBack: [{ threadsLost: 2 }] },
    }),
  ]);
  const metrics = await readMetrics(planes.ingressUrl);
  expect(metrics?.value(metricNames.versionsHeldBack)).toBe(1);
  expect(metrics?.value(metricNames.runsHeldBack)).toBe(1);
  expect((await executionRecord(planes, waiting.executionId!))?.endedAt ?? null).toBeNull();

  const { releaseHeldBackVersion } = await api(
    `mutation ($id: ID!) { releaseHeldBackVersion(input: { id: $id }) { integration { id } errors { messages } } }`,
    { id: versionId },
  );
  expect(releaseHeldBackVersion).toEqual({ integration: { id: versionId }, errors: [] });
  expect(await endedExecution(planes, waiting.executionId!)).toMatchObject({ status: "SUCCEEDED" });
  await waitFor(async () => (await api("{ heldBackVersions { reason } }")).heldBackVersions.length === 0);
  expect((await send("rockets", "Count")).status).toBe(200);
});

test("a new version is not held back with the old one", async () => {
  for (let n = 0; n < 2; n++) {
    const { executionId } = await send("hatters", "Deadly", { death: "exit" });
    await endedExecution(planes, executionId!);
  }
  await waitFor(async () => (await send("hatters", "Count")).status === 503);
  const { versionId: next } = await publishFixture(planes, "room");
  const { instances } = await api("{ instances(isSystem: false) { nodes { id customer { externalId } } } }");
  const instance = instances.nodes.find(
    (node: { customer: { externalId: string } }) => node.customer.externalId === "hatters",
  );
  const { updateInstance, deployInstance } = await api(
    `mutation ($id: ID!, $version: ID!) {
      updateInstance(input: { id: $id, integration: $version }) { errors { messages } }
      deployInstance(input: { id: $id }) { pendingDataPlanes errors { messages } }
    }`,
    { id: instance.id, version: next },
  );
  expect([updateInstance.errors, deployInstance.errors]).toEqual([[], []]);
  await waitFor(async () => (await send("hatters", "Count")).status === 200);
  expect((await send("rockets", "Count")).status).toBe(503);
});
