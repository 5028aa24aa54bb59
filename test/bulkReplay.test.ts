/** The failed executions of a time, repeated: real planes, real flows that fail as often as they are told. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { DeployedInstance } from "../shared/scripts/deployInstance.ts";
import { endedExecution } from "./support/executionRecord.ts";
import { graphql, rawGraphql } from "./support/graphql.ts";
import { bootPlanes, type TestPlanes } from "./support/planes.ts";
import { publishAndDeploy } from "./support/publishAndDeploy.ts";
import { sendWebhook } from "./support/sendWebhook.ts";
import { waitFor } from "./support/waitFor.ts";

let planes: TestPlanes;
let instances: Record<string, DeployedInstance>;
let files = 0;

beforeAll(async () => {
  planes = await bootPlanes();
  ({ instances } = await publishAndDeploy(planes, "retried", ["acme", "zenith"]));
}, 60_000);
afterAll(() => planes?.stop());

// biome-ignore lint/suspicious/noExplicitAny: tests read whatever their own document asked for.
const api = (document: string, variables: object = {}): Promise<any> =>
  graphql(planes.controlUrl, planes.adminToken, document, { ...variables });

/** So many that failed; each fails as often, counting from now. */
async function fail(count: number, failures: number, customer = "acme"): Promise<string[]> {
  const ids: string[] = [];
  for (let n = 0; n < count; n++) {
    const tries = join(planes.dataDir, `bulk-${++files}`);
    const url = instances[customer]!.webhookUrls["Plain"]!;
    ids.push((await sendWebhook(url, { body: { tries, failures } })).executionId!);
  }
  for (const id of ids) expect(await endedExecution(planes, id)).toMatchObject({ status: "FAILED" });
  return ids;
}

interface Time {
  startedAt_Gte: string;
  startedAt_Lte: string;
  customer?: string;
  errorCode?: string;
  flowName?: string;
  perSecond?: number;
}

/** From the first moment of what `work` does to long after it. */
async function timeOf<Result>(work: () => Promise<Result>): Promise<{ time: Time; result: Result }> {
  const startedAt_Gte = new Date().toISOString();
  const result = await work();
  return { result, time: { startedAt_Gte, startedAt_Lte: new Date(Date.now() + 3_600_000).toISOString() } };
}

const preview = async (time: Time): Promise<{ count: number; isMore: boolean }> =>
  (
    await api(
      `query ($startedAt_Gte: DateTime!, $startedAt_Lte: DateTime!, $customer: ID, $errorCode: String, $flowName: String) {
        bulkReplayPreview(startedAt_Gte: $startedAt_Gte, startedAt_Lte: $startedAt_Lte, customer: $customer,
          errorCode: $errorCode, flowName: $flowName) { count isMore } }`,
      time,
    )
  ).bulkReplayPreview;

const jobFields = `id state totalCount replayedCount skippedCount endedAt
  executionResults { totalCount nodes { id status endedAt invokeType replayForExecution { id } } }`;
const startMutation = `mutation ($input: StartBulkReplayInput!) {
  startBulkReplay(input: $input) { bulkReplay { id state totalCount } errors { field messages } } }`;

const start = async (input: Time): Promise<string> => {
  const { bulkReplay, errors } = (await api(startMutation, { input })).startBulkReplay;
  expect(errors).toEqual([]);
  return bulkReplay.id;
};

interface Job {
  state: string;
  totalCount: number;
  replayedCount: number;
  endedAt: string | null;
  executionResults: {
    totalCount: number;
    nodes: { status: string; endedAt: string | null; replayForExecution: { id: string } }[];
  };
}

const read = async (id: string): Promise<Job> =>
  (await api(`query ($id: ID!) { bulkReplay(id: $id) { ${jobFields} } }`, { id })).bulkReplay;

/** Done, and with all that it began ended. */
const finished = (id: string): Promise<Job> =>
  waitFor(async () => {
    const job = await read(id);
    return job.endedAt !== null && job.executionResults.nodes.every((each) => each.endedAt !== null)
      ? job
      : null;
  }, 20_000);

const repeated = (job: Job): string[] =>
  job.executionResults.nodes.map((each) => each.replayForExecution.id).sort();

