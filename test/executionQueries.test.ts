/** The queries of scripts that were written for Prismatic's API: listing, replaying, usage. Real planes. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { DeployedInstance } from "../shared/scripts/deployInstance.ts";
import { openSqlite } from "../shared/sqlite.ts";
import { endedExecution } from "./support/executionRecord.ts";
import { graphql } from "./support/graphql.ts";
import { bootPlanes, type TestPlanes } from "./support/planes.ts";
import { publishAndDeploy } from "./support/publishAndDeploy.ts";
import { sendWebhook } from "./support/sendWebhook.ts";
import { waitFor } from "./support/waitFor.ts";

let planes: TestPlanes;
let instances: Record<string, DeployedInstance>;
/** What acme's webhooks became: three failed, then two went well. */
const failed: string[] = [];
const succeeded: string[] = [];
let beganAt: Date;

beforeAll(async () => {
  planes = await bootPlanes();
  ({ instances } = await publishAndDeploy(planes, "retried", ["acme", "zenith"]));
  beganAt = new Date();
  for (let n = 0; n < 3; n++)
    failed.push(await send({ tries: join(planes.dataDir, `queries-${n}`), failures: 1 }));
  for (let n = 0; n < 2; n++) succeeded.push(await send({}));
  await send({}, "zenith");
  for (const id of [...failed, ...succeeded]) await endedExecution(planes, id);
}, 60_000);
afterAll(() => planes?.stop());

async function send(body: object, customer = "acme"): Promise<string> {
  const url = instances[customer]!.webhookUrls["Plain"]!;
  const { executionId } = await sendWebhook(url, { body });
  await endedExecution(planes, executionId!);
  return executionId!;
}

// biome-ignore lint/suspicious/noExplicitAny: tests read whatever their own document asked for.
const api = (document: string, variables: Record<string, unknown> = {}): Promise<any> =>
  graphql(planes.controlUrl, planes.adminToken, document, variables);

const idsOf = (connection: { nodes: { id: string }[] }): string[] => connection.nodes.map(({ id }) => id);

const listed = async (
  filters: string,
  variables: Record<string, unknown> = {},
  types = "",
): Promise<string[]> =>
  idsOf(
    (await api(`query ${types} { executionResults(${filters}) { nodes { id } } }`, variables))
      .executionResults,
  );

describe("a script that replays what failed", () => {
  const page = `query failures($instance: ID!, $cursor: String) {
    executionResults(instance: $instance, error_Isnull: false, replayForExecution_Isnull: true, after: $cursor) {
      nodes { id startedAt error replays(error_Isnull: true) { nodes { id startedAt } } }
      pageInfo { hasNextPage endCursor }
    }
  }`;

  test("finds it, repeats it, and then finds that it was repeated with success", async () => {
    const variables = { instance: instances["acme"]!.instanceId, cursor: "" };
    const before = (await api(page, variables)).executionResults;
    expect(idsOf(before)).toEqual([...failed].reverse());
    expect(before.nodes[0].replays.nodes).toEqual([]);
    expect(before.pageInfo.hasNextPage).toBe(false);
    const { replayExecution } = await api(
      `mutation again($id: ID!) { replayExecution(input: { id: $id }) { instanceExecutionResult { id startedAt } } }`,
      { id: failed[0] },
    );
    const { id } = replayExecution.instanceExecutionResult;
    await endedExecution(planes, id);
    const after = (await api(page, variables)).executionResults;
    expect(idsOf(after)).toEqual([...failed].reverse());
    expect(idsOf(after.nodes.at(-1).replays)).toEqual([id]);
  });

  test("finds it by the instance, in the order of its time", async () => {
    const { instance } = await api(
      `query ($id: ID!, $from: DateTime, $to: DateTime) {
        instance(id: $id) {
          executionResults(error_Isnull: false, sortBy: { field: STARTED_AT, direction: ASC }, startedAt_Gte: $from,
            startedAt_Lte: $to) { nodes { id error startedAt } }
        }
      }`,
      { id: instances["acme"]!.instanceId, from: beganAt, to: new Date() },
    );
    expect(idsOf(instance.executionResults)).toEqual(failed);
  });
});

