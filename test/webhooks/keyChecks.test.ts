import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { graphql } from "../support/graphql.ts";
import { bootPlanes, type TestPlanes } from "../support/planes.ts";
import { publishAndDeploy, publishFixture } from "../support/publishAndDeploy.ts";
import { sendWebhook, type WebhookAnswer } from "../support/sendWebhook.ts";
import { waitFor } from "../support/waitFor.ts";

/** What stands around the check of a key: reasons, limits, last use, allow lists, proxies, staleness. */
const wrongKeysPerMinute = 6;
const maxStalenessSeconds = 3;

let planes: TestPlanes;
const api = (document: string, variables: Record<string, unknown> = {}) =>
  graphql(planes.controlUrl, planes.adminToken, document, variables);

beforeAll(async () => {
  planes = await bootPlanes({
    environment: {
      // The test is the proxy, so that it can be many senders.
      SWITCHYARD_TRUSTED_PROXIES: "127.0.0.1, 10.0.0.0/8",
      SWITCHYARD_WRONG_KEYS_PER_MINUTE: String(wrongKeysPerMinute),
      SWITCHYARD_MAX_STALENESS: String(maxStalenessSeconds),
      SWITCHYARD_API_REQUESTS_PER_SECOND: "0",
    },
  });
});
afterAll(() => planes?.stop());

interface Sender {
  from?: string;
  key?: string;
  body?: unknown;
}

const send = (url: string, { from, key, body = { a: 1 } }: Sender = {}): Promise<WebhookAnswer> =>
  sendWebhook(url, {
    body,
    headers: {
      ...(key === undefined ? {} : { "Api-Key": key }),
      ...(from === undefined ? {} : { "X-Forwarded-For": from }),
    },
  });

const createKey = async (flowConfig: string, input: Record<string, unknown> = {}) => {
  const { createApiKey } = await api(
    `mutation ($input: CreateApiKeyInput!) {
      createApiKey(input: $input) { apiKey { id } key pendingDataPlanes errors { field messages } }
    }`,
    { input: { flowConfig, ...input } },
  );
  expect(createApiKey).toMatchObject({ errors: [], pendingDataPlanes: [] });
  return { id: createApiKey.apiKey.id as string, key: createApiKey.key as string };
};

const revokeKey = async (id: string) => {
  const { revokeApiKey } = await api(
    `mutation ($id: ID!) { revokeApiKey(input: { id: $id }) { pendingDataPlanes errors { messages } } }`,
    { id },
  );
  expect(revokeApiKey).toEqual({ errors: [], pendingDataPlanes: [] });
};

const flowConfigOf = async (instance: string, flowName: string): Promise<{ id: string; url: string }> => {
  const data = await api(
    `query ($id: ID!) { instance(id: $id) { flowConfigs { nodes { id webhookUrl flow { name } } } } }`,
    { id: instance },
  );
  const found = data.instance.flowConfigs.nodes.find(
    (config: { flow: { name: string } }) => config.flow.name === flowName,
  );
  return { id: found.id, url: found.webhookUrl };
};

/** The flow "Take In" of a new customer, with a URL of its own and optional keys. */
let customers = 0;
async function newFlow(): Promise<{ id: string; url: string; instanceId: string }> {
  const externalId = `kc-${++customers}`;
  const { instances } = await publishAndDeploy(planes, "flow-kinds", [externalId]);
  const { instanceId } = instances[externalId]!;
  return { ...(await flowConfigOf(instanceId, "Echo")), instanceId };
}

const rejectionOf = (answer: WebhookAnswer) =>
  waitFor(async () => {
    const { rejections } = await api(
      `query ($requestId: String!) { rejections(requestId: $requestId) { nodes { code status reason remoteAddress } } }`,
      { requestId: answer.headers.get("x-request-id") },
    );
    return rejections.nodes[0] as { code: string; status: number; reason: string; remoteAddress: string };
  });

