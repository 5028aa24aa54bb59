import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { graphql, rawGraphql } from "./support/graphql.ts";
import { bootPlanes, type TestPlanes } from "./support/planes.ts";
import { deployTo, publishAndDeploy, publishFixture } from "./support/publishAndDeploy.ts";
import { sendWebhook } from "./support/sendWebhook.ts";

/** A key from its making to its end, as the customer's operators and the senders see it. */
let planes: TestPlanes;
const api = (document: string, variables: Record<string, unknown> = {}) =>
  graphql(planes.controlUrl, planes.adminToken, document, variables);

beforeAll(async () => {
  planes = await bootPlanes({ environment: { SWITCHYARD_WRONG_KEYS_PER_MINUTE: "1000000" } });
});
afterAll(() => planes?.stop());

const keyFields = `id name prefix last4 mask status createdAt createdBy lastUsedAt expiresAt revokedAt isValid
  rotatedFrom { id } replacedBy { id }`;

const run = async (name: string, type: string, fields: string, input: Record<string, unknown>) =>
  (
    await api(
      `mutation ($input: ${type}!) { ${name}(input: $input) { ${fields} errors { field messages } } }`,
      {
        input,
      },
    )
  )[name];
const createKey = (input: Record<string, unknown>) =>
  run("createApiKey", "CreateApiKeyInput", `apiKey { ${keyFields} } key pendingDataPlanes`, input);
const rotateKey = (input: Record<string, unknown>) =>
  run(
    "rotateApiKey",
    "RotateApiKeyInput",
    `apiKey { ${keyFields} } previousApiKey { ${keyFields} } key pendingDataPlanes`,
    input,
  );
const updateKey = (input: Record<string, unknown>) =>
  run("updateApiKey", "UpdateApiKeyInput", `apiKey { ${keyFields} } pendingDataPlanes`, input);
const revokeKey = (id: string) =>
  run("revokeApiKey", "RevokeApiKeyInput", `apiKey { ${keyFields} } pendingDataPlanes`, { id });

interface FlowConfig {
  id: string;
  webhookUrl: string;
}

/** The flow config of the fixture's one flow (without keys), deployed to a customer of its own. */
async function optionalFlow(externalId: string): Promise<FlowConfig> {
  const { instances } = await publishAndDeploy(planes, "flow-kinds", [externalId]);
  return flowConfig(instances[externalId]!.instanceId, "Echo");
}

async function flowConfig(instanceId: string, flowName: string): Promise<FlowConfig> {
  const { instance } = await api(
    `query ($id: ID!) { instance(id: $id) { flowConfigs { nodes { id webhookUrl flow { name } } } } }`,
    { id: instanceId },
  );
  return instance.flowConfigs.nodes.find(
    (config: { flow: { name: string } }) => config.flow.name === flowName,
  );
}

async function keysOf(flowConfigId: string, args = "") {
  const { instanceFlowConfig } = await api(
    `query ($id: ID!) { instanceFlowConfig(id: $id) { keys${args} { totalCount nodes { ${keyFields} } } } }`,
    { id: flowConfigId },
  );
  return instanceFlowConfig.keys;
}

const statusOf = async (url: string, key: string) =>
  (await sendWebhook(url, { body: { a: 1 }, headers: { "Api-Key": key } })).status;

interface Sent {
  sentAtMs: number;
  answeredAtMs: number;
  status: number;
}

/** Sends one webhook after another until it is stopped. */
function startSender(url: string, key: () => string): { stop(): Promise<Sent[]> } {
  const sent: Sent[] = [];
  let isStopped = false;
  const done = (async () => {
    while (!isStopped) {
      const sentAtMs = Date.now();
      const status = await statusOf(url, key());
      sent.push({ sentAtMs, answeredAtMs: Date.now(), status });
      await sleep(2);
    }
  })();
  return {
    async stop() {
      isStopped = true;
      await done;
      return sent;
    },
  };
}

const statusesOf = (sent: Sent[]): number[] => [...new Set(sent.map(({ status }) => status))];