describe("lists of executions", () => {
  test("are narrowed by what a script may ask for", async () => {
    const { customers } = await api(`{ customers(externalId: "acme") { nodes { id } } }`);
    const customer = customers.nodes[0].id;
    const own = { types: "($customer: ID!)", variables: { customer } };
    const of = (filters: string) =>
      listed(
        `instance_Customer: $customer, replayForExecution_Isnull: true, ${filters}`,
        own.variables,
        own.types,
      );
    expect(await of("error_Isnull: true")).toEqual([...succeeded].reverse());
    expect(await of("status: FAILED")).toEqual([...failed].reverse());
    expect(await of(`id: "${failed[1]}"`)).toEqual([failed[1]]);
    expect(await of(`id_In: ["${failed[1]}", "${succeeded[0]}"]`)).toEqual([succeeded[0], failed[1]]);
    expect(await of(`invokeType_In: ["WEBHOOK"], first: 1`)).toEqual([succeeded[1]]);
    expect(await of(`invokeType_In: ["SCHEDULED"]`)).toEqual([]);
    expect(await of(`endedAt_Lte: "${beganAt.toISOString()}"`)).toEqual([]);
    expect(await of(`endedAt_Gte: "${beganAt.toISOString()}", endedAt_Isnull: false`)).toHaveLength(5);
    expect(
      await of("retryForExecution_Isnull: true, retryNextAt_Isnull: true, retryCount_Lte: 0"),
    ).toHaveLength(5);
    expect(await of("maxRetryCount_Gte: 1")).toEqual([]);
    expect(await of(`retryUniqueRequestId: "none"`)).toEqual([]);
  });

  test("go by the end as well, page by page", async () => {
    const instance = instances["acme"]!.instanceId;
    const document = `query ($instance: ID!, $cursor: String) {
      executionResults(instance: $instance, replayForExecution_Isnull: true, first: 2, after: $cursor,
        orderBy: { field: ENDED_AT, direction: ASC }) { nodes { id } pageInfo { endCursor hasNextPage } }
    }`;
    const found: string[] = [];
    let cursor = "";
    for (let hasNextPage = true; hasNextPage; ) {
      const { executionResults } = await api(document, { instance, cursor });
      found.push(...idsOf(executionResults));
      ({ hasNextPage, endCursor: cursor } = executionResults.pageInfo);
    }
    expect(found).toEqual([...failed, ...succeeded]);
  });

  test("of what failed, and by the end, are read from an index", () => {
    const store = openSqlite(join(planes.dataDir, "control", "executions.db"), {
      synchronous: "full",
      cacheMb: 1,
    });
    const planOf = (sql: string) =>
      (store.prepare(`EXPLAIN QUERY PLAN ${sql}`).all() as { detail: string }[])
        .map(({ detail }) => detail)
        .join();
    try {
      expect(
        planOf(
          "SELECT id FROM executions WHERE error IS NOT NULL AND executions.status = 'FAILED' ORDER BY startedAtMs DESC, id DESC LIMIT 101",
        ),
      ).toContain("executionsFailed");
      expect(
        planOf(
          "SELECT id FROM executions WHERE endedAtMs IS NOT NULL ORDER BY endedAtMs DESC, id DESC LIMIT 101",
        ),
      ).toContain("executionsByEnd");
    } finally {
      store.close();
    }
  });
});

