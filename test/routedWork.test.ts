/** Retries and queues of flows that a preprocess flow has found: real planes. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { DeployedInstance } from "../shared/scripts/deployInstance.ts";
import { endedExecution } from "./support/executionRecord.ts";
import { graphql } from "./support/graphql.ts";
import { type Ledger, mostAtOnce, newLedger } from "./support/ledger.ts";
import { bootPlanes, type TestPlanes } from "./support/planes.ts";
import { publishAndDeploy } from "./support/publishAndDeploy.ts";
import { sendWebhook } from "./support/sendWebhook.ts";
import { waitFor } from "./support/waitFor.ts";

let planes: TestPlanes;
let acme: DeployedInstance;
let ledger: Ledger;

beforeAll(async () => {
  planes = await bootPlanes();
  acme = (await publishAndDeploy(planes, "routed-work", ["acme"])).instances["acme"]!;
}, 60_000);
afterAll(() => planes?.stop());
beforeEach(() => {
  ledger = newLedger(planes.dataDir);
});

const send = async (topic: string, body: object = {}): Promise<string> => {
  const url = Object.values(acme.webhookUrls)[0]!;
  const order = { tenant: "acme", topic, ledger: ledger.file, ...body };
  return (await sendWebhook(url, { body: order })).executionId!;
};

const started = (): string[] =>
  ledger
    .lines()
    .filter(({ what }) => what === "started")
    .map(({ executionId }) => executionId);

test("a flow that failed is run again for its customer, without its preprocess flow", async () => {
  const id = await send("Retried");
  const document = `query ($id: ID!) { executionResult(id: $id) { status retryAttempts { nodes {
    id status endedAt preprocessFlowName customer { externalId } flowName } } } }`;
  const read = async () =>
    (await graphql(planes.controlUrl, planes.adminToken, document, { id })).executionResult;
  const retry = await waitFor(async () => {
    const [first] = (await read())?.retryAttempts.nodes ?? [];
    return first?.endedAt == null ? null : first;
  }, 20_000);
  expect(retry).toMatchObject({
    status: "SUCCEEDED",
    preprocessFlowName: null,
    customer: { externalId: "acme" },
    flowName: "Retried",
  });
  const record = await endedExecution(planes, retry.id);
  expect(new Set(record.stepResults.nodes.map(({ part }) => part))).toEqual(new Set(["FLOW"]));
  expect(started()).toEqual([id, retry.id]);
});

test("a queue takes what was routed to it one at a time, and of equal ids one", async () => {
  const first = await send("Queued", { id: "one", waitMs: 800 });
  await waitFor(() => started().includes(first));
  const second = await send("Queued", { id: "one" });
  const third = await send("Queued", { id: "two", waitMs: 20 });
  const fourth = await send("Queued", { waitMs: 20 });
  for (const id of [first, second, third, fourth])
    expect(await endedExecution(planes, id)).toMatchObject({ status: "SUCCEEDED" });
  expect(started()).toHaveLength(3);
  expect(started()).not.toContain(second);
  expect(mostAtOnce(ledger.lines())).toBe(1);
});
