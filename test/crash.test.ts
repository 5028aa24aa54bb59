import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { endedExecution, executionRecord } from "./support/executionRecord.ts";
import { graphql } from "./support/graphql.ts";
import { bootPlanes, type TestPlanes } from "./support/planes.ts";
import { publishAndDeploy } from "./support/publishAndDeploy.ts";
import { sendWebhook } from "./support/sendWebhook.ts";
import { waitFor } from "./support/waitFor.ts";

/** Real processes, killed under load: every webhook that got a 200 has its one execution afterwards. */
let planes: TestPlanes;
let echo: string;
let slow: string;
let shared: string;
let integrationIds: string[];

beforeAll(async () => {
  planes = await bootPlanes();
  const kinds = await publishAndDeploy(planes, "flow-kinds", ["crash-a"]);
  const routed = await publishAndDeploy(planes, "shared-preprocess", ["crash-a"]);
  echo = kinds.instances["crash-a"]!.webhookUrls["Echo"]!;
  slow = kinds.instances["crash-a"]!.webhookUrls["Slow"]!;
  shared = Object.values(routed.instances["crash-a"]!.webhookUrls)[0]!;
  integrationIds = [kinds.version.integrationId, routed.version.integrationId];
});
afterAll(() => planes?.stop());

interface Load {
  /** Ids of the executions that were answered 200. */
  answered: string[];
  sent: number;
  stop(): Promise<void>;
}

/** Senders that post as fast as they are answered, to all three kinds of flows, and go on over failures. */
function startLoad(senders: number): Load {
  const load = { answered: [] as string[], sent: 0 };
  let isStopped = false;
  const send = async (sender: number) => {
    for (let n = 0; !isStopped && load.sent < 20_000; n++) {
      load.sent++;
      const [url, body] = pick(sender + n);
      try {
        const answer = await sendWebhook(url, { body, timeoutMs: 5_000 });
        if (answer.status === 200) load.answered.push(answer.executionId!);
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  };
  const running = Promise.all(Array.from({ length: senders }, (_, sender) => send(sender)));
  return Object.assign(load, {
    async stop() {
      isStopped = true;
      await running;
    },
  });
}

function pick(n: number): [url: string, body: object] {
  if (n % 5 === 0) return [slow, { waitMs: 30 }];
  if (n % 3 === 0) return [shared, { tenant: "tenant:crash-a", topic: "contact.added" }];
  return [echo, { n }];
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Every answered webhook is recorded once, ended, and nothing is left over in the journal's way. */
async function expectAllRecorded(answered: string[]): Promise<void> {
  expect(new Set(answered).size).toBe(answered.length);
  for (const id of answered) {
    const record = await waitFor(
      () => executionRecord(planes, id).then((found) => (found?.endedAt == null ? null : found)),
      30_000,
    );
    expect(record, id).toMatchObject({ status: "SUCCEEDED", error: null });
  }
  await waitFor(async () => (await countOpen()) === 0, 20_000);
}

async function countOpen(): Promise<number> {
  let open = 0;
  for (const integration of integrationIds) {
    const { executionResults } = await graphql(
      planes.controlUrl,
      planes.adminToken,
      `query ($integration: ID!) { executionResults(integration: $integration, endedAt_Isnull: true) { totalCount } }`,
      { integration },
    );
    open += executionResults.totalCount;
  }
  return open;
}

describe("kill -9 under load", () => {
  test("of the data plane, again and again", async () => {
    const load = startLoad(16);
    for (let round = 0; round < 4; round++) {
      await pause(300 + 250 * round);
      await planes.data.kill();
      await pause(50);
      await planes.data.start();
    }
    await pause(500);
    await load.stop();
    expect(load.answered.length).toBeGreaterThan(50);
    await expectAllRecorded(load.answered);
  }, 90_000);

  test("of the control plane: no webhook fails meanwhile, and all is recorded once it is back", async () => {
    const load = startLoad(8);
    await pause(300);
    const before = load.answered.length;
    await planes.control.kill();
    await pause(1500);
    const during = load.answered.length;
    expect(during).toBeGreaterThan(before);
    await planes.control.start();
    await load.stop();
    expect(load.answered.length).toBe(load.sent);
    await expectAllRecorded(load.answered);
  }, 90_000);

  test("of both", async () => {
    const load = startLoad(8);
    await pause(500);
    await Promise.all([planes.data.kill(), planes.control.kill()]);
    // The data plane serves what its replica holds, before the control plane is there.
    await planes.data.start();
    const served = await sendWebhook(echo, { body: { served: "from the replica" } });
    expect(served.status).toBe(200);
    await planes.control.start();
    await load.stop();
    await expectAllRecorded([...load.answered, served.executionId!]);
  }, 90_000);
});

test("a run that was cut off runs again, and its attempt is counted", async () => {
  const answer = await sendWebhook(slow, { body: { waitMs: 3000 } });
  await pause(300);
  await planes.data.kill();
  await planes.data.start();
  const record = await endedExecution(planes, answer.executionId!, 20_000);
  expect(record).toMatchObject({ status: "SUCCEEDED", attempt: 2 });
}, 60_000);

test("an execution during which the process died three times is not run a fourth time", async () => {
  const answer = await sendWebhook(slow, { body: { waitMs: 60_000 } });
  for (let death = 0; death < 3; death++) {
    // Marked as running before its code starts; seen as RUNNING once it has reported progress.
    await pause(1500);
    await planes.data.kill();
    await planes.data.start();
  }
  const record = await endedExecution(planes, answer.executionId!, 20_000);
  expect(record).toMatchObject({ status: "FAILED", errorCode: "CRASH_LIMIT", attempt: 4 });
}, 90_000);

test("SIGTERM drains: what runs is finished and reported, and new webhooks are refused", async () => {
  const answer = await sendWebhook(slow, { body: { waitMs: 1500 } });
  await planes.data.stop();
  const record = await executionRecord(planes, answer.executionId!);
  expect(record).toMatchObject({ status: "SUCCEEDED", attempt: 1 });
  await planes.data.start();
}, 60_000);
