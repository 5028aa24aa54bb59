/** Executions that are canceled while they wait, run, or are to be retried: real planes, two data planes. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { newId, toNodeId } from "../shared/ids.ts";
import type { DeployedInstance } from "../shared/scripts/deployInstance.ts";
import { endedExecution, executionRecord } from "./support/executionRecord.ts";
import { graphql, rawGraphql } from "./support/graphql.ts";
import { type Ledger, newLedger } from "./support/ledger.ts";
import { bootDataPlane, bootPlanes, type TestPlane, type TestPlanes } from "./support/planes.ts";
import { publishAndDeploy } from "./support/publishAndDeploy.ts";
import { sendWebhook } from "./support/sendWebhook.ts";
import { waitFor } from "./support/waitFor.ts";

let planes: TestPlanes;
let second: TestPlane;
let queued: DeployedInstance;
let retried: DeployedInstance;
let ledger: Ledger;

beforeAll(async () => {
  planes = await bootPlanes();
  queued = (await publishAndDeploy(planes, "queued", ["acme"])).instances["acme"]!;
  retried = (await publishAndDeploy(planes, "retried", ["acme"])).instances["acme"]!;
  second = await bootDataPlane(planes, { name: "second" });
}, 60_000);
afterAll(async () => {
  await second?.stop();
  await planes?.stop();
});
beforeEach(() => {
  ledger = newLedger(planes.dataDir);
});

const mutation = `mutation ($id: ID!) {
  cancelExecution(input: { id: $id }) {
    instanceExecutionResult { id status errorCode }
    errors { field messages }
  }
}`;

async function cancel(id: string): Promise<{
  instanceExecutionResult: { id: string; status: string; errorCode: string } | null;
  errors: { field: string; messages: string[] }[];
}> {
  return (await graphql(planes.controlUrl, planes.adminToken, mutation, { id })).cancelExecution;
}

const send = async (flow: string, body: object = {}, url = queued.webhookUrls[flow]!): Promise<string> =>
  (await sendWebhook(url, { body: { ledger: ledger.file, ...body } })).executionId!;

const idsOf = (what: string): string[] =>
  ledger
    .lines()
    .filter((line) => line.what === what)
    .map((line) => line.executionId);

const canceled = { status: "FAILED", errorCode: "CANCELED" };

describe("an execution that runs", () => {
  test("is ended at once, and what runs beside it goes on", async () => {
    const id = await send("Free", { waitMs: 60_000 });
    const beside = await send("Free", { waitMs: 1500 });
    await waitFor(() => idsOf("started").includes(id));
    expect(await cancel(id)).toEqual({ instanceExecutionResult: { id, ...canceled }, errors: [] });
    expect(await endedExecution(planes, beside)).toMatchObject({ status: "SUCCEEDED" });
  });

  test("is ended also where another data plane runs it", async () => {
    const url = queued.webhookUrls["Free"]!.replace(planes.ingressUrl, second.url);
    const id = await send("Free", { waitMs: 60_000 }, url);
    await waitFor(() => idsOf("started").includes(id));
    expect(await cancel(id)).toEqual({ instanceExecutionResult: { id, ...canceled }, errors: [] });
  });
});

describe("an execution that waits", () => {
  test("is not run, and the others of its queue are", async () => {
    const first = await send("Sequential", { waitMs: 60_000 });
    await waitFor(() => idsOf("started").includes(first));
    const waiting = await send("Sequential");
    const last = await send("Sequential");
    await cancel(waiting);
    expect(await endedExecution(planes, waiting)).toMatchObject(canceled);
    await cancel(first);
    expect(await endedExecution(planes, last)).toMatchObject({ status: "SUCCEEDED" });
    expect(idsOf("started")).toEqual([first, last]);
  });

  test("is not run where the data plane was down when it was canceled", async () => {
    const first = await send("Sequential", { waitMs: 60_000 });
    const waiting = await send("Sequential");
    await planes.data.kill();
    expect((await cancel(waiting)).errors).toEqual([]);
    await planes.data.start();
    expect(await endedExecution(planes, waiting)).toMatchObject(canceled);
    await cancel(first);
    await endedExecution(planes, await send("Sequential"));
    expect(idsOf("started")).not.toContain(waiting);
  }, 40_000);

  test("for a data plane to take it is ended at once", async () => {
    const id = await send("Free");
    await endedExecution(planes, id);
    await planes.data.kill();
    await second.kill();
    const { replayExecution } = await graphql(
      planes.controlUrl,
      planes.adminToken,
      `mutation ($id: ID!) { replayExecution(input: { id: $id }) { instanceExecutionResult { id } } }`,
      { id },
    );
    const replay = replayExecution.instanceExecutionResult.id;
    expect((await cancel(replay)).instanceExecutionResult).toEqual({ id: replay, ...canceled });
    await planes.data.start();
    await second.start();
    await endedExecution(planes, await send("Free"));
    expect(idsOf("started")).not.toContain(replay);
  }, 40_000);
});

test("an execution that failed is not retried", async () => {
  const id = await send("Later", { id: "any", failures: 1 }, retried.webhookUrls["Later"]!);
  await endedExecution(planes, id);
  expect((await cancel(id)).errors).toEqual([]);
  const { executionResult } = await graphql(
    planes.controlUrl,
    planes.adminToken,
    `query ($id: ID!) { executionResult(id: $id) { retryNextAt } }`,
    { id },
  );
  expect(executionResult.retryNextAt).toBeNull();
  expect((await cancel(id)).errors[0]!.messages).toEqual(["The execution has ended, and no retry waits."]);
});

test("what is not there or has ended can't be canceled, and who may not cancel is refused", async () => {
  const id = await send("Free");
  await endedExecution(planes, id);
  expect((await cancel(id)).errors).toMatchObject([{ field: "id" }]);
  const nowhere = await cancel(toNodeId("InstanceExecutionResult", newId()));
  expect(nowhere.errors[0]!.messages).toEqual(["There is no such execution that waits or runs."]);
  expect((await rawGraphql(planes.controlUrl, null, mutation, { id })).data).toBeFalsy();
  expect((await executionRecord(planes, id))!.status).toBe("SUCCEEDED");
});
