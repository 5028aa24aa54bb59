import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadIntegration } from "../shared/scripts/bundleIntegration.ts";
import { importBuilt } from "../shared/scripts/publishIntegration.ts";
import { endedExecution, messagesOf } from "./support/executionRecord.ts";
import { buildFixture, fixtureYaml } from "./support/fixtures.ts";
import { graphql } from "./support/graphql.ts";
import { bootPlanes, type TestPlanes } from "./support/planes.ts";
import { deployTo, publishAndDeploy, publishYamlFixture } from "./support/publishAndDeploy.ts";
import { sendWebhook } from "./support/sendWebhook.ts";

/** Tests of a draft: its flows one by one, and its endpoint configuration, always for the test customer. */
let planes: TestPlanes;
const api = (document: string, variables: Record<string, unknown> = {}) =>
  graphql(planes.controlUrl, planes.adminToken, document, variables);

beforeAll(async () => {
  planes = await bootPlanes();
});
afterAll(() => planes?.stop());

const importDraft = async (fixture: string) =>
  importBuilt(planes.api, loadIntegration(await buildFixture(fixture)));

const testEndpoint = async (id: string, payload: unknown, headers: Record<string, string> = {}) =>
  (
    await api(
      `mutation ($input: TestIntegrationEndpointConfigInput!) {
        testIntegrationEndpointConfig(input: $input) {
          testIntegrationEndpointConfigResult {
            statusCode routingError flowName isFinished
            execution {
              id status error preprocessFlowName flowName customer { externalId }
              stepResults(orderBy: { field: STARTED_AT, direction: ASC }) { nodes { part stepName } }
              logs(orderBy: { field: TIMESTAMP, direction: ASC }) { nodes { severity message } }
            }
          }
          errors { field messages }
        }
      }`,
      { input: { id, payload: typeof payload === "string" ? payload : JSON.stringify(payload), headers } },
    )
  ).testIntegrationEndpointConfig;

describe("testIntegrationEndpointConfig", () => {
  test("runs both parts of a shared draft for the test customer, whatever customer is named", async () => {
    // The customer exists and has an instance of the published version: it must not be reached.
    await publishAndDeploy(planes, "shared-preprocess", ["real-customer"]);
    const id = await importDraft("shared-preprocess");
    for (const tenant of ["tenant:real-customer", "tenant:nobody-at-all"]) {
      const { testIntegrationEndpointConfigResult: result, errors } = await testEndpoint(id, {
        tenant,
        topic: "contact.removed",
      });
      expect(errors).toEqual([]);
      expect(result).toMatchObject({
        statusCode: 200,
        routingError: null,
        flowName: "contact.removed",
        isFinished: true,
      });
      expect(result.execution).toMatchObject({
        status: "SUCCEEDED",
        preprocessFlowName: "Dispatch",
        customer: { externalId: "testCustomerExternalId" },
      });
      expect(result.execution.stepResults.nodes.map((step: { part: string }) => step.part)).toEqual([
        "PREPROCESS",
        "PREPROCESS",
        "FLOW",
        "FLOW",
      ]);
      const messages = result.execution.logs.nodes.map((log: { message: string }) => log.message);
      expect(messages).toContain(`Dispatching contact.removed of tenant ${tenant}`);
      expect(messages).toContain("contact.removed ran for testCustomerExternalId");
    }
  });

  test("says why a request was not routed, in the result and in the logs", async () => {
    const id = await importDraft("shared-preprocess");
    const { testIntegrationEndpointConfigResult: result } = await testEndpoint(id, {
      tenant: "tenant:x",
      topic: "no.such.flow",
    });
    expect(result).toMatchObject({
      statusCode: 422,
      routingError: expect.stringContaining("no.such.flow"),
      flowName: null,
    });
    expect(result.execution.logs.nodes).toContainEqual({
      severity: "ERROR",
      message: expect.stringContaining("no.such.flow"),
    });
    const failed = await testEndpoint(id, { fail: "the directory is down" });
    expect(failed.testIntegrationEndpointConfigResult).toMatchObject({
      statusCode: 422,
      execution: { status: "FAILED", error: expect.stringContaining("directory is down") },
    });
  });

  test("without a preprocess flow: by header and body; a missing name and a broken body say so", async () => {
    const id = await importDraft("shared-mixed");
    const routed = await testEndpoint(id, { account: "anybody" }, { "X-Flow": "Sign Out" });
    expect(routed.testIntegrationEndpointConfigResult).toMatchObject({
      statusCode: 200,
      flowName: "Sign Out",
    });
    const unrouted = await testEndpoint(id, { account: "anybody" });
    expect(unrouted.testIntegrationEndpointConfigResult).toMatchObject({
      statusCode: 422,
      routingError: expect.stringContaining("headers.x-flow"),
    });
    const broken = await testEndpoint(id, "{ not json");
    expect(broken.testIntegrationEndpointConfigResult).toMatchObject({
      statusCode: 400,
      execution: { status: "FAILED" },
    });
  });

  test("keys are asked for as by the real endpoint", async () => {
    const id = await importDraft("shared-secured");
    const payload = { flowName: "Public Work", customerId: "x" };
    const without = await testEndpoint(id, payload);
    expect(without.testIntegrationEndpointConfigResult).toMatchObject({ statusCode: 401 });
    const withKey = await testEndpoint(id, payload, { "Api-Key": "organization-key-of-the-guard" });
    expect(withKey.testIntegrationEndpointConfigResult).toMatchObject({
      statusCode: 200,
      flowName: "Public Work",
    });
    expect(JSON.stringify(withKey)).not.toContain("organization-key-of-the-guard");
  });
});

