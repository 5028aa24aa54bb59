/** Flows with queues of their own: real planes, real flows that note what ran when. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { DeployedInstance } from "../shared/scripts/deployInstance.ts";
import { endedExecution, executionRecord, messagesOf } from "./support/executionRecord.ts";
import { graphql } from "./support/graphql.ts";
import { type Ledger, mostAtOnce, newLedger } from "./support/ledger.ts";
import { bootPlanes, type TestPlanes } from "./support/planes.ts";
import { publishAndDeploy } from "./support/publishAndDeploy.ts";
import { sendWebhook } from "./support/sendWebhook.ts";
import { waitFor } from "./support/waitFor.ts";

let planes: TestPlanes;
let acme: DeployedInstance;
let zenith: DeployedInstance;
let ledger: Ledger;

beforeAll(async () => {
  planes = await bootPlanes({ environment: { SWITCHYARD_RUN_THREADS: "2" } });
  const { instances } = await publishAndDeploy(planes, "queued", ["acme", "zenith"]);
  acme = instances["acme"]!;
  zenith = instances["zenith"]!;
}, 60_000);
afterAll(() => planes?.stop());
beforeEach(() => {
  ledger = newLedger(planes.dataDir);
});

const send = async (flow: string, body: object = {}, instance = acme): Promise<string> =>
  (await sendWebhook(instance.webhookUrls[flow]!, { body: { ledger: ledger.file, ...body } })).executionId!;

async function sendMany(flow: string, count: number, body: object = {}): Promise<string[]> {
  const ids: string[] = [];
  for (let n = 0; n < count; n++) ids.push(await send(flow, body));
  return ids;
}

const idsOf = (what: string): string[] =>
  ledger
    .lines()
    .filter((line) => line.what === what)
    .map((line) => line.executionId);

const cancel = (id: string) =>
  graphql(
    planes.controlUrl,
    planes.adminToken,
    "mutation ($id: ID!) { cancelExecution(input: { id: $id }) { errors { messages } } }",
    { id },
  );

const resultTypeOf = async (id: string): Promise<string | null> =>
  (
    await graphql(
      planes.controlUrl,
      planes.adminToken,
      "query ($id: ID!) { executionResult(id: $id) { resultType } }",
      { id },
    )
  ).executionResult.resultType;

describe("a sequential flow", () => {
  test("runs one at a time, in the order of arrival", async () => {
    const ids = await sendMany("Sequential", 12, { waitMs: 20 });
    for (const id of ids) expect(await endedExecution(planes, id)).toMatchObject({ status: "SUCCEEDED" });
    expect(idsOf("started")).toEqual(ids);
    expect(mostAtOnce(ledger.lines())).toBe(1);
  });

  test("shows what waits, before it runs", async () => {
    const long = await send("Sequential", { waitMs: 60_000 });
    const waiting = await send("Sequential");
    await waitFor(async () => (await executionRecord(planes, waiting))?.status === "QUEUED");
    await cancel(long);
    expect(await endedExecution(planes, waiting)).toMatchObject({ status: "SUCCEEDED", attempt: 1 });
  });

  test("goes on after a run that failed", async () => {
    const failed = await send("Sequential", { fails: true });
    const next = await send("Sequential");
    expect(await endedExecution(planes, failed)).toMatchObject({ status: "FAILED" });
    expect(await endedExecution(planes, next)).toMatchObject({ status: "SUCCEEDED" });
  });

  test("holds up neither the other flows of its instance nor another customer's", async () => {
    const long = await send("Sequential", { waitMs: 60_000 });
    await waitFor(() => idsOf("started").includes(long));
    const behind = await send("Sequential");
    const beside = await Promise.all([send("Free"), send("Sequential", {}, zenith)]);
    for (const id of beside) await endedExecution(planes, id);
    expect(idsOf("started")).not.toContain(behind);
    await cancel(long);
    expect(await endedExecution(planes, behind)).toMatchObject({ status: "SUCCEEDED" });
  });

  test("keeps its order and its one at a time when the data plane is killed", async () => {
    const ids = await sendMany("Sequential", 8, { waitMs: 300 });
    await waitFor(() => idsOf("ended").length >= 2);
    await planes.data.kill();
    const whenKilled = ledger.lines().length;
    await planes.data.start();
    ids.push(await send("Sequential"));
    for (const id of ids) await endedExecution(planes, id, 20_000);
    expect(idsOf("ended")).toEqual(ids);
    expect(mostAtOnce(ledger.lines().slice(whenKilled))).toBe(1);
  }, 40_000);
});

test("a throttled flow runs as many at once as it says, and no more", async () => {
  const ids = await sendMany("Throttled", 8, { waitMs: 150 });
  for (const id of ids) await endedExecution(planes, id);
  expect(mostAtOnce(ledger.lines())).toBe(2);
});

describe("of requests with the same id", () => {
  test("one waits or runs at a time; the others end at once, and their records say why", async () => {
    const first = await send("Deduped", { id: "one", waitMs: 3000 });
    const second = await send("Deduped", { id: "one" });
    const other = await send("Deduped", { id: "two" });
    const third = await send("Deduped", { id: "two" });
    const record = await endedExecution(planes, second);
    expect(record.status).toBe("SUCCEEDED");
    expect(messagesOf(record).join()).toContain(first);
    await endedExecution(planes, third);
    // The first still runs, and what it stands for waits.
    expect(idsOf("ended")).toEqual([]);
    for (const id of [first, other]) await endedExecution(planes, id);
    expect(idsOf("started")).toEqual([first, other]);
    expect(await Promise.all([first, second, other, third].map(resultTypeOf))).toEqual([
      null,
      "DUPLICATE",
      null,
      "DUPLICATE",
    ]);
  });

  test("one that comes when the others have ended runs", async () => {
    const first = await send("Deduped", { id: "again" });
    await endedExecution(planes, first);
    const second = await send("Deduped", { id: "again" });
    await endedExecution(planes, second);
    expect(idsOf("started")).toEqual([first, second]);
  });

  test("those of other customers and those without an id are not meant", async () => {
    const ids = [
      await send("Deduped", { id: "same", waitMs: 300 }),
      await send("Deduped", { id: "same" }, zenith),
      await send("Deduped"),
      await send("Deduped"),
    ];
    for (const id of ids) await endedExecution(planes, id);
    expect(idsOf("started").sort()).toEqual([...ids].sort());
  });
});