describe("a key that does not count", () => {
  test("looks the same from outside, whatever is wrong with it, and the rejection says what", async () => {
    const { id, url } = await newFlow();
    const revoked = await createKey(id);
    const expiring = await createKey(id, { expiresAt: new Date(Date.now() + 1500).toISOString() });
    const good = await createKey(id);
    for (const { key } of [revoked, expiring, good]) expect((await send(url, { key })).status).toBe(200);
    await revokeKey(revoked.id);
    // No message comes when a key expires: the data plane's own clock decides, also for a key seen just now.
    await waitFor(async () => (await send(url, { key: expiring.key, from: "198.51.100.1" })).status === 401);
    const answers = {
      missing: await send(url, {}),
      wrong: await send(url, { key: "no-such-key-anywhere" }),
      revoked: await send(url, { key: revoked.key }),
      expired: await send(url, { key: expiring.key }),
    };
    const outside = Object.values(answers).map(({ status, json, headers }) => ({
      status,
      error: { ...json.error, requestId: "" },
      headers: [...headers.keys()].filter((name) => name !== "date").sort(),
    }));
    expect(outside[0]).toMatchObject({ status: 401, error: { code: "KEY_REFUSED" } });
    for (const each of outside) expect(each).toEqual(outside[0]);
    const reasons = {
      missing: (await rejectionOf(answers.missing)).reason,
      wrong: (await rejectionOf(answers.wrong)).reason,
      revoked: (await rejectionOf(answers.revoked)).reason,
      expired: (await rejectionOf(answers.expired)).reason,
    };
    expect(reasons).toEqual({
      missing: 'No key was sent for the flow "Echo".',
      wrong: 'No key that was sent is one of the flow "Echo".',
      revoked: expect.stringMatching(/^The key that was sent for the flow "Echo" was revoked at \d{4}-.+/),
      expired: expect.stringMatching(/^The key that was sent for the flow "Echo" expired at \d{4}-.+/),
    });
    expect(reasons.revoked).toContain(revoked.id);
    expect(reasons.expired).toContain(expiring.id);
    expect((await send(url, { key: good.key })).status).toBe(200);
  });
});