describe("testIntegrationFlow", () => {
  test("runs one flow of the draft with a payload and headers", async () => {
    const id = await importDraft("shared-body");
    const { integration } = await api(
      `query ($id: ID!) { integration(id: $id) { flows { nodes { id name testUrl } } } }`,
      { id },
    );
    const flow = integration.flows.nodes.find((each: { name: string }) => each.name === "bill.late");
    const { testIntegrationFlow } = await api(
      `mutation ($input: TestIntegrationFlowInput!) {
        testIntegrationFlow(input: $input) { testIntegrationFlowResult { execution { id } } errors { messages } }
      }`,
      {
        input: {
          id: flow.id,
          payload: '{"a":1}',
          contentType: "application/json",
          headers: { "X-Test": "1" },
        },
      },
    );
    expect(testIntegrationFlow.errors).toEqual([]);
    const record = await endedExecution(planes, testIntegrationFlow.testIntegrationFlowResult.execution.id);
    expect(record).toMatchObject({
      status: "SUCCEEDED",
      flowName: "bill.late",
      customer: { externalId: "testCustomerExternalId" },
    });
    expect(messagesOf(record)).toContain("bill.late ran for testCustomerExternalId");
    const direct = await sendWebhook(flow.testUrl, {
      body: { b: 2 },
      headers: { "prismatic-synchronous": "true" },
    });
    expect(direct.json).toMatchObject({
      flow: "bill.late",
      customer: "testCustomerExternalId",
      body: { b: 2 },
    });
  });
});

describe("a low-code definition", () => {
  test("runs its steps in order: code, references, config variables, a preprocess flow", async () => {
    const version = await publishYamlFixture(planes, "low-code");
    const { webhookUrls } = await deployTo(planes, version, "low-code-customer");
    const url = webhookUrls["Greet"]!;
    expect((await sendWebhook(url, { body: { kind: "greeting", who: "Ann" } })).json).toBe("Good day, Ann");
    const counted = await sendWebhook(url, {
      body: { kind: "other", items: [1, 2, 3] },
      headers: { "prismatic-synchronous": "true" },
    });
    expect(counted.json).toBe(3);
  });

  test("with a component or action that is not there is refused on import, by name", async () => {
    const unknown = async (yaml: string) =>
      (
        await api(
          `mutation ($yaml: String!) { importIntegration(input: { definition: $yaml }) { integration { id } errors { field messages } } }`,
          { yaml },
        )
      ).importIntegration;
    const yaml = fixtureYaml("low-code");
    expect(
      (await unknown(yaml.replaceAll("key: code,", "key: quantum-code,"))).errors[0].messages[0],
    ).toContain("quantum-code");
    expect(
      (await unknown(yaml.replaceAll("key: runCode,", "key: runFast,"))).errors[0].messages[0],
    ).toContain("runFast");
  });
});

test("a bundle that can't be loaded fails the deploy, and the instance is not deployed", async () => {
  const built = loadIntegration(await buildFixture("shared-single"));
  const { mkdtempSync, writeFileSync } = await import("node:fs");
  const { tmpdir } = await import("node:os");
  const { join } = await import("node:path");
  const folder = mkdtempSync(join(tmpdir(), "switchyard-broken-"));
  writeFileSync(join(folder, "index.js"), "throw new Error('this bundle is broken');");
  const yaml = built.yaml.replace("Fixture Shared Single", "Fixture Broken");
  const { display } = built.component;
  const id = await importBuilt(planes.api, {
    ...built,
    component: { ...built.component, display: { ...display, iconPath: undefined } },
    folder,
    yaml,
  });
  const { publishIntegration } = await api(
    `mutation ($id: ID!) { publishIntegration(input: { id: $id }) { integration { id } errors { messages } } }`,
    { id },
  );
  const { createCustomer } = await api(
    `mutation { createCustomer(input: { name: "B", externalId: "broken-a" }) { customer { id } errors { messages } } }`,
  );
  const { createInstance } = await api(
    `mutation ($integration: ID!, $customer: ID!) { createInstance(input: { name: "b", integration: $integration, customer: $customer }) { instance { id } errors { messages } } }`,
    { integration: publishIntegration.integration.id, customer: createCustomer.customer.id },
  );
  const { deployInstance } = await api(
    `mutation ($id: ID!) { deployInstance(input: { id: $id }) { instance { id } errors { messages } } }`,
    { id: createInstance.instance.id },
  );
  expect(deployInstance.errors[0].messages[0]).toContain("this bundle is broken");
  const { instance } = await api(
    `query ($id: ID!) { instance(id: $id) { lastDeployedAt flowConfigs { nodes { webhookUrl } } } }`,
    { id: createInstance.instance.id },
  );
  expect(instance.lastDeployedAt).toBeNull();
});