describe("rotation", () => {
  test("refuses no webhook inside the grace, on the old key or the new one, and accepts none on the old one after it", async () => {
    const { id, webhookUrl } = await optionalFlow("life-rotation");
    const old = await createKey({ flowConfig: id, name: "shop" });
    let current: string = old.key;
    const stays = startSender(webhookUrl, () => old.key);
    const switches = startSender(webhookUrl, () => current);
    await sleep(300);
    const rotated = await rotateKey({ id: old.apiKey.id, graceSeconds: 3 });
    expect(rotated).toMatchObject({
      errors: [],
      pendingDataPlanes: [],
      key: expect.stringMatching(/^swk_\S{40,}$/),
      apiKey: { name: "shop", status: "ACTIVE", expiresAt: null, rotatedFrom: { id: old.apiKey.id } },
      previousApiKey: { id: old.apiKey.id, status: "ACTIVE", replacedBy: { id: rotated.apiKey.id } },
    });
    current = rotated.key;
    const endsAtMs = Date.parse(rotated.previousApiKey.expiresAt);
    await sleep(endsAtMs - Date.now() + 700);
    const [onOld, onNew] = await Promise.all([stays.stop(), switches.stop()]);
    expect(statusesOf(onNew)).toEqual([200]);
    const inside = onOld.filter(({ answeredAtMs }) => answeredAtMs < endsAtMs);
    const after = onOld.filter(({ sentAtMs }) => sentAtMs > endsAtMs);
    expect(inside.length).toBeGreaterThan(20);
    expect(after.length).toBeGreaterThan(5);
    expect(statusesOf(inside)).toEqual([200]);
    expect(statusesOf(after)).toEqual([401]);
    expect(await keysOf(id, "(status: EXPIRED)")).toMatchObject({
      totalCount: 1,
      nodes: [{ id: old.apiKey.id }],
    });
  });

  test("keeps the old key's own expiry where that is earlier, and its lifetime for the new key", async () => {
    const { id } = await optionalFlow("life-expiry");
    const expiresAt = new Date(Date.now() + 60 * 60_000);
    const old = await createKey({ flowConfig: id, expiresAt: expiresAt.toISOString() });
    const rotated = await rotateKey({ id: old.apiKey.id });
    expect(Date.parse(rotated.previousApiKey.expiresAt)).toBe(expiresAt.getTime());
    const lifetimeMs = Date.parse(rotated.apiKey.expiresAt) - Date.parse(rotated.apiKey.createdAt);
    const oldLifetimeMs = expiresAt.getTime() - Date.parse(old.apiKey.createdAt);
    expect(Math.abs(lifetimeMs - oldLifetimeMs)).toBeLessThan(1000);
    const later = await rotateKey({ id: rotated.apiKey.id, graceSeconds: 60 });
    const graceMs = Date.parse(later.previousApiKey.expiresAt) - Date.parse(later.apiKey.createdAt);
    expect(Math.abs(graceMs - 60_000)).toBeLessThan(1000);
  });

  test("without a grace revokes the old key at once; takes a key that is brought; a key is rotated once", async () => {
    const { id, webhookUrl } = await optionalFlow("life-no-grace");
    const old = await createKey({ flowConfig: id, key: "the-first-key-brought-along" });
    const rotated = await rotateKey({
      id: old.apiKey.id,
      graceSeconds: 0,
      key: "the-second-key-brought-along",
      name: "second",
    });
    expect(rotated).toMatchObject({
      errors: [],
      key: "the-second-key-brought-along",
      apiKey: { name: "second", prefix: "the-se", last4: "long" },
      previousApiKey: { status: "REVOKED", expiresAt: null },
    });
    expect(await statusOf(webhookUrl, "the-first-key-brought-along")).toBe(401);
    expect(await statusOf(webhookUrl, "the-second-key-brought-along")).toBe(200);
    const messageOf = (payload: { errors: { messages: string[] }[]; key: unknown }) => {
      expect(payload.key).toBeNull();
      return payload.errors[0]!.messages[0];
    };
    expect(messageOf(await rotateKey({ id: old.apiKey.id }))).toContain("revoked");
    const next = await rotateKey({ id: rotated.apiKey.id });
    expect(messageOf(await rotateKey({ id: rotated.apiKey.id }))).toContain("rotated already");
    const brought = await rotateKey({ id: next.apiKey.id, key: "the-first-key-brought-along" });
    expect(messageOf(brought)).toBe("This key can't be used. Choose another.");
    expect((await rotateKey({ id: next.apiKey.id, graceSeconds: 31 * 86_400 })).errors[0].field).toBe(
      "graceSeconds",
    );
    expect((await rotateKey({ id: next.apiKey.id, key: "with a space in it, comma" })).errors[0].field).toBe(
      "key",
    );
    // What was refused has changed nothing.
    expect(await statusOf(webhookUrl, next.key)).toBe(200);
  });

  test("never leaves a deployed flow that needs a key without one", async () => {
    const version = await publishFixture(planes, "customer-required");
    const { createCustomer } = await api(
      `mutation { createCustomer(input: { name: "L", externalId: "life-required" }) { customer { id } } }`,
    );
    const { createInstance } = await api(
      `mutation ($integration: ID!, $customer: ID!) {
        createInstance(input: { name: "l", integration: $integration, customer: $customer }) { instance { id } errors { messages } }
      }`,
      { integration: version.versionId, customer: createCustomer.customer.id },
    );
    const { id, webhookUrl } = await flowConfig(createInstance.instance.id, "Guarded");
    const first = await createKey({ flowConfig: id });
    await deployTo(planes, version, "life-required");
    const rotated = await rotateKey({ id: first.apiKey.id, graceSeconds: 0 });
    expect(rotated.errors).toEqual([]);
    expect(await statusOf(webhookUrl, rotated.key)).toBe(200);
    expect((await revokeKey(rotated.apiKey.id)).errors[0].messages[0]).toContain("last one");
    expect(await statusOf(webhookUrl, rotated.key)).toBe(200);
  });

  test("works for the organization's keys of all instances", async () => {
    const version = await publishFixture(planes, "keys");
    const old = await createKey({
      integration: version.integrationId,
      flow: "Organization",
      key: "organization-key-to-be-rotated",
    });
    expect(old.errors).toEqual([]);
    const rotated = await rotateKey({ id: old.apiKey.id, graceSeconds: 60 });
    expect(rotated).toMatchObject({ errors: [], apiKey: { rotatedFrom: { id: old.apiKey.id } } });
    const { integration } = await api(
      `query ($id: ID!) { integration(id: $id) { organizationKeys(status: ACTIVE) { nodes { id } } } }`,
      { id: version.integrationId },
    );
    const ids = integration.organizationKeys.nodes.map((key: { id: string }) => key.id);
    expect(ids).toEqual(expect.arrayContaining([old.apiKey.id, rotated.apiKey.id]));
  });
});

