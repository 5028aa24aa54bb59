import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { endedExecution } from "../support/executionRecord.ts";
import { graphql } from "../support/graphql.ts";
import { bootPlanes, type TestPlanes } from "../support/planes.ts";
import { publishAndDeploy, publishFixture } from "../support/publishAndDeploy.ts";
import { sendWebhook } from "../support/sendWebhook.ts";

/** Every row of the table of security types, and the life of a key. */
let planes: TestPlanes;
const api = (document: string, variables: Record<string, unknown> = {}) =>
  graphql(planes.controlUrl, planes.adminToken, document, variables);

beforeAll(async () => {
  planes = await bootPlanes();
});
afterAll(() => planes?.stop());

async function flowConfigsOf(
  instanceId: string,
): Promise<Record<string, { id: string; apiKeys: string[]; webhookUrl: string; flow: { id: string } }>> {
  const { instance } = await api(
    `query ($id: ID!) { instance(id: $id) { flowConfigs { nodes { id apiKeys webhookUrl flow { id name } } } } }`,
    { id: instanceId },
  );
  return Object.fromEntries(
    instance.flowConfigs.nodes.map((config: { flow: { name: string } }) => [config.flow.name, config]),
  );
}

const createKey = async (flowConfig: string, key?: string) =>
  (
    await api(
      `mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { apiKey { id } key pendingDataPlanes errors { field messages } } }`,
      { input: { flowConfig, name: "test", ...(key === undefined ? {} : { key }) } },
    )
  ).createApiKey;

const revokeKey = async (id: string) =>
  (
    await api(
      `mutation ($id: ID!) { revokeApiKey(input: { id: $id }) { pendingDataPlanes errors { messages } } }`,
      { id },
    )
  ).revokeApiKey;

const statusOf = async (url: string, key?: string) =>
  (await sendWebhook(url, { body: { a: 1 }, headers: key === undefined ? {} : { "Api-Key": key } })).status;

describe("security types", () => {
  test("unsecured, customer_optional, organization", async () => {
    const version = await publishFixture(planes, "keys");
    const { createInstance } = await api(
      `mutation ($integration: ID!) {
        createCustomer(input: { name: "K", externalId: "k-a" }) { customer { id } }
        createInstance(input: { name: "k", integration: $integration, customer: "bm9uZQ==" }) { errors { messages } }
      }`,
      { integration: version.versionId },
    );
    expect(createInstance.errors.length).toBe(1);
    const instance = await instanceWithKey("k-b", version.versionId, "Required", "key-brought-by-customer-b");
    const configs = await flowConfigsOf(instance);
    expect(await statusOf(configs["Open"]!.webhookUrl)).toBe(200);
    expect(await statusOf(configs["Open"]!.webhookUrl, "any key at all!!")).toBe(200);
    expect(await statusOf(configs["Optional"]!.webhookUrl)).toBe(200);
    expect(await statusOf(configs["Organization"]!.webhookUrl)).toBe(401);
    expect(await statusOf(configs["Organization"]!.webhookUrl, "organization-key-number-one")).toBe(200);
    expect(await statusOf(configs["Required"]!.webhookUrl)).toBe(401);
    expect(await statusOf(configs["Required"]!.webhookUrl, "organization-key-number-one")).toBe(401);
    expect(await statusOf(configs["Required"]!.webhookUrl, "key-brought-by-customer-b")).toBe(200);
  });

  test("an optional flow with a key needs it from the first request after the mutation's answer, until it is revoked", async () => {
    const version = await publishFixture(planes, "keys");
    const instance = await instanceWithKey("k-c", version.versionId, "Required", "key-brought-by-customer-c");
    const { id, webhookUrl } = (await flowConfigsOf(instance))["Optional"]!;
    const made = await createKey(id);
    expect(made).toMatchObject({
      errors: [],
      pendingDataPlanes: [],
      key: expect.stringMatching(/^\S{16,}$/),
    });
    expect(await statusOf(webhookUrl)).toBe(401);
    expect(await statusOf(webhookUrl, made.key)).toBe(200);
    expect(await statusOf(webhookUrl, `${made.key}x`)).toBe(401);
    const second = await createKey(id, "a-second-key-brought-along");
    expect(second).toMatchObject({ errors: [] });
    expect(await statusOf(webhookUrl, "a-second-key-brought-along")).toBe(200);
    expect(await statusOf(webhookUrl, `nope-nope-nope-nope, ${made.key}`)).toBe(200);
    expect(await statusOf(webhookUrl, `a1,b2,c3,d4,${made.key}`)).toBe(401);
    expect(await revokeKey(made.apiKey.id)).toMatchObject({ errors: [], pendingDataPlanes: [] });
    expect(await statusOf(webhookUrl, made.key)).toBe(401);
    expect(await statusOf(webhookUrl, "a-second-key-brought-along")).toBe(200);
  });

  test("missing and wrong look the same", async () => {
    const version = await publishFixture(planes, "keys");
    const instance = await instanceWithKey("k-d", version.versionId, "Required", "key-brought-by-customer-d");
    const { webhookUrl } = (await flowConfigsOf(instance))["Required"]!;
    const missing = await sendWebhook(webhookUrl, { body: {} });
    const wrong = await sendWebhook(webhookUrl, {
      body: {},
      headers: { "Api-Key": "wrong-wrong-wrong-wrong" },
    });
    const strip = (answer: { json: { error: Record<string, unknown> } }) => ({
      ...answer.json.error,
      requestId: "",
    });
    expect(strip(missing)).toEqual(strip(wrong));
    expect(missing.status).toBe(wrong.status);
  });
});

