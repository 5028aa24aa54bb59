/** What prism's own templates make, built and brought in by prism: an integration, and a component in a low-code flow. */
import { createHmac } from "node:crypto";
import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  configure,
  connectionInput,
  deploy,
  newCustomer,
  newInstance,
} from "../support/configuredInstance.ts";
import { endedExecution, messagesOf } from "../support/executionRecord.ts";
import { bootPlanes, type TestPlanes } from "../support/planes.ts";
import { createPrism, type Prism } from "../support/prism.ts";
import { sendWebhook } from "../support/sendWebhook.ts";
import { newTemporaryFolder, removeFolder } from "../support/temporaryFolder.ts";

const repository = join(import.meta.dirname, "..", "..");
const apiKey = "key-of-acme";
const items = [
  { id: 1, name: "Widgets", quantity: 20 },
  { id: 2, name: "Whatsits", quantity: 100 },
];

let planes: TestPlanes;
let prism: Prism;
let folder: string;
let acme: Server;
let acmeUrl: string;

beforeAll(async () => {
  folder = newTemporaryFolder();
  planes = await bootPlanes();
  prism = createPrism({ url: planes.controlUrl, token: planes.adminToken, folder });
  acme = createServer(({ url, headers }, response) => {
    if (headers.authorization !== `Bearer ${apiKey}`) return void response.writeHead(401).end();
    const id = /^\/items\/(\d+)$/.exec(url ?? "")?.[1];
    const found = url === "/items" ? items : items.find((item) => String(item.id) === id);
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(found));
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => acme.once("listening", resolve));
  acmeUrl = `http://127.0.0.1:${(acme.address() as AddressInfo).port}`;
});

afterAll(async () => {
  await planes?.stop();
  acme?.close();
  removeFolder(folder);
});

/**
 * The project that prism makes, built as its own configuration says (one CommonJS file of everything, texts of
 * Markdown, the assets beside it); by esbuild, since the templates' own bundlers are not installed here.
 */
async function initAndBuild(command: string, name: string): Promise<string> {
  await prism([command, name], { cwd: folder });
  const project = join(folder, name);
  symlinkSync(join(repository, "node_modules"), join(project, "node_modules"));
  await build({
    entryPoints: [join(project, "src", "index.ts")],
    outfile: join(project, "dist", "index.js"),
    bundle: true,
    platform: "node",
    format: "cjs",
    loader: { ".md": "text", ".png": "copy" },
    logLevel: "silent",
  });
  await build({
    entryPoints: [join(project, "assets", "icon.png")],
    outfile: join(project, "dist", "icon.png"),
    loader: { ".png": "copy" },
    logLevel: "silent",
  });
  return project;
}

const lastLine = (text: string): string => text.split("\n").at(-1)!.trim();

test("integrations:init: its flow runs for a customer", async () => {
  const project = await initAndBuild("integrations:init", "acme-integration");
  const integrationId = lastLine(await prism(["integrations:import"], { cwd: project }));
  const versionId = lastLine(await prism(["integrations:publish", integrationId, "--comment", "First"]));
  const customer = await newCustomer(planes, "template-integration");
  const instance = await newInstance(planes, versionId, customer);
  const errors = await configure(planes, instance, [
    connectionInput("Acme Connection", { baseUrl: acmeUrl, apiKey }),
    { key: "Select Item", value: "1" },
  ]);
  expect(errors).toEqual([]);
  const deployed = await deploy(planes, instance);
  expect(deployed.errors).toEqual([]);
  const { executionId } = await sendWebhook(deployed.url, { body: {} });
  const record = await endedExecution(planes, executionId!);
  expect(record).toMatchObject({ status: "SUCCEEDED", error: null });
  expect(messagesOf(record)).toContain('Item "Whatsits" with ID "2" has quantity "100"');
});

test("components:init: its trigger and its action are steps of a low-code flow", async () => {
  const project = await initAndBuild("components:init", "acme-items");
  const key = /key: "(\w+)"/.exec(readFileSync(join(project, "src", "index.ts"), "utf8"))![1]!;
  await prism(["components:publish", "--no-confirm"], { cwd: project });
  const component = { key, isPublic: false, version: "LATEST" };
  const connection = { type: "configVar", value: "Acme" };
  const definition = {
    definitionVersion: 7,
    name: "Uses the template",
    requiredConfigVars: [
      { key: "Acme", dataType: "connection", connection: { key: "apiKey", component }, inputs: {} },
    ],
    flows: [
      {
        name: "Get One",
        isSynchronous: true,
        steps: [
          {
            name: "Signed",
            isTrigger: true,
            action: { key: "exampleTrigger", component },
            inputs: { acmeConnection: connection },
          },
          {
            name: "Get Item",
            action: { key: "getItem", component },
            inputs: {
              acmeConnection: connection,
              itemId: { type: "reference", value: "signed.results.body.data.wanted" },
            },
          },
          {
            name: "Raw",
            action: { key: "rawRequest", component },
            inputs: {
              acmeConnection: connection,
              url: { type: "template", value: "/items/{{$getItem.results.id}}" },
              method: { type: "value", value: "GET" },
              queryParams: { type: "complex", value: [] },
              responseType: { type: "value", value: "json" },
            },
          },
        ],
      },
    ],
  };
  const file = join(folder, "uses.json");
  // JSON is YAML, too.
  writeFileSync(file, JSON.stringify(definition));
  const integrationId = lastLine(await prism(["integrations:import", "--path", file]));
  const versionId = lastLine(await prism(["integrations:publish", integrationId, "--comment", "First"]));
  const instance = await newInstance(planes, versionId, await newCustomer(planes, "template-component"));
  expect(await configure(planes, instance, [connectionInput("Acme", { baseUrl: acmeUrl, apiKey })])).toEqual(
    [],
  );
  const deployed = await deploy(planes, instance);
  expect(deployed.errors).toEqual([]);
  const body = JSON.stringify({ wanted: "2" });
  const send = (signature: string) =>
    sendWebhook(deployed.url, {
      body,
      headers: { "content-type": "application/json", "x-hmac-256": signature },
    });
  const answer = await send(createHmac("sha256", apiKey).update(body).digest("hex"));
  expect(answer.json).toEqual(items[1]);
  const refused = await send("0".repeat(64));
  expect(refused.status).toBe(500);
});
