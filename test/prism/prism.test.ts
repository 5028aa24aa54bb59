/** The unmodified prism CLI against running planes: the way in for those who build integrations. */
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { toNodeId } from "../../shared/ids.ts";
import { buildExample, buildFixture } from "../support/fixtures.ts";
import { graphql } from "../support/graphql.ts";
import { bootPlanes, type TestPlanes } from "../support/planes.ts";
import { createPrism, type Prism } from "../support/prism.ts";
import { sendWebhook } from "../support/sendWebhook.ts";
import { newTemporaryFolder, removeFolder } from "../support/temporaryFolder.ts";
import { waitFor } from "../support/waitFor.ts";

const inventoryUpdate = {
  customerId: "A06DFFAC",
  type: "inventory_update",
  data: [
    { txid: "E865298B-A3EC-4D17-B410-5FDFC8861BA7", item: "bowler hat", quantity: 5, state: "removed" },
    { txid: "4A38DE96-EA6B-4AB9-B9E2-3B033CA997CC", item: "pencils", quantity: 20, state: "added" },
  ],
};

let planes: TestPlanes;
let prism: Prism;
let folder: string;

beforeAll(async () => {
  folder = newTemporaryFolder();
  planes = await bootPlanes();
  prism = createPrism({ url: planes.controlUrl, token: planes.adminToken, folder });
});

afterAll(async () => {
  await planes?.stop();
  removeFolder(folder);
});

/** A copy of a built integration's folder: prism writes beside it. */
function workingCopy(built: string, name: string): string {
  const dist = join(folder, name, "dist");
  cpSync(built, dist, { recursive: true });
  return dist;
}

const lastLine = (text: string): string => text.split("\n").at(-1)!.trim();
const importOf = async (dist: string, ...flags: string[]): Promise<string> =>
  lastLine(await prism(["integrations:import", ...flags], { cwd: dist }));

/** What is there now, asked of the control plane directly: quicker than another start of prism. */
async function look(document: string, variables: Record<string, string>) {
  return graphql(planes.controlUrl, planes.adminToken, document, variables);
}

async function executionOf(id: string): Promise<{ status: string; endedAt: string | null }> {
  return waitFor(async () => {
    const { executionResult } = await look(
      "query ($id: ID!) { executionResult(id: $id) { id status endedAt } }",
      { id },
    );
    return executionResult?.endedAt ? executionResult : undefined;
  });
}