describe("revocation", () => {
  test("under load accepts no webhook that is sent after the mutation's answer", async () => {
    const { id, webhookUrl } = await optionalFlow("life-revocation");
    const kept = await createKey({ flowConfig: id });
    const ended = await createKey({ flowConfig: id });
    const onEnded = [1, 2, 3, 4].map(() => startSender(webhookUrl, () => ended.key));
    const onKept = startSender(webhookUrl, () => kept.key);
    await sleep(400);
    const calledAtMs = Date.now();
    expect(await revokeKey(ended.apiKey.id)).toMatchObject({ errors: [], pendingDataPlanes: [] });
    const answeredAtMs = Date.now();
    await sleep(500);
    const sent = (await Promise.all(onEnded.map((sender) => sender.stop()))).flat();
    const before = sent.filter((one) => one.answeredAtMs < calledAtMs);
    const after = sent.filter((one) => one.sentAtMs > answeredAtMs);
    expect(before.length).toBeGreaterThan(10);
    expect(after.length).toBeGreaterThan(10);
    expect(statusesOf(before)).toEqual([200]);
    expect(statusesOf(after)).toEqual([401]);
    expect(statusesOf(await onKept.stop())).toEqual([200]);
  });
});

describe("changes", () => {
  test("a name, an expiry, and no expiry again; an ended key stays ended", async () => {
    const { id, webhookUrl } = await optionalFlow("life-changes");
    // A flow without any key would need none.
    await createKey({ flowConfig: id });
    const made = await createKey({ flowConfig: id });
    const keyId = made.apiKey.id;
    expect((await updateKey({ id: keyId, name: "crm" })).apiKey).toMatchObject({
      name: "crm",
      expiresAt: null,
    });
    const soon = new Date(Date.now() + 1500).toISOString();
    expect((await updateKey({ id: keyId, expiresAt: soon })).apiKey).toMatchObject({
      name: "crm",
      expiresAt: soon,
    });
    expect((await updateKey({ id: keyId, expiresAt: null })).apiKey.expiresAt).toBeNull();
    await sleep(1600);
    expect(await statusOf(webhookUrl, made.key)).toBe(200);
    expect((await updateKey({ id: keyId, expiresAt: "2020-01-01T00:00:00Z" })).errors[0].field).toBe(
      "expiresAt",
    );
    expect((await revokeKey(keyId)).apiKey.status).toBe("REVOKED");
    expect((await updateKey({ id: keyId, expiresAt: null })).errors[0].messages[0]).toContain("revoked");
    expect(await statusOf(webhookUrl, made.key)).toBe(401);
  });
});

