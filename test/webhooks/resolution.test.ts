import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { endedExecution, messagesOf } from "../support/executionRecord.ts";
import { graphql } from "../support/graphql.ts";
import { bootPlanes, type TestPlanes } from "../support/planes.ts";
import { deployTo, publishAndDeploy, publishFixture } from "../support/publishAndDeploy.ts";
import { sendWebhook, type Webhook, type WebhookAnswer } from "../support/sendWebhook.ts";
import { waitFor } from "../support/waitFor.ts";

/** Every row of the table that says how a webhook finds its customer and its flow. */
let planes: TestPlanes;

beforeAll(async () => {
  planes = await bootPlanes();
});
afterAll(() => planes?.stop());

const api = (document: string, variables: Record<string, unknown> = {}) =>
  graphql(planes.controlUrl, planes.adminToken, document, variables);

/** Sends it synchronously, so that the answer is what the flow was given. */
const run = (url: string, webhook: Webhook): Promise<WebhookAnswer> =>
  sendWebhook(url, { ...webhook, headers: { "prismatic-synchronous": "true", ...webhook.headers } });

const urlOf = (instance: { webhookUrls: Record<string, string> }): string =>
  Object.values(instance.webhookUrls)[0]!;

describe("flow_specific", () => {
  test("each flow of each instance has a URL of its own", async () => {
    const { instances } = await publishAndDeploy(planes, "flow-kinds", ["fs-a", "fs-b"]);
    const urls = Object.values(instances).flatMap((instance) => Object.values(instance.webhookUrls));
    expect(new Set(urls).size).toBe(urls.length);
    const answer = await run(instances["fs-b"]!.webhookUrls["Echo"]!, { body: { a: 1 } });
    expect(answer.json).toMatchObject({ flow: "Echo", customer: "fs-b", body: { a: 1 } });
  });
});

describe("instance_specific", () => {
  test("flow name in the body; dotted names are exact", async () => {
    const { instances } = await publishAndDeploy(planes, "instance-body", ["ib-a"]);
    const url = urlOf(instances["ib-a"]!);
    expect(new Set(Object.values(instances["ib-a"]!.webhookUrls)).size).toBe(1);
    expect((await run(url, { body: { event: "shipment.lost" } })).json).toMatchObject({
      flow: "shipment.lost",
    });
    expect((await run(url, { body: { event: "Shipment.lost" } })).status).toBe(422);
  });

  test("flow name in a header, in any case; twice is none", async () => {
    const { instances } = await publishAndDeploy(planes, "instance-header", ["ih-a"]);
    const url = urlOf(instances["ih-a"]!);
    expect((await run(url, { headers: { "X-FLOW": "Hand Out" }, body: {} })).json).toMatchObject({
      flow: "Hand Out",
    });
    const twice = new Headers([
      ["x-flow", "Hand Out"],
      ["prismatic-synchronous", "true"],
    ]);
    twice.append("x-flow", "Hand Out");
    const joined = await fetch(url, { method: "POST", headers: twice, body: "{}" });
    expect(joined.status).toBe(422);
  });

  test("flow name in a query parameter, also with GET", async () => {
    const { instances } = await publishAndDeploy(planes, "instance-query", ["iq-a"]);
    const url = urlOf(instances["iq-a"]!);
    const answer = await run(`${url}/more/path?flow=Take%20In&x=1`, { method: "GET" });
    expect(answer.json).toMatchObject({
      flow: "Take In",
      pathFragment: "/more/path",
      queryParameters: { x: "1" },
    });
    expect((await run(`${url}?flow=Take%20In&flow=Take%20In`, { method: "GET" })).status).toBe(422);
  });

  test("a preprocess flow names the flow; both parts are one execution of the instance", async () => {
    const { instances } = await publishAndDeploy(planes, "instance-preprocess", ["ip-a"]);
    const answer = await run(urlOf(instances["ip-a"]!), { body: { kind: "order", n: 1 } });
    expect(answer.json).toMatchObject({ flow: "Orders", customer: "ip-a", body: { kind: "order", n: 1 } });
    const record = await endedExecution(planes, answer.executionId!);
    expect(record).toMatchObject({
      status: "SUCCEEDED",
      flowName: "Orders",
      preprocessFlowName: "Sort Notice",
      customer: { externalId: "ip-a" },
    });
    expect(record.stepResults.nodes.map((step) => step.part)).toEqual([
      "PREPROCESS",
      "PREPROCESS",
      "FLOW",
      "FLOW",
    ]);
    const messages = messagesOf(record);
    const first = messages.indexOf("Sorting a notice of kind order for ip-a");
    expect(first).toBeGreaterThanOrEqual(0);
    expect(messages.indexOf("Orders ran for ip-a")).toBeGreaterThan(first);
  });
});