describe("wrong keys", () => {
  test("are limited by endpoint and address; a valid key, a missing one and others are not", async () => {
    const { id, url } = await newFlow();
    const other = await newFlow();
    await createKey(other.id);
    const good = await createKey(id);
    const revoked = await createKey(id);
    await revokeKey(revoked.id);
    const from = "203.0.113.7";
    for (let count = 0; count < wrongKeysPerMinute; count++) {
      // Revoked ones count like guessed ones, or the limit would tell which it was.
      const key = count % 2 === 0 ? `guess-number-${count}-of-many` : revoked.key;
      expect((await send(url, { from, key })).status).toBe(401);
    }
    const limited = await send(url, { from, key: "one-guess-too-many-" });
    expect(limited).toMatchObject({ status: 429, json: { error: { code: "TOO_MANY_WRONG_KEYS" } } });
    const retryAfter = Number(limited.headers.get("retry-after"));
    expect(retryAfter).toBeGreaterThanOrEqual(1);
    expect(retryAfter).toBeLessThanOrEqual(60);
    expect(await rejectionOf(limited)).toMatchObject({
      code: "TOO_MANY_WRONG_KEYS",
      status: 429,
      remoteAddress: from,
      reason: `More than ${wrongKeysPerMinute} wrong keys in a minute from ${from}. No key that was sent is one of the flow "Echo".`,
    });
    expect((await send(url, { from, key: revoked.key })).status).toBe(429);
    expect((await send(url, { from, key: good.key })).status).toBe(200);
    expect((await send(url, { from, key: `guess-again-guess-again, ${good.key}` })).status).toBe(200);
    expect((await send(url, { from })).status).toBe(401);
    expect((await send(url, { from: "203.0.113.8", key: "a-guess-from-elsewhere" })).status).toBe(401);
    expect((await send(other.url, { from, key: "a-guess-somewhere-else" })).status).toBe(401);
    // What a sender claims itself, left of what the proxy saw, does not make it another.
    expect((await send(url, { from: `198.51.100.99, ${from}`, key: "a-guess-in-disguise" })).status).toBe(
      429,
    );
  });

  test("are counted at the target of a preprocess flow, too, and IPv6 by its /64", async () => {
    const version = await publishFixture(planes, "shared-secured");
    const instance = await deployWithKey(version, "kc-shared", "Private Work", "private-key-of-customer-kc");
    const { url } = await flowConfigOf(instance, "Private Work");
    const body = { flowName: "Private Work", customerId: "kc-shared" };
    const guess = (interfaceId: number, key: string) =>
      send(url, { from: `2001:db8:7:7::${interfaceId}`, key: `organization-key-of-the-guard, ${key}`, body });
    for (let count = 0; count < wrongKeysPerMinute; count++)
      expect((await guess(count, `guess-number-${count}-of-many`)).status).toBe(401);
    const limited = await guess(99, "one-guess-too-many-");
    expect(limited).toMatchObject({ status: 429, json: { error: { code: "TOO_MANY_WRONG_KEYS" } } });
    expect(Number(limited.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    expect(limited.executionId).toBeUndefined();
    expect((await guess(99, "private-key-of-customer-kc")).status).toBe(200);
  });
});

describe("the last use of a key", () => {
  test("is noted for valid keys only, and sent at the latest when the data plane drains", async () => {
    const { id, url, instanceId } = await newFlow();
    const used = await createKey(id);
    const unused = await createKey(id);
    const startedMs = Date.now();
    for (let count = 0; count < 3; count++) expect((await send(url, { key: used.key })).status).toBe(200);
    await send(url, { key: "no-such-key-anywhere" });
    await planes.data.stop();
    const data = await api(
      `query ($id: ID!) { instance(id: $id) { flowConfigs { nodes { keys { nodes { id lastUsedAt } } } } } }`,
      { id: instanceId },
    );
    const keys: { id: string; lastUsedAt: string | null }[] = data.instance.flowConfigs.nodes.flatMap(
      (config: { keys: { nodes: unknown[] } }) => config.keys.nodes,
    );
    const lastUsedAt = keys.find((key) => key.id === used.id)?.lastUsedAt;
    expect(Date.parse(lastUsedAt ?? "")).toBeGreaterThanOrEqual(startedMs);
    expect(keys.find((key) => key.id === unused.id)?.lastUsedAt).toBeNull();
    await planes.data.start();
    expect((await send(url, { key: used.key })).status).toBe(200);
  });
});

describe("a list of allowed addresses", () => {
  const setAllowed = async (input: Record<string, unknown>) =>
    (
      await api(
        `mutation ($input: SetAllowedAddressesInput!) {
          setAllowedAddresses(input: $input) { allowedAddresses pendingDataPlanes errors { field messages } }
        }`,
        { input },
      )
    ).setAllowedAddresses;

  test("keeps others from a flow's URL before their key is looked at, until it is empty again", async () => {
    const { id, url } = await newFlow();
    expect(
      await setAllowed({ flowConfig: id, addresses: ["192.0.2.77/24", "2001:db8::/32", "192.0.2.0/24"] }),
    ).toEqual({
      allowedAddresses: ["192.0.2.0/24", "2001:db8::/32"],
      pendingDataPlanes: [],
      errors: [],
    });
    const { instanceFlowConfig } = await api(
      `query ($id: ID!) { instanceFlowConfig(id: $id) { allowedAddresses } }`,
      { id },
    );
    expect(instanceFlowConfig.allowedAddresses).toEqual(["192.0.2.0/24", "2001:db8::/32"]);
    for (const from of ["192.0.2.200", "2001:db8:1::5", "::ffff:192.0.2.1", "192.0.2.9, 10.0.0.3"])
      expect([from, (await send(url, { from })).status]).toEqual([from, 200]);
    await createKey(id);
    for (const from of ["192.0.3.1", "192.0.2.9, 203.0.113.1", undefined]) {
      const refused = await send(url, { ...(from && { from }), key: "no-such-key-anywhere" });
      expect(refused).toMatchObject({ status: 403, json: { error: { code: "ADDRESS_NOT_ALLOWED" } } });
    }
    const refused = await send(url, { from: "192.0.3.1" });
    expect(await rejectionOf(refused)).toEqual({
      code: "ADDRESS_NOT_ALLOWED",
      status: 403,
      remoteAddress: "192.0.3.1",
      reason: "The address 192.0.3.1 is not on the list of those that may post to this endpoint.",
    });
    expect((await send(url, { from: "192.0.2.200" })).status).toBe(401);
    expect(await setAllowed({ flowConfig: id, addresses: [] })).toMatchObject({ errors: [] });
    expect((await send(url, { from: "192.0.3.1" })).status).toBe(401);
  });

  test("is the instance's or the integration's where the URL is", async () => {
    const own = await publishAndDeploy(planes, "instance-header", ["kc-instance"]);
    const instance = own.instances["kc-instance"]!;
    const instanceUrl = Object.values(instance.webhookUrls)[0]!;
    const flowConfig = await flowConfigOf(instance.instanceId, "Take In");
    const refused = await setAllowed({ flowConfig: flowConfig.id, addresses: ["192.0.2.1"] });
    expect(refused.errors[0].messages[0]).toContain("posted to the instance's URL");
    expect(await setAllowed({ instance: instance.instanceId, addresses: ["192.0.2.1"] })).toMatchObject({
      errors: [],
    });
    const headers = { "X-Flow": "Take In" };
    const statusFrom = async (url: string, from: string, body: unknown) =>
      (await sendWebhook(url, { body, headers: { ...headers, "X-Forwarded-For": from } })).status;
    expect(await statusFrom(instanceUrl, "192.0.2.1", {})).toBe(200);
    expect(await statusFrom(instanceUrl, "192.0.2.2", {})).toBe(403);

    const shared = await publishAndDeploy(planes, "shared-body", ["kc-shared-body"]);
    const sharedUrl = Object.values(shared.instances["kc-shared-body"]!.webhookUrls)[0]!;
    const { integrationId } = shared.version;
    expect(await setAllowed({ integration: integrationId, addresses: ["2001:db8::1"] })).toMatchObject({
      errors: [],
    });
    expect(await statusFrom(sharedUrl, "192.0.2.1", {})).toBe(403);
    expect(await statusFrom(sharedUrl, "2001:db8:0::1", {})).not.toBe(403);
    const { integration } = await api(`query ($id: ID!) { integration(id: $id) { allowedAddresses } }`, {
      id: integrationId,
    });
    expect(integration.allowedAddresses).toEqual(["2001:db8::1"]);
  });

  test("takes addresses and ranges only, 200 at most, for one owner", async () => {
    const { id, instanceId } = await newFlow();
    const refusals: [Record<string, unknown>, string, string][] = [
      [{ flowConfig: id, addresses: ["10.0.0.0/33"] }, "addresses", '"10.0.0.0/33" is neither'],
      [{ flowConfig: id, addresses: ["example.com"] }, "addresses", '"example.com" is neither'],
      [{ flowConfig: id, addresses: Array(201).fill("10.0.0.1") }, "addresses", "At most 200"],
      [{ addresses: [] }, "__all__", "Give one of"],
      [{ flowConfig: id, instance: instanceId, addresses: [] }, "__all__", "Give one of"],
      [{ flowConfig: instanceId, addresses: [] }, "flowConfig", "is not the id of"],
    ];
    for (const [input, field, message] of refusals) {
      const { errors } = await setAllowed(input);
      expect(errors[0]).toMatchObject({ field, messages: [expect.stringContaining(message)] });
    }
  });
});

describe("a data plane that is cut off", () => {
  test("serves on up to the limit, then answers 503, also after a restart, and is well when it hears again", async () => {
    const { id, url } = await newFlow();
    const { key } = await createKey(id);
    const ready = async () => (await fetch(`${planes.ingressUrl}/readyz`)).status;
    // Longer than the limit, with nothing changing: it is heard of all the same.
    await sleep(maxStalenessSeconds * 1000 + 500);
    expect((await send(url, { key })).status).toBe(200);
    await planes.control.kill();
    expect((await send(url, { key })).status).toBe(200);
    const stale = await waitFor(async () => {
      const answer = await send(url, { key });
      return answer.status === 503 ? answer : null;
    }, 8_000);
    expect(stale).toMatchObject({ json: { error: { code: "STALE" } } });
    expect(Number(stale.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await ready()).toBe(503);
    await planes.data.kill();
    const started = planes.data.start();
    const again = await waitFor(() => send(url, { key }));
    expect(again).toMatchObject({ status: 503, json: { error: { code: "STALE" } } });
    expect(await ready()).toBe(503);
    await planes.control.start();
    await started;
    expect(await ready()).toBe(200);
    expect((await send(url, { key })).status).toBe(200);
    // Not that of the first one: such refusals are noted without waiting for the disk, and the process was killed.
    expect(await rejectionOf(again)).toMatchObject({
      code: "STALE",
      reason: expect.stringMatching(/^The control plane was not heard of for \d+ seconds/),
    });
  }, 60_000);
});

async function deployWithKey(
  version: { versionId: string },
  externalId: string,
  flowName: string,
  key: string,
): Promise<string> {
  const { createCustomer } = await api(
    `mutation ($e: String!) { createCustomer(input: { name: $e, externalId: $e }) { customer { id } errors { messages } } }`,
    { e: externalId },
  );
  const { createInstance } = await api(
    `mutation ($integration: ID!, $customer: ID!) { createInstance(input: { name: "x", integration: $integration, customer: $customer }) { instance { id } errors { messages } } }`,
    { integration: version.versionId, customer: createCustomer.customer.id },
  );
  const { id } = createInstance.instance;
  await createKey((await flowConfigOf(id, flowName)).id, { key });
  const { deployInstance } = await api(
    `mutation ($id: ID!) { deployInstance(input: { id: $id }) { errors { messages } } }`,
    { id },
  );
  expect(deployInstance.errors).toEqual([]);
  return id;
}
