import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { graphql } from "./support/graphql.ts";
import { persistedStates } from "./support/persistedState.ts";
import { bootPlanes, type TestPlanes } from "./support/planes.ts";
import { publishAndDeploy } from "./support/publishAndDeploy.ts";
import { seededRandom } from "./support/random.ts";
import { sendWebhook } from "./support/sendWebhook.ts";
import { waitFor } from "./support/waitFor.ts";

const seed = Date.now() % 1_000_000_007;
const kills = 5;

let planes: TestPlanes;

beforeAll(async () => {
  planes = await bootPlanes({ environment: { SWITCHYARD_RUN_THREADS: "2" } });
});
afterAll(() => planes?.stop());

/** One at a time: what is found is what the one before has left. */
test(`kill -9 under a counting load: the state counts exactly the runs that succeeded (seed ${seed})`, async () => {
  const random = seededRandom(seed);
  const { instances } = await publishAndDeploy(planes, "stateful", ["counting"]);
  const { instanceId, webhookUrls } = instances["counting"]!;
  const url = webhookUrls["Counter"]!;
  const count = () => sendWebhook(url, { body: { count: ["instanceState", "crossFlowState"] } });

  for (let kill = 0; kill < kills; kill++) {
    let isKilled = false;
    const killing = sleep(random.whole(20, 420)).then(() => {
      isKilled = true;
      return planes.data.kill();
    });
    while (!isKilled) await count().catch(() => {});
    await killing;
    // In some rounds nobody hears of it before the data plane is back.
    const isAlone = random.next() < 0.4;
    if (isAlone) await planes.control.kill();
    await planes.data.start();
    if (isAlone) {
      // What was cut off runs again first: two at once would not count after each other.
      await waitFor(async () => (await dataPlaneHolds("journal_unfinished_entries")) === 0, 20_000);
      await waitFor(async () => (await count()).status === 200);
      await planes.control.start();
    }
    await nothingRuns(instanceId);
  }

  const last = await count();
  expect(last.status).toBe(200);
  const executions = await nothingRuns(instanceId);
  const succeeded = executions.filter(({ status }) => status === "SUCCEEDED").length;
  expect(executions.length).toBe(succeeded);
  expect(succeeded).toBeGreaterThan(kills);
  expect(last.json).toMatchObject({
    instanceState: { count: succeeded - 1 },
    crossFlowState: { count: succeeded - 1 },
  });
  await waitFor(
    async () => (await persistedStates(planes, instanceId)).instanceState["Counter"]?.["count"] === succeeded,
  );
}, 120_000);

/** Those of the instance, once the data plane has nothing left to do and has told of it. */
async function nothingRuns(instanceId: string): Promise<{ status: string }[]> {
  await waitFor(async () => (await dataPlaneHolds("journal_entries")) === 0, 20_000);
  const found: { status: string }[] = [];
  for (let after: string | null = null; ; ) {
    const { executionResults } = await graphql(
      planes.controlUrl,
      planes.adminToken,
      `query ($instance: ID!, $after: String) {
        executionResults(instance: $instance, after: $after) { nodes { status } pageInfo { hasNextPage endCursor } }
      }`,
      { instance: instanceId, after },
    );
    found.push(...executionResults.nodes);
    if (!executionResults.pageInfo.hasNextPage) return found;
    after = executionResults.pageInfo.endCursor;
  }
}

async function dataPlaneHolds(name: string): Promise<number> {
  const text = await (await fetch(`${planes.data.url}/metrics`)).text();
  return Number(new RegExp(`^switchyard_data_${name} (\\d+)`, "m").exec(text)?.[1]);
}