describe("shared_instance", () => {
  test("customer and flow in the body, one URL for all", async () => {
    const { instances } = await publishAndDeploy(planes, "shared-body", ["sb-a", "sb-b"]);
    const url = urlOf(instances["sb-a"]!);
    expect(urlOf(instances["sb-b"]!)).toBe(url);
    for (const account of ["sb-a", "sb-b"]) {
      expect((await run(url, { body: { account, topic: "bill.late" } })).json).toMatchObject({
        flow: "bill.late",
        customer: account,
      });
    }
    expect((await run(url, { body: { account: "nobody", topic: "bill.late" } })).json).toMatchObject({
      error: { code: "CUSTOMER_NOT_FOUND" },
    });
    expect((await run(url, { body: { account: "sb-a", topic: "bill" } })).json).toMatchObject({
      error: { code: "FLOW_NOT_FOUND" },
    });
    expect((await run(url, { body: { account: { toString: "sb-a" }, topic: "bill.late" } })).status).toBe(
      422,
    );
  });

  test("customer in the body, flow in a header, and the user of the customer", async () => {
    const { instances } = await publishAndDeploy(planes, "shared-mixed", ["sm-a"]);
    const { customerId } = instances["sm-a"]!;
    const { customerRoles } = await api(`query { customerRoles { id } }`);
    const { createCustomerUser } = await api(
      `mutation ($customer: ID!, $role: ID!) {
        createCustomerUser(
          input: { customer: $customer, role: $role, email: "person-1@sm-a.example", externalId: "person-1" }
        ) { user { id } errors { messages } }
      }`,
      { customer: customerId, role: customerRoles[0].id },
    );
    expect(createCustomerUser.errors).toEqual([]);
    const url = urlOf(instances["sm-a"]!);
    const known = await waitFor(async () => {
      const answer = await run(url, {
        headers: { "x-flow": "Sign In" },
        body: { account: "sm-a", person: "person-1" },
      });
      return answer.status === 200 ? answer : null;
    }, 2_000);
    expect(known.json).toMatchObject({ flow: "Sign In", customer: "sm-a", user: "person-1" });
    const unknown = await run(url, {
      headers: { "x-flow": "Sign In" },
      body: { account: "sm-a", person: "person-2" },
    });
    expect(unknown).toMatchObject({ status: 422, json: { error: { code: "CUSTOMER_USER_NOT_FOUND" } } });
  });

  test("a version with one flow needs no flow name", async () => {
    const { instances } = await publishAndDeploy(planes, "shared-single", ["ss-a"]);
    const answer = await run(urlOf(instances["ss-a"]!), { headers: { "x-customer": "ss-a" }, body: [1] });
    expect(answer.json).toMatchObject({ flow: "Only Flow", customer: "ss-a", body: [1] });
  });

  test("a preprocess flow names both; the target gets the original request", async () => {
    const { instances } = await publishAndDeploy(planes, "shared-preprocess", ["sp-a", "sp-b"]);
    const body = { tenant: "tenant:sp-b", topic: "contact.added" };
    const answer = await run(urlOf(instances["sp-a"]!), { body });
    expect(answer.json).toMatchObject({ flow: "contact.added", customer: "sp-b", body });
    const record = await endedExecution(planes, answer.executionId!);
    expect(record).toMatchObject({
      preprocessFlowName: "Dispatch",
      customer: { externalId: "sp-b" },
      instance: { id: instances["sp-b"]!.instanceId },
    });
  });

  test("an execution whose preprocess flow failed belongs to the integration and says why", async () => {
    const { instances, version } = await publishAndDeploy(planes, "shared-preprocess", ["sp-a"]);
    const url = urlOf(instances["sp-a"]!);
    const failed = await sendWebhook(url, { body: { fail: "no such tenant in the directory" } });
    expect(failed).toMatchObject({ status: 422, json: { error: { code: "PREPROCESS_FAILED" } } });
    const record = await endedExecution(planes, failed.executionId!);
    expect(record).toMatchObject({
      status: "FAILED",
      instance: null,
      customer: null,
      error: expect.stringContaining("no such tenant"),
    });
    const { executionResults } = await api(
      `query ($integration: ID!) { executionResults(integration: $integration, error_Isnull: false) { nodes { id } } }`,
      { integration: version.integrationId },
    );
    expect(executionResults.nodes).toContainEqual({ id: failed.executionId });

    const nobody = await sendWebhook(url, { body: { tenant: "tenant:nobody", topic: "contact.added" } });
    expect(nobody).toMatchObject({ status: 422, json: { error: { code: "CUSTOMER_NOT_FOUND" } } });
    expect((await endedExecution(planes, nobody.executionId!)).error).toContain("nobody");
    const nowhere = await sendWebhook(url, { body: { tenant: "tenant:sp-a", topic: "contact.painted" } });
    expect(nowhere).toMatchObject({ status: 422, json: { error: { code: "FLOW_NOT_FOUND" } } });
    expect(nowhere.text).not.toContain("contact.added");
    expect((await endedExecution(planes, nowhere.executionId!)).error).toContain("contact.added");
    const itself = await sendWebhook(url, { body: { tenant: "tenant:sp-a", topic: "Dispatch" } });
    expect(itself.status).toBe(422);
  });

  test("a shared preprocess flow can't read config variables", async () => {
    const { instances } = await publishAndDeploy(planes, "shared-config-vars", ["scv-a"]);
    const answer = await sendWebhook(urlOf(instances["scv-a"]!), { body: {} });
    expect(answer).toMatchObject({ status: 422, json: { error: { code: "PREPROCESS_FAILED" } } });
    expect((await endedExecution(planes, answer.executionId!)).error).toMatch(/config var/i);
  });
});