describe("prism", () => {
  let acmeDist: string;
  let acmeId: string;
  let firstVersionId: string;
  let secondVersionId: string;
  let customerId: string;
  let instanceId: string;
  let testExecutionId: string;
  let flowConfigs: Record<string, string>[];
  let sharedUrl: string;

  test("me: tells who is signed in", async () => {
    const text = await prism(["me"]);
    expect(text).toContain("Organization");
    expect(text).toContain("Switchyard");
  });

  test("me: is refused with a wrong token", async () => {
    const stranger = createPrism({ url: planes.controlUrl, token: "not-a-token", folder });
    const { code, stdout, stderr } = await stranger.run(["me"]);
    expect(code).not.toBe(0);
    expect(stdout + stderr).not.toContain("Switchyard\n");
  });

  test("integrations:import: takes in a code-native integration with its package and icon", async () => {
    acmeDist = workingCopy(await buildExample("acme-erp", "src/versions/v1.ts"), "acme-erp");
    acmeId = await importOf(acmeDist);
    const { integration } = await look(
      "query ($id: ID!) { integration(id: $id) { name isCodeNative avatarUrl } }",
      { id: acmeId },
    );
    expect(integration).toMatchObject({ name: "Acme ERP", isCodeNative: true });
    expect(integration.avatarUrl).toBeTruthy();
  });

  test("integrations:import again: changes the same draft", async () => {
    expect(await importOf(acmeDist)).toBe(acmeId);
  });

  test("integrations:publish: makes version 1", async () => {
    firstVersionId = lastLine(await prism(["integrations:publish", acmeId, "--comment", "The first"]));
    expect(firstVersionId).toMatch(/^[A-Za-z0-9+/=]+$/);
    expect(firstVersionId).not.toBe(acmeId);
  });

  test("integrations:import and publish: make version 2 of what was built anew", async () => {
    const dist = workingCopy(await buildExample("acme-erp"), "acme-erp-2");
    expect(await importOf(dist, "--integrationId", acmeId)).toBe(acmeId);
    secondVersionId = lastLine(await prism(["integrations:publish", acmeId, "--comment", "With totals"]));
    expect(secondVersionId).not.toBe(firstVersionId);
  });

  test("integrations:list: lists the integration with its latest version", async () => {
    const listed = await prism.rows(["integrations:list"]);
    expect(listed.filter((row) => row["name"] === "Acme ERP")).toHaveLength(1);
    const all = await prism.rows(["integrations:list", "--showAllVersions"]);
    expect(all.filter((row) => row["name"] === "Acme ERP").length).toBeGreaterThanOrEqual(2);
    expect(await prism.rows(["integrations:list", "--search", "no such integration"])).toEqual([]);
  });

  test("integrations:versions: lists the versions, newest first", async () => {
    const versions = await prism.rows(["integrations:versions", acmeId]);
    expect(versions.map((row) => row["versionNumber"])).toEqual(["2", "1"]);
    const [latest] = await prism.rows(["integrations:versions", acmeId, "--latest-available"]);
    expect(latest?.["id"]).toBe(secondVersionId);
  });

  test("integrations:flows:list: lists the flows of the draft", async () => {
    const flows = await prism.rows(["integrations:flows:list", acmeId]);
    expect(flows.map((row) => row["name"]).sort()).toEqual([
      "Create Order",
      "Route Webhook",
      "Update Inventory",
    ]);
  });

  test("integrations:flows:test: runs one flow of the draft and prints the execution", async () => {
    const payload = join(folder, "inventory.json");
    writeFileSync(payload, JSON.stringify(inventoryUpdate));
    const text = await prism(flowTest("Update Inventory", "--payload", payload));
    testExecutionId = /"executionId":\s*"([^"]+)"/.exec(text)?.[1] ?? "";
    expect((await executionOf(testExecutionId)).status).toBe("SUCCEEDED");
  });

  test("integrations:flows:test --sync: prints the flow's result", async () => {
    const payload = join(folder, "inventory.json");
    const text = await prism(flowTest("Update Inventory", "--payload", payload, "--sync"));
    expect(text).toContain('"bowler hat": -5');
    expect(text).toContain('"pencils": 20');
    expect(text).toMatch(/Execution ID: \S+/);
  });

  test("integrations:flows:test: tails logs and step results until the flow has ended", async () => {
    const payload = join(folder, "inventory.json");
    const tailing = ["--tail-logs", "--tail-results", "--cni-auto-end", "--jsonl", "--timeout", "30"];
    const text = await prism(flowTest("Update Inventory", "--payload", payload, ...tailing));
    expect(text).toContain("removed 5 x bowler hat");
    const lines = text
      .split("\n")
      .flatMap((line) => (line.startsWith("{") && line.endsWith("}") ? [JSON.parse(line)] : []));
    expect(lines.some((line) => line.severity === "INFO")).toBe(true);
    expect(lines.filter((line) => line.stepName !== undefined).map((line) => line.stepName)).toEqual([
      "On Trigger",
      "On Execution",
    ]);
  });

  test("executions:step-result:get: fetches what a step returned", async () => {
    const get = ["executions:step-result:get", "-e", testExecutionId, "-s"];
    expect(JSON.parse(await prism([...get, "On Execution"]))).toMatchObject({
      lines: 2,
      totals: { "bowler hat": -5, pencils: 20 },
    });
    const file = join(folder, "step.json");
    await prism([...get, "On Trigger", "-p", file]);
    expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({ body: { data: inventoryUpdate } });
  });

  test("integrations:import: sets test keys, and flows:test --apiKey sends one", async () => {
    const dist = workingCopy(await buildFixture("customer-required"), "customer-required");
    const key = "prism-test-key-0123456789";
    const id = await importOf(dist, "--test-api-key", `Guarded="${key}"`);
    const withoutKey = await prism.run([...flowTest("Guarded"), "-i", id]);
    expect(withoutKey.stdout).toContain("KEY_REFUSED");
    const withKey = await prism([...flowTest("Guarded"), "-i", id, "--apiKey", key]);
    expect(withKey).toContain("executionId");
    await prism(["integrations:delete", id]);
    expect(await look("query ($id: ID!) { integration(id: $id) { id } }", { id })).toEqual({
      integration: null,
    });
  });

  test("customers:create: makes a customer, and refuses a second with its external id", async () => {
    const create = ["customers:create", "--name", "Hatters of York", "--externalId", "hatters-of-york"];
    customerId = lastLine(await prism([...create, "--label", "north"]));
    const again = await prism.run(create);
    expect(again.code).not.toBe(0);
    expect(again.stdout + again.stderr).toMatch(/external ?id/i);
  });

  test("customers:list and update: show and change it", async () => {
    await prism(["customers:update", customerId, "--name", "Hatters & Sons", "--description", "Hats"]);
    const row = (await prism.rows(["customers:list"])).find(({ id }) => id === customerId);
    expect(row).toMatchObject({
      name: "Hatters & Sons",
      externalId: "hatters-of-york",
      description: "Hats",
    });
  });

  test("customers:delete: deletes a customer", async () => {
    const id = lastLine(await prism(["customers:create", "--name", "Gone soon", "--externalId", "gone"]));
    await prism(["customers:delete", id]);
    expect(await look("query ($id: ID!) { customer(id: $id) { id } }", { id })).toEqual({ customer: null });
  });

  test("instances:create and deploy: put a version to a customer", async () => {
    const configVars = JSON.stringify([{ key: "Warehouse", value: "York" }]);
    const create = ["instances:create", "--name", "Acme of the hatters", "--description", "First"];
    const target = ["--integration", firstVersionId, "--customer", customerId, "--config-vars", configVars];
    instanceId = lastLine(await prism([...create, ...target]));
    await prism(["instances:deploy", instanceId]);
    const rows = await prism.rows(["instances:list", "--customer", customerId]);
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({ id: instanceId, name: "Acme of the hatters", enabled: "true" });
  });

  test("instances:config-vars:list: lists the values", async () => {
    const rows = await prism.rows(["instances:config-vars:list", instanceId]);
    expect(JSON.stringify(rows)).toContain("Warehouse");
    expect(JSON.stringify(rows)).toContain("York");
  });

  test("instances:flow-configs:list: lists each flow's URL, which takes webhooks at once", async () => {
    flowConfigs = await prism.rows(["instances:flow-configs:list", instanceId]);
    const urls = new Set(flowConfigs.map((row) => row["webhookUrl"]));
    expect(urls.size).toBe(1);
    sharedUrl = [...urls][0]!;
    const answer = await sendWebhook(sharedUrl, { body: inventoryUpdate });
    expect(answer.status).toBe(200);
    expect((await executionOf(answer.executionId!)).status).toBe("SUCCEEDED");
  });

  test("instances:flow-configs:test: runs a flow of the instance and tails its logs", async () => {
    const config = flowConfigs.find((row) => JSON.stringify(row).includes("Update Inventory"))!;
    const flags = [
      "--payload",
      JSON.stringify(inventoryUpdate),
      "--contentType",
      "application/json",
      "--tail",
    ];
    const text = await prism(["instances:flow-configs:test", config["id"]!, ...flags], { timeoutMs: 20_000 });
    expect(text).toContain("York: removed 5 x bowler hat");
  });

  test("instances:disable and enable: pause and resume it", async () => {
    const isEnabled = async (): Promise<boolean> =>
      (await look("query ($id: ID!) { instance(id: $id) { enabled } }", { id: instanceId })).instance.enabled;
    await prism(["instances:disable", instanceId]);
    expect(await isEnabled()).toBe(false);
    await prism(["instances:enable", instanceId]);
    expect(await isEnabled()).toBe(true);
  });

  test("instances:update: moves it to another version and deploys that", async () => {
    await prism([
      "instances:update",
      instanceId,
      "--name",
      "Acme, renamed",
      "--version",
      secondVersionId,
      "--deploy",
    ]);
    const answer = await sendWebhook(sharedUrl, {
      body: inventoryUpdate,
      headers: { "prismatic-synchronous": "true" },
    });
    expect(answer.json).toMatchObject({ version: 2, warehouse: "York", totals: { pencils: 20 } });
    expect((await prism.rows(["instances:list", "--integration", acmeId]))[0]?.["name"]).toBe(
      "Acme, renamed",
    );
  });

  test("integrations:delete: is refused while an instance runs on it", async () => {
    const { code, stdout, stderr } = await prism.run(["integrations:delete", acmeId]);
    expect(code).not.toBe(0);
    expect(stdout + stderr).toContain("Hatters & Sons");
  });

  test("instances:delete: takes it away", async () => {
    await prism(["instances:delete", instanceId]);
    const gone = await look("query ($id: ID!) { instance(id: $id) { id } }", { id: instanceId });
    expect(gone).toEqual({ instance: null });
  });

  test("components:publish and list: publish a component and show it", async () => {
    const dist = workingCopy(await buildFixture("plain-component"), "plain-component");
    await prism(["components:publish", "--no-confirm", "--comment", "First"], { cwd: dist });
    const listed = await waitFor(async () => {
      const rows = await prism.rows(["components:list", "--search", "greeter"]);
      return rows.length > 0 ? rows : undefined;
    });
    expect(listed[0]).toMatchObject({ key: "switchyard-fixture-greeter" });
    expect(JSON.stringify(await prism.rows(["components:list"]))).toContain("webhook-triggers");
  });

  test("logs:severities:list: lists the severities", async () => {
    const names = (await prism.rows(["logs:severities:list"])).map((row) => row["name"]?.toUpperCase());
    expect(names).toEqual(expect.arrayContaining(["DEBUG", "INFO", "WARN", "ERROR"]));
  });

  test("graphql:query: sends any query", async () => {
    const query = "query ($id: ID!) { customer(id: $id) { name externalId } }";
    const text = await prism(["graphql:query", query, "--variables", JSON.stringify({ id: customerId })]);
    expect(JSON.parse(text)).toMatchObject({ customer: { externalId: "hatters-of-york" } });
    const missing = JSON.stringify({ id: toNodeId("Customer", "00000000-0000-7000-8000-000000000000") });
    expect(JSON.parse(await prism(["graphql:query", query, "--variables", missing]))).toEqual({
      customer: null,
    });
  });

  function flowTest(flow: string, ...flags: string[]): string[] {
    const target = flow === "Guarded" ? [] : ["--integration-id", acmeId];
    return ["integrations:flows:test", ...target, "--flow-name", flow, ...flags];
  }
});