describe("a bulk replay", () => {
  test("repeats what failed in its time, once, and what was done with success then is no more meant", async () => {
    const { time, result: ids } = await timeOf(async () => {
      await endedExecution(
        planes,
        (await sendWebhook(instances["acme"]!.webhookUrls["Echo"]!, { body: {} })).executionId!,
      );
      return fail(5, 1);
    });
    expect(await preview(time)).toEqual({ count: 5, isMore: false });
    const job = await finished(await start({ ...time, perSecond: 100 }));
    expect(job).toMatchObject({ state: "DONE", totalCount: 5, replayedCount: 5 });
    expect(repeated(job)).toEqual([...ids].sort());
    expect(job.executionResults.nodes.map((each) => each.status)).toEqual(Array(5).fill("SUCCEEDED"));
    expect(await preview(time)).toMatchObject({ count: 0 });
  });

  test("that failed again can be done again: the first executions are meant, not their replays", async () => {
    const { time, result: ids } = await timeOf(() => fail(2, 2));
    const first = await finished(await start({ ...time, perSecond: 100 }));
    expect(first.executionResults.nodes.map((each) => each.status)).toEqual(["FAILED", "FAILED"]);
    expect(await preview(time)).toMatchObject({ count: 2 });
    const second = await finished(await start({ ...time, perSecond: 100 }));
    expect(repeated(second)).toEqual([...ids].sort());
    expect(second.executionResults.nodes.map((each) => each.status)).toEqual(["SUCCEEDED", "SUCCEEDED"]);
  });

  test("is of the customer, flow and error code that it names", async () => {
    const { time } = await timeOf(async () => {
      await fail(1, 1);
      await fail(2, 1, "zenith");
    });
    const { customers } = await api(`{ customers(isSystem: false) { nodes { id externalId } } }`);
    const zenith = customers.nodes.find((each: { externalId: string }) => each.externalId === "zenith").id;
    expect(await preview({ ...time, customer: zenith })).toMatchObject({ count: 2 });
    expect(await preview({ ...time, flowName: "Plain" })).toMatchObject({ count: 3 });
    expect(await preview({ ...time, flowName: "Echo" })).toMatchObject({ count: 0 });
    expect(await preview({ ...time, errorCode: "FLOW_FAILED" })).toMatchObject({ count: 3 });
    expect(await preview({ ...time, errorCode: "CANCELED" })).toMatchObject({ count: 0 });
    const job = await finished(await start({ ...time, customer: zenith, perSecond: 100 }));
    expect(job.replayedCount).toBe(2);
    expect(await preview(time)).toMatchObject({ count: 1 });
  });

  test("that is canceled repeats no more", async () => {
    const { time } = await timeOf(() => fail(4, 1));
    const id = await start({ ...time, perSecond: 1 });
    await waitFor(async () => (await read(id)).replayedCount > 0);
    const cancel = `mutation ($id: ID!) { cancelBulkReplay(input: { id: $id }) { bulkReplay { state } errors { messages } } }`;
    expect((await api(cancel, { id })).cancelBulkReplay).toEqual({
      bulkReplay: { state: "CANCELED" },
      errors: [],
    });
    const { replayedCount } = await finished(id);
    expect(replayedCount).toBeLessThan(4);
    expect(await preview(time)).toMatchObject({ count: 4 - replayedCount });
    expect((await api(cancel, { id })).cancelBulkReplay.errors).toHaveLength(1);
  });

  test("goes on where it was when the control plane was killed, and repeats none twice", async () => {
    const { time, result: ids } = await timeOf(() => fail(5, 1));
    const id = await start({ ...time, perSecond: 2 });
    await waitFor(async () => (await read(id)).replayedCount > 0);
    await planes.control.kill();
    await planes.control.start();
    const job = await finished(id);
    expect(job).toMatchObject({ state: "DONE", replayedCount: 5 });
    expect(repeated(job)).toEqual([...ids].sort());
  }, 40_000);
});

test("a bulk replay of a time that ends before it begins, and one by nobody, are refused", async () => {
  const time = { startedAt_Gte: "2026-01-02T00:00:00Z", startedAt_Lte: "2026-01-01T00:00:00Z" };
  const { startBulkReplay } = await api(startMutation, { input: time });
  expect(startBulkReplay.errors).toMatchObject([{ field: "startedAt_Gte" }]);
  const answer = await rawGraphql(planes.controlUrl, null, startMutation, { input: time });
  expect(answer.status).toBe(401);
});