describe("a script that asks for usage", () => {
  const usage = `query ($instance: ID!, $from: Date!, $to: Date!, $cursor: String) {
    instanceDailyUsageMetrics(instance: $instance, snapshotDate_Gte: $from, snapshotDate_Lte: $to, after: $cursor,
      sortBy: { direction: ASC, field: SNAPSHOT_DATE }) {
      nodes { id snapshotDate successfulExecutionCount failedExecutionCount stepCount spendMbSecs instance { id name customer { externalId } } }
      pageInfo { hasNextPage endCursor }
    }
  }`;
  const days = () => ({
    from: beganAt.toISOString().slice(0, 10),
    to: new Date().toISOString().slice(0, 10),
  });

  interface Day {
    snapshotDate: string;
    successfulExecutionCount: number;
    failedExecutionCount: number;
    stepCount: number;
    spendMbSecs: number;
  }
  const sum = (nodes: Day[], field: Exclude<keyof Day, "snapshotDate">): number =>
    nodes.reduce((total, day) => total + day[field], 0);

  async function daysOf(customer: string): Promise<Day[]> {
    const variables = { instance: instances[customer]!.instanceId, ...days(), cursor: "" };
    return (await api(usage, variables)).instanceDailyUsageMetrics.nodes;
  }

  test("is told each instance's days, also after the control plane was killed", async () => {
    const before = await daysOf("acme");
    // With the replay that another test may have made.
    expect(sum(before, "successfulExecutionCount")).toBeGreaterThanOrEqual(2);
    expect(sum(before, "failedExecutionCount")).toBe(3);
    expect(sum(before, "stepCount")).toBeGreaterThanOrEqual(10);
    expect(sum(before, "spendMbSecs")).toBeGreaterThanOrEqual(0);
    await send({});
    await planes.control.kill();
    await planes.control.start();
    const after = await waitFor(async () => {
      const found = await daysOf("acme");
      return sum(found, "successfulExecutionCount") > sum(before, "successfulExecutionCount") ? found : null;
    });
    expect(sum(after, "successfulExecutionCount")).toBe(sum(before, "successfulExecutionCount") + 1);
    expect(sum(after, "stepCount")).toBe(sum(before, "stepCount") + 2);
    expect(sum(after, "failedExecutionCount")).toBe(3);
  }, 40_000);

  test("is told the organization's days, and a single day of all instances", async () => {
    const { from, to } = days();
    const { orgDailyUsageMetrics } = await api(
      `query ($from: Date, $to: Date) {
        orgDailyUsageMetrics(snapshotDate_Gte: $from, snapshotDate_Lte: $to, sortBy: [{ field: SNAPSHOT_DATE, direction: ASC }]) {
          totalCount nodes { id snapshotDate successfulExecutionCount failedExecutionCount stepCount spendMbSecs }
        } }`,
      { from, to },
    );
    expect(sum(orgDailyUsageMetrics.nodes, "failedExecutionCount")).toBe(3);
    const { instanceDailyUsageMetrics } = await api(
      `query ($day: Date!, $cursor: String!) {
        instanceDailyUsageMetrics(snapshotDate: $day, after: $cursor) { nodes { snapshotDate instance { id enabled } } } }`,
      { day: from, cursor: "" },
    );
    expect(instanceDailyUsageMetrics.nodes.length).toBeGreaterThan(0);
    expect(instanceDailyUsageMetrics.nodes[0].snapshotDate).toBe(from);
  });

  test("is told what customers have deployed, and lists of customers and instances in its order", async () => {
    const { customers } = await api(
      `query ($cursor: String) { customers(after: $cursor, isSystem: false, orderBy: { field: NAME, direction: DESC }) {
        nodes { id externalId name } pageInfo { hasNextPage endCursor } } }`,
      { cursor: "" },
    );
    const [zenith, acme] = customers.nodes;
    expect([zenith.externalId, acme.externalId]).toEqual(["zenith", "acme"]);
    const { customerTotalUsageMetrics } = await api(
      `query ($customer: ID!, $from: DateTime, $to: DateTime, $cursor: String) {
        customerTotalUsageMetrics(customer: $customer, sortBy: { direction: ASC, field: SNAPSHOT_TIME },
          snapshotTime_Gte: $from, snapshotTime_Lte: $to, after: $cursor) {
          nodes { snapshotTime deployedInstanceCount deployedUniqueIntegrationCount } pageInfo { hasNextPage endCursor } } }`,
      { customer: acme.id, from: beganAt, to: new Date(Date.now() + 1000), cursor: "" },
    );
    expect(customerTotalUsageMetrics.nodes).toMatchObject([
      { deployedInstanceCount: 1, deployedUniqueIntegrationCount: 1 },
    ]);
    const { instances: found } = await api(
      `{ instances(isSystem: false, sortBy: [{ field: CUSTOMER, direction: ASC }, { field: CREATED_AT, direction: ASC }]) {
        nodes { id name customer { id } } } }`,
    );
    const order = found.nodes.map((each: { customer: { id: string } }) => each.customer.id);
    expect(order).toHaveLength(2);
    expect(new Set(order)).toEqual(new Set([acme.id, zenith.id]));
  });
});