describe("the version that a shared endpoint is configured by", () => {
  const versionOf = async (url: string, account: string) => {
    const answer = await run(url, { body: { account, topic: "bill.late" } });
    return (await endedExecution(planes, answer.executionId!)).integration!.versionNumber;
  };

  test("is the latest one deployed; a flow runs on its customer's own version; removal moves it back", async () => {
    const first = await publishFixture(planes, "shared-body");
    const older = await deployTo(planes, first, "sv-old");
    const second = await publishFixture(planes, "shared-body");
    const url = urlOf(older);
    const shared = async () => {
      const { integration } = await api(
        `query ($id: ID!) { integration(id: $id) { sharedWebhookUrl sharedVersion { versionNumber } } }`,
        { id: first.integrationId },
      );
      return { url: integration.sharedWebhookUrl, versionNumber: integration.sharedVersion?.versionNumber };
    };
    expect((await shared()).versionNumber).toBe(first.versionNumber);
    const newer = await deployTo(planes, second, "sv-new");
    expect(await shared()).toEqual({ url, versionNumber: second.versionNumber });
    expect(await versionOf(url, "sv-old")).toBe(first.versionNumber);
    expect(await versionOf(url, "sv-new")).toBe(second.versionNumber);
    await api(`mutation ($id: ID!) { deleteInstance(input: { id: $id }) { errors { messages } } }`, {
      id: newer.instanceId,
    });
    expect((await shared()).versionNumber).toBe(first.versionNumber);
    expect((await run(url, { body: { account: "sv-new", topic: "bill.late" } })).status).toBe(422);
    expect((await run(url, { body: { account: "sv-old", topic: "bill.late" } })).status).toBe(200);
  });

  test("a customer has at most one instance of a shared integration", async () => {
    const version = await publishFixture(planes, "shared-body");
    const first = await deployTo(planes, version, "sone-a");
    const { createInstance } = await api(
      `mutation ($integration: ID!, $customer: ID!) {
        createInstance(input: { name: "second", integration: $integration, customer: $customer }) { instance { id } errors { messages } }
      }`,
      { integration: version.versionId, customer: first.customerId },
    );
    const { deployInstance } = await api(
      `mutation ($id: ID!) { deployInstance(input: { id: $id }) { errors { messages } } }`,
      { id: createInstance.instance.id },
    );
    expect(deployInstance.errors.length).toBeGreaterThan(0);
  });
});
