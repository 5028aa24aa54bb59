/** Connections: sealed at rest, shown to flow code only, with what their component declares. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { configMigrations } from "../control-plane/store/migrations.ts";
import { migrate, openSqlite } from "../shared/sqlite.ts";
import {
  api,
  configure,
  configVariables,
  connectionInput,
  deploy,
  newCustomer,
  newInstance,
} from "./support/configuredInstance.ts";
import { endedExecution } from "./support/executionRecord.ts";
import { graphql } from "./support/graphql.ts";
import { planesOfFile } from "./support/planesOfFile.ts";
import { publishFixture } from "./support/publishAndDeploy.ts";
import { sendWebhook } from "./support/sendWebhook.ts";
import { newTemporaryFolder, removeFolder } from "./support/temporaryFolder.ts";

const password = "a-password-nobody-sees";
const acme = connectionInput("Acme", { username: "someone-known", password });

describe("a connection", () => {
  const planes = planesOfFile();
  let versionId: string;
  let customer: string;
  let id: string;
  let url: string;
  beforeAll(async () => {
    versionId = (await publishFixture(planes, "configured")).versionId;
    customer = await newCustomer(planes, "connected");
    id = await newInstance(planes, versionId, customer, [acme, { key: "Warehouse", value: "york" }]);
    url = (await deploy(planes, id)).url;
  });

  const files = (): string =>
    ["control/config.db", "control/config.db-wal"]
      .map((name) => readFileSync(join(planes.dataDir, name), "latin1"))
      .join("");

  test("is told to flow code, and to nobody else", async () => {
    const answer = await sendWebhook(url, { body: {} });
    expect(answer.json.configVars.Acme.fields.password).toBe(password);
    const record = await endedExecution(planes, answer.executionId!);
    expect(JSON.stringify(record)).toContain("config variables");
    expect(JSON.stringify(record)).not.toContain(password);
    // A map of fields is no connection.
    expect(JSON.stringify(record)).toContain("Account name");

    const shown = await configVariables(planes, id);
    expect(shown["Acme"]).toMatchObject({ status: "ACTIVE", value: null });
    expect(shown["Acme"].inputs.nodes).toContainEqual({
      name: "username",
      value: "someone-known",
      hasValue: true,
    });
    expect(shown["Acme"].inputs.nodes).toContainEqual({ name: "password", value: null, hasValue: true });
    expect(JSON.stringify(shown)).not.toContain(password);
    const { auditLog } = await api(planes, "query { auditLog(first: 20) { nodes { detail } } }");
    expect(JSON.stringify(auditLog)).not.toContain(password);
    expect(planes.control.log() + planes.data.log()).not.toContain(password);
  });

  test("is sealed on the disk", () => {
    expect(files()).toContain("instanceConfigVariables");
    expect(files()).not.toContain(password);
    expect(files()).not.toContain("someone-known");
  });

  test("keeps the fields that a change leaves out, until the deploy", async () => {
    expect(await configure(planes, id, [connectionInput("Acme", { username: "somebody-else" })])).toEqual([]);
    expect((await sendWebhook(url, { body: {} })).json.configVars.Acme.fields.username).toBe("someone-known");
    expect((await deploy(planes, id)).errors).toEqual([]);
    expect((await sendWebhook(url, { body: {} })).json.configVars.Acme.fields).toMatchObject({
      username: "somebody-else",
      password,
    });
  });

  test("and what is the organization's alone are not for the customer's eyes", async () => {
    await configure(planes, id, [{ key: "Note", value: "of the organization" }]);
    const { customerRoles } = await api(planes, "query { customerRoles { id name } }");
    const role = customerRoles.find(({ name }: { name: string }) => /admin/i.test(name)).id;
    const { createCustomerUser } = await api(
      planes,
      `mutation ($role: ID!, $customer: ID!) { createCustomerUser(input: { email: "a@connected.example", role: $role, customer: $customer }) {
        user { id } errors { messages } } }`,
      { role, customer },
    );
    const { createUserToken } = await api(
      planes,
      `mutation ($user: ID!) { createUserToken(input: { user: $user, name: "test" }) { token errors { messages } } }`,
      { user: createCustomerUser.user.id },
    );
    const seen = await configVariables(planes, id, createUserToken.token);
    expect(seen["Note"]).toMatchObject({
      value: null,
      requiredConfigVariable: { defaultValue: null, orgOnly: true },
    });
    expect((await configVariables(planes, id))["Note"].value).toBe("of the organization");
    const change = `mutation ($id: ID!) { updateInstanceConfigVariables(input: { id: $id }) { errors { messages } } }`;
    await expect(graphql(planes.controlUrl, createUserToken.token, change, { id })).rejects.toThrow();
  });

  test("takes fields from other config variables where the definition says so", async () => {
    const definition = `
definitionVersion: 7
name: Shops
requiredConfigVars:
  - { key: Shop, stableKey: shop, dataType: string, defaultValue: north }
  - key: Store
    stableKey: store
    dataType: connection
    connection: { key: basic, component: { key: http, version: LATEST, isPublic: true } }
    inputs:
      user: { type: value, value: clerk }
      shop: { type: configVar, value: Shop }
      url: { type: template, value: "https://{{#Shop}}.example/{{#Nothing}}" }
flows:
  - name: Tell
    stableKey: tell
    isSynchronous: true
    steps:
      - name: Trigger
        isTrigger: true
        action: { key: webhook, component: { key: webhook-triggers, version: LATEST, isPublic: true } }
      - name: Work
        action: { key: runCode, component: { key: code, version: LATEST, isPublic: true } }
        inputs: { code: { type: value, value: "module.exports = async ({ configVars }) => ({ data: configVars.Store });" } }
`;
    const { importIntegration } = await api(
      planes,
      `mutation ($definition: String!) { importIntegration(input: { definition: $definition }) { integration { id } errors { messages } } }`,
      { definition },
    );
    expect(importIntegration.errors).toEqual([]);
    await api(
      planes,
      `mutation ($id: ID!) { publishIntegration(input: { id: $id }) { errors { messages } } }`,
      {
        id: importIntegration.integration.id,
      },
    );
    const shop = await newInstance(planes, importIntegration.integration.id, customer);
    const deployed = await deploy(planes, shop);
    expect(deployed.errors).toEqual([]);
    const fieldsOf = async () => (await sendWebhook(deployed.url, { body: {} })).json.fields;
    expect(await fieldsOf()).toEqual({ user: "clerk", shop: "north", url: "https://north.example/" });
    await configure(planes, shop, [{ key: "Shop", value: "south" }]);
    expect((await deploy(planes, shop)).errors).toEqual([]);
    expect(await fieldsOf()).toEqual({ user: "clerk", shop: "south", url: "https://south.example/" });
  });
});

test("what an earlier release kept of config variables is there after the migration", () => {
  const folder = newTemporaryFolder();
  const database = openSqlite(join(folder, "config.db"), { synchronous: "off" });
  try {
    migrate(database, configMigrations.slice(0, 3));
    database.pragma("foreign_keys = OFF");
    database
      .prepare(
        "INSERT INTO instanceConfigVariables (id, instanceId, key, sealedValue, updatedAtMs) VALUES (?, ?, ?, ?, ?)",
      )
      .run("a", "instance", "Acme", "v2.sealed", 7);
    migrate(database, configMigrations);
    expect(database.prepare("SELECT * FROM instanceConfigVariables").all()).toEqual([
      expect.objectContaining({
        id: "a",
        instanceId: "instance",
        userId: null,
        key: "Acme",
        sealedValue: "v2.sealed",
        updatedAtMs: 7,
        oauthStatus: null,
        failures: 0,
      }),
    ]);
  } finally {
    database.close();
    removeFolder(folder);
  }
});
