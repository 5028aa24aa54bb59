/** Runs that fail and are run again, as executions of their own: real planes, real flows. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { retryDelayMaxMs, retryDelayMs } from "../shared/retries.ts";
import type { DeployedInstance } from "../shared/scripts/deployInstance.ts";
import { endedExecution } from "./support/executionRecord.ts";
import { graphql } from "./support/graphql.ts";
import { bootPlanes, type TestPlanes } from "./support/planes.ts";
import { publishAndDeploy } from "./support/publishAndDeploy.ts";
import { sendWebhook } from "./support/sendWebhook.ts";
import { waitFor } from "./support/waitFor.ts";

let planes: TestPlanes;
let acme: DeployedInstance;
let files = 0;

beforeAll(async () => {
  planes = await bootPlanes();
  acme = (await publishAndDeploy(planes, "retried", ["acme"])).instances["acme"]!;
}, 60_000);
afterAll(() => planes?.stop());

interface Retried {
  id: string;
  status: string;
  retryAttemptNumber: number;
  retryNextAt: string | null;
  maxRetryCount: number;
  retryUniqueRequestId: string | null;
  invokeType: string;
  retryForExecution: { id: string } | null;
  retryAttempts: {
    nodes: { id: string; status: string; retryAttemptNumber: number; endedAt: string | null }[];
  };
}

const document = `query ($id: ID!) {
  executionResult(id: $id) {
    id status retryAttemptNumber retryCount retryNextAt maxRetryCount retryUniqueRequestId invokeType
    retryForExecution { id }
    retryAttempts(orderBy: { field: STARTED_AT, direction: ASC }) { nodes { id status retryAttemptNumber endedAt } }
  }
}`;

const read = async (id: string): Promise<Retried> =>
  (await graphql(planes.controlUrl, planes.adminToken, document, { id })).executionResult;

const newTries = (): string => join(planes.dataDir, `tries-${++files}`);

const send = async (flow: string, body: object): Promise<string> =>
  (await sendWebhook(acme.webhookUrls[flow]!, { body })).executionId!;

/** The first execution once so many retries of it have ended. */
const afterRetries = (id: string, count: number): Promise<Retried> =>
  waitFor(async () => {
    const first = await read(id);
    const ended = first.retryAttempts.nodes.filter((retry) => retry.endedAt !== null);
    return ended.length >= count && first.retryNextAt === null ? first : null;
  }, 20_000);

describe("a run that failed", () => {
  test("is run again until it succeeds, each time as an execution of its own that names the first", async () => {
    const id = await send("Soon", { tries: newTries(), failures: 2 });
    const first = await afterRetries(id, 2);
    expect(first).toMatchObject({ status: "FAILED", retryAttemptNumber: 0, maxRetryCount: 3 });
    expect(first.retryAttempts.nodes).toMatchObject([
      { status: "FAILED", retryAttemptNumber: 1 },
      { status: "SUCCEEDED", retryAttemptNumber: 2 },
    ]);
    const second = await read(first.retryAttempts.nodes[1]!.id);
    expect(second).toMatchObject({ retryForExecution: { id }, retryNextAt: null, invokeType: "WEBHOOK" });
  });

  test("is given up after as many retries as its flow allows", async () => {
    const id = await send("Soon", { tries: newTries(), failures: 100 });
    const first = await afterRetries(id, 3);
    expect(first.retryAttempts.nodes.map((retry) => retry.retryAttemptNumber)).toEqual([1, 2, 3]);
    const last = await read(first.retryAttempts.nodes[2]!.id);
    expect(last).toMatchObject({ status: "FAILED", retryNextAt: null });
  });

  test("is not run again where its flow does not say so, or where it succeeded", async () => {
    const succeeded = await send("Soon", {});
    await endedExecution(planes, succeeded);
    expect(await read(succeeded)).toMatchObject({ maxRetryCount: 3, retryNextAt: null });
    const other = await send("Echo", {});
    await endedExecution(planes, other);
    expect(await read(other)).toMatchObject({ maxRetryCount: 0, retryNextAt: null });
  });

  test("has a sender that waited answered with its first outcome", async () => {
    const answer = await sendWebhook(acme.webhookUrls["Synchronous"]!, {
      body: { tries: newTries(), failures: 1 },
    });
    expect(answer.status).toBe(500);
    const first = await afterRetries(answer.executionId!, 1);
    expect(first.retryAttempts.nodes[0]!.status).toBe("SUCCEEDED");
  });

  test("is not run again where its sender was told that the trigger refused it", async () => {
    const answer = await sendWebhook(acme.webhookUrls["Trigger"]!, { body: { failures: 1 } });
    expect(answer.status).toBe(500);
    await endedExecution(planes, answer.executionId!);
    expect(await read(answer.executionId!)).toMatchObject({ status: "FAILED", retryNextAt: null });
  });
});

describe("a retry that waits", () => {
  test("says when it is due", async () => {
    const id = await send("Later", { id: "alone", failures: 1 });
    const { endedAt } = await endedExecution(planes, id);
    const { retryNextAt, retryUniqueRequestId } = await read(id);
    expect(new Date(retryNextAt!).getTime() - new Date(endedAt!).getTime()).toBe(60 * 60_000);
    expect(retryUniqueRequestId).toBe("alone");
  });

  test("is canceled by a newer request with the same id, and by no other", async () => {
    const first = await send("Later", { id: "one", failures: 1 });
    const other = await send("Later", { id: "two", failures: 1 });
    await endedExecution(planes, first);
    await endedExecution(planes, other);
    expect((await read(first)).retryNextAt).not.toBeNull();
    await endedExecution(planes, await send("Later", { id: "one" }));
    await waitFor(async () => (await read(first)).retryNextAt === null);
    expect((await read(other)).retryNextAt).not.toBeNull();
  });
});

test("retries that fell due while the control plane was down are made up for, once each", async () => {
  const tries = newTries();
  await planes.control.kill();
  const id = await send("Soon", { tries, failures: 1 });
  await planes.control.start();
  const first = await afterRetries(id, 1);
  expect(first.retryAttempts.nodes.map((retry) => retry.status)).toEqual(["SUCCEEDED"]);
}, 40_000);

test("each delay is twice the one before where they grow, and a day at most", () => {
  const growing = { delayMinutes: 3, usesExponentialBackoff: true };
  const minutes = [1, 2, 3, 4, 5].map((number) => retryDelayMs(growing, number) / 60_000);
  expect(minutes).toEqual([3, 6, 12, 24, 48]);
  expect(retryDelayMs({ ...growing, delayMinutes: 60 }, 10)).toBe(retryDelayMaxMs);
  expect(retryDelayMs({ delayMinutes: 4, usesExponentialBackoff: false }, 9)).toBe(4 * 60_000);
});