describe("customer_required", () => {
  test("blocks the deploy that lacks a key, and lists which flows need one with their URLs before it", async () => {
    const version = await publishFixture(planes, "customer-required");
    const { createCustomer } = await api(
      `mutation { createCustomer(input: { name: "R", externalId: "r-a" }) { customer { id } errors { messages } } }`,
    );
    const { createInstance } = await api(
      `mutation ($integration: ID!, $customer: ID!) {
        createInstance(input: { name: "r", integration: $integration, customer: $customer }) {
          instance { id flowsThatNeedKeys { id webhookUrl flow { name } } } errors { messages }
        }
      }`,
      { integration: version.versionId, customer: createCustomer.customer.id },
    );
    const { instance } = createInstance;
    expect(instance.flowsThatNeedKeys).toMatchObject([
      { flow: { name: "Guarded" }, webhookUrl: expect.stringContaining("/trigger/") },
    ]);
    const deploy = async () =>
      (
        await api(`mutation ($id: ID!) { deployInstance(input: { id: $id }) { errors { messages } } }`, {
          id: instance.id,
        })
      ).deployInstance;
    expect((await deploy()).errors[0].messages[0]).toContain("Guarded");
    const made = await createKey(instance.flowsThatNeedKeys[0].id);
    expect((await deploy()).errors).toEqual([]);
    expect(await statusOf(instance.flowsThatNeedKeys[0].webhookUrl, made.key)).toBe(200);
    expect((await revokeKey(made.apiKey.id)).errors.length).toBe(1);
    expect(await statusOf(instance.flowsThatNeedKeys[0].webhookUrl, made.key)).toBe(200);
  });
});

describe("lists of keys, as prism writes them", () => {
  test("a mask keeps a key, a new text adds one, what is left out is revoked", async () => {
    const { instances } = await publishAndDeploy(planes, "flow-kinds", ["kl-a"]);
    const { instanceId } = instances["kl-a"]!;
    const echo = (await flowConfigsOf(instanceId))["Echo"]!;
    const write = async (apiKeys: string[]) =>
      (
        await api(
          `mutation ($id: ID!, $flowConfigs: [InputInstanceFlowConfig]) {
            updateInstance(input: { id: $id, flowConfigs: $flowConfigs, configMode: "INSTANCE" }) { instance { flowConfigs { nodes { apiKeys flow { name } } } } errors { field messages } }
          }`,
          { id: instanceId, flowConfigs: [{ flowId: echo.flow.id, apiKeys }] },
        )
      ).updateInstance;
    expect((await write(["first-key-0123456789", "second-key-0123456789"])).errors).toEqual([]);
    const masks = (await flowConfigsOf(instanceId))["Echo"]!.apiKeys;
    expect(masks).toHaveLength(2);
    expect(masks.join()).not.toContain("key-0123456789");
    expect((await write([masks[1]!, "third-key-0123456789"])).errors).toEqual([]);
    expect(await statusOf(echo.webhookUrl, "first-key-0123456789")).toBe(401);
    expect(await statusOf(echo.webhookUrl, "second-key-0123456789")).toBe(200);
    expect(await statusOf(echo.webhookUrl, "third-key-0123456789")).toBe(200);
    expect((await write(["short"])).errors.length).toBe(1);
    expect((await write([])).errors).toEqual([]);
    expect(await statusOf(echo.webhookUrl)).toBe(200);
  });
});

describe("on the way through a preprocess flow", () => {
  test("the preprocess flow's key first, then the target's; several may be sent", async () => {
    const version = await publishFixture(planes, "shared-secured");
    const instance = await instanceWithKey(
      "ps-a",
      version.versionId,
      "Private Work",
      "private-key-of-customer-a",
    );
    const url = (await flowConfigsOf(instance))["Private Work"]!.webhookUrl;
    const send = (flowName: string, key?: string) =>
      sendWebhook(url, {
        body: { flowName, customerId: "ps-a" },
        headers: key === undefined ? {} : { "Api-Key": key },
      });
    expect((await send("Public Work")).status).toBe(401);
    expect((await send("Public Work", "organization-key-of-the-guard")).status).toBe(200);
    const refused = await send("Private Work", "organization-key-of-the-guard");
    expect(refused).toMatchObject({ status: 401, json: { error: { code: "KEY_REFUSED" } } });
    const both = await send("Private Work", "organization-key-of-the-guard, private-key-of-customer-a");
    expect(both.status).toBe(200);
    expect((await endedExecution(planes, both.executionId!)).flowName).toBe("Private Work");
  });
});

/** An instance with a brought key for one flow, deployed. */
async function instanceWithKey(
  externalId: string,
  versionId: string,
  flowName: string,
  key: string,
): Promise<string> {
  const { createCustomer } = await api(
    `mutation ($e: String!) { createCustomer(input: { name: $e, externalId: $e }) { customer { id } errors { messages } } }`,
    { e: externalId },
  );
  const { createInstance } = await api(
    `mutation ($integration: ID!, $customer: ID!) { createInstance(input: { name: "x", integration: $integration, customer: $customer }) { instance { id } errors { messages } } }`,
    { integration: versionId, customer: createCustomer.customer.id },
  );
  const { id } = createInstance.instance;
  const made = await createKey((await flowConfigsOf(id))[flowName]!.id, key);
  expect(made.errors).toEqual([]);
  const { deployInstance } = await api(
    `mutation ($id: ID!) { deployInstance(input: { id: $id }) { errors { messages } } }`,
    { id },
  );
  expect(deployInstance.errors).toEqual([]);
  return id;
}

test("organization keys are in no answer of the API, not in the definition either", async () => {
  const version = await publishFixture(planes, "keys");
  const { integration } = await api(`query ($id: ID!) { integration(id: $id) { definition } }`, {
    id: version.integrationId,
  });
  expect(integration.definition).toContain("Organization");
  expect(integration.definition).not.toContain("organization-key-number-one");
});