describe("what is shown", () => {
  test("the plain key is in the answer that made it, and nowhere after that", async () => {
    const { id } = await optionalFlow("life-shown");
    const made = await createKey({ flowConfig: id, name: "shown" });
    const [key] = (await keysOf(id)).nodes;
    expect(key).toMatchObject({
      name: "shown",
      prefix: made.key.slice(0, 6),
      last4: made.key.slice(-4),
      status: "ACTIVE",
      createdBy: "admin",
      lastUsedAt: null,
    });
    expect(JSON.stringify(key)).not.toContain(made.key);
    expect(planes.control.log() + planes.data.log()).not.toContain(made.key);
  });

  test("a key that is there already is refused without a word of where, whatever became of it", async () => {
    const { id } = await optionalFlow("life-duplicates");
    const key = "one-and-the-same-key";
    const made = await createKey({ flowConfig: id, key });
    const whileValid = (await createKey({ flowConfig: id, key })).errors;
    await revokeKey(made.apiKey.id);
    const whileRevoked = (await createKey({ flowConfig: id, key })).errors;
    expect(whileValid).toEqual([{ field: "key", messages: ["This key can't be used. Choose another."] }]);
    expect(whileRevoked).toEqual(whileValid);
    for (const wrong of ["too-short", "x".repeat(257), "with,a,comma,inside,it", "with a blank in it"]) {
      expect((await createKey({ flowConfig: id, key: wrong })).errors[0].field).toBe("key");
    }
    const other = await optionalFlow("life-duplicates-elsewhere");
    expect((await createKey({ flowConfig: other.id, key })).errors).toEqual([]);
  });

  test("a key's last use is told by the data plane that accepted it", async () => {
    const { id, webhookUrl } = await optionalFlow("life-used-for-real");
    const used = await createKey({ flowConfig: id });
    const unused = await createKey({ flowConfig: id });
    const sinceMs = Date.now();
    expect(await statusOf(webhookUrl, used.key)).toBe(200);
    expect(await statusOf(webhookUrl, `${unused.key}x`)).toBe(401);
    // Every half minute, and before it ends.
    await planes.data.stop();
    await planes.data.start();
    const [first, second] = (await keysOf(id)).nodes;
    expect(Date.parse(first.lastUsedAt)).toBeGreaterThanOrEqual(sinceMs);
    expect(second.lastUsedAt).toBeNull();
  });

  test("last use moves forward only, and never ahead of the clock", async () => {
    const { id } = await optionalFlow("life-used");
    const { apiKey } = await createKey({ flowConfig: id });
    const token = (await readFile(`${planes.dataDir}/data-plane.token`, "utf8")).trim();
    const keyId = Buffer.from(apiKey.id, "base64").toString("utf8").slice("ApiKey:".length);
    const report = async (lastUsedAtMs: number) => {
      const { data } = await rawGraphql(
        planes.controlUrl,
        token,
        `mutation ($uses: JSON!) { reportKeyUse(input: { dataPlaneId: "d", uses: $uses }) { errors { messages } } }`,
        { uses: [{ keyId, lastUsedAtMs }] },
      );
      expect(data.reportKeyUse.errors).toEqual([]);
      return Date.parse((await keysOf(id)).nodes[0].lastUsedAt);
    };
    const atMs = Date.now() - 60_000;
    expect(await report(atMs)).toBe(atMs);
    expect(await report(atMs - 1000)).toBe(atMs);
    expect(await report(atMs + 1000)).toBe(atMs + 1000);
    expect(await report(Date.now() + 3_600_000)).toBeLessThanOrEqual(Date.now());
    const { data } = await rawGraphql(
      planes.controlUrl,
      token,
      `mutation { reportKeyUse(input: { dataPlaneId: "d", uses: "x" }) { errors { field } } }`,
    );
    expect(data.reportKeyUse.errors).toEqual([{ field: "uses" }]);
    const refused = await rawGraphql(
      planes.controlUrl,
      planes.adminToken,
      `mutation { reportKeyUse(input: { dataPlaneId: "d", uses: [] }) { errors { field } } }`,
    );
    expect(refused.errors?.length).toBe(1);
  });
});

// The last one: it takes the control plane away.
test("keys hold over restarts of the data plane without its control plane, whose own clock ends them", async () => {
  const { id, webhookUrl } = await optionalFlow("life-alone");
  const kept = await createKey({ flowConfig: id });
  const ended = await createKey({ flowConfig: id });
  await revokeKey(ended.apiKey.id);
  const expiresAtMs = Date.now() + 6000;
  const short = await createKey({ flowConfig: id, expiresAt: new Date(expiresAtMs).toISOString() });
  await planes.control.kill();
  await planes.data.stop();
  await planes.data.start();
  expect(await statusOf(webhookUrl, kept.key)).toBe(200);
  expect(await statusOf(webhookUrl, ended.key)).toBe(401);
  if (Date.now() < expiresAtMs - 500) expect(await statusOf(webhookUrl, short.key)).toBe(200);
  await planes.data.kill();
  await planes.data.start();
  await sleep(Math.max(expiresAtMs - Date.now(), 0) + 50);
  expect(await statusOf(webhookUrl, short.key)).toBe(401);
  expect(await statusOf(webhookUrl, kept.key)).toBe(200);
  expect(await statusOf(webhookUrl, ended.key)).toBe(401);
  await planes.control.start();
});
