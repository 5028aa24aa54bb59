import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openSqlite } from "../shared/sqlite.ts";
import { endedExecution } from "./support/executionRecord.ts";
import { graphql } from "./support/graphql.ts";
import { bootDataPlane, bootPlanes, type TestPlane, type TestPlanes } from "./support/planes.ts";
import { deployTo, publishAndDeploy, publishFixture } from "./support/publishAndDeploy.ts";
import { sendWebhook } from "./support/sendWebhook.ts";
import { waitFor } from "./support/waitFor.ts";

/** Configuration on its way to data planes: in time, in order, and while one side is away. */
let planes: TestPlanes;

beforeAll(async () => {
  planes = await bootPlanes();
});
afterAll(() => planes?.stop());

const api = (document: string, variables: Record<string, unknown> = {}) =>
  graphql(planes.controlUrl, planes.adminToken, document, variables);

test("the first request after a deploy's answer is served, many times over", async () => {
  const version = await publishFixture(planes, "flow-kinds");
  for (let n = 0; n < 10; n++) {
    const { webhookUrls } = await deployTo(planes, version, `feed-${n}`);
    expect((await sendWebhook(webhookUrls["Echo"]!, { body: {} })).status).toBe(200);
  }
});

test("the data plane serves on while the control plane is away, and takes what is new when it is back", async () => {
  const { instances, version } = await publishAndDeploy(planes, "flow-kinds", ["feed-away"]);
  const url = instances["feed-away"]!.webhookUrls["Echo"]!;
  await planes.control.stop();
  const during = await sendWebhook(url, { body: {} });
  expect(during.status).toBe(200);
  await planes.data.stop();
  await planes.data.start();
  const restarted = await sendWebhook(url, { body: {} });
  expect(restarted.status).toBe(200);
  await planes.control.start();
  const { webhookUrls } = await deployTo(planes, version, "feed-back");
  await waitFor(async () => (await sendWebhook(webhookUrls["Echo"]!, { body: {} })).status === 200);
  for (const answer of [during, restarted])
    expect((await endedExecution(planes, answer.executionId!)).status).toBe("SUCCEEDED");
}, 60_000);

test("a replica that is lost or broken is made anew", async () => {
  const { instances } = await publishAndDeploy(planes, "flow-kinds", ["feed-lost"]);
  const url = instances["feed-lost"]!.webhookUrls["Echo"]!;
  await planes.data.stop();
  const folder = join(planes.dataDir, "data-plane", "replica");
  for (const name of readdirSync(folder))
    writeFileSync(join(folder, name), "this is not a database, whatever it was before");
  await planes.data.start();
  await waitFor(async () => (await sendWebhook(url, { body: {} })).status === 200);
}, 60_000);

test("a replica that is found broken while the data plane starts is made anew, too", async () => {
  const { instances } = await publishAndDeploy(planes, "flow-kinds", ["feed-spoilt"]);
  const url = instances["feed-spoilt"]!.webhookUrls["Echo"]!;
  await planes.data.stop();
  const folder = join(planes.dataDir, "data-plane", "replica");
  const newest = readdirSync(folder)
    .filter((name) => /^replica-\d+\.db$/.test(name))
    .sort()
    .at(-1)!;
  const replica = openSqlite(join(folder, newest), { synchronous: "full" });
  // Well-formed for SQLite: only the row's own checksum tells.
  expect(replica.prepare("UPDATE entities SET checksum = checksum + 1 WHERE kind = 0").run().changes).toBe(1);
  replica.close();
  await planes.data.start();
  expect(planes.data.log()).toContain("the replica is damaged and is fetched anew");
  await waitFor(async () => (await sendWebhook(url, { body: {} })).status === 200);
}, 60_000);

test("a second data plane gets the same configuration, and a deploy waits for both", async () => {
  const second: TestPlane = await bootDataPlane(planes, { name: "data-plane-2" });
  try {
    const { instances } = await publishAndDeploy(planes, "flow-kinds", ["feed-two"]);
    const path = new URL(instances["feed-two"]!.webhookUrls["Echo"]!).pathname;
    for (const base of [planes.ingressUrl, second.url]) {
      const answer = await sendWebhook(`${base}${path}`, { body: {} });
      expect(answer.status).toBe(200);
      expect((await endedExecution(planes, answer.executionId!)).status).toBe("SUCCEEDED");
    }
  } finally {
    await second.stop();
  }
}, 60_000);

test("a renamed customer external id routes from the mutation's answer on", async () => {
  const { instances } = await publishAndDeploy(planes, "shared-body", ["feed-old-name"]);
  const { customerId, webhookUrls } = instances["feed-old-name"]!;
  const url = Object.values(webhookUrls)[0]!;
  const send = async (account: string) =>
    (await sendWebhook(url, { body: { account, topic: "bill.paid" } })).status;
  expect(await send("feed-old-name")).toBe(200);
  const { updateCustomer } = await api(
    `mutation ($id: ID!) { updateCustomer(input: { id: $id, externalId: "feed-new-name" }) { errors { messages } } }`,
    { id: customerId },
  );
  expect(updateCustomer.errors).toEqual([]);
  await waitFor(async () => (await send("feed-new-name")) === 200, 2_000);
  expect(await send("feed-old-name")).toBe(422);
});

test("a control plane that comes back with another store is followed: old endpoints go, new ones come, none fails", async () => {
  const { instances } = await publishAndDeploy(planes, "flow-kinds", ["feed-before"]);
  const old = instances["feed-before"]!.webhookUrls["Echo"]!;
  await planes.control.stop();
  rmSync(join(planes.dataDir, "control"), { recursive: true });
  expect((await sendWebhook(old, { body: {} })).status).toBe(200);
  await planes.control.start();
  await waitFor(async () => (await sendWebhook(old, { body: {} })).status === 404);
  const after = await publishAndDeploy(planes, "flow-kinds", ["feed-after"]);
  const url = after.instances["feed-after"]!.webhookUrls["Echo"]!;
  const answer = await waitFor(async () => {
    const sent = await sendWebhook(url, { body: {} });
    return sent.status === 200 ? sent : null;
  });
  expect((await endedExecution(planes, answer.executionId!)).status).toBe("SUCCEEDED");
}, 60_000);

test("with port 0, webhook URLs name the port that the data plane took", async () => {
  const own = await bootPlanes({ environment: { SWITCHYARD_INGRESS_PORT: "0" } });
  try {
    const { instances } = await publishAndDeploy(own, "flow-kinds", ["feed-zero"]);
    const url = instances["feed-zero"]!.webhookUrls["Echo"]!;
    expect(url.startsWith(own.ingressUrl)).toBe(true);
    expect((await sendWebhook(url, { body: {} })).status).toBe(200);
  } finally {
    await own.stop();
  }
}, 30_000);
