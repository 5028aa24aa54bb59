/** The audit log: no change without a row that says who made it, and no secret in any row. */
import { join } from "node:path";
import Database from "better-sqlite3";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { createAuditLog } from "../control-plane/audit.ts";
import { createChangeFeed } from "../control-plane/changeFeed.ts";
import type { Context } from "../control-plane/context.ts";
import { schema } from "../control-plane/schema/index.ts";
import { insertAuditRow } from "../control-plane/store/auditLog.ts";
import { pruneAuditLog } from "../control-plane/store/pruning.ts";
import { openStore } from "../control-plane/store/store.ts";
import { toNodeId } from "../shared/ids.ts";
import { loadMasterKey } from "../shared/secrets.ts";
import { type TestControlPlane, testControlPlane } from "./support/controlPlane.ts";
import { fixtureYaml } from "./support/fixtures.ts";
import { temporaryFolder } from "./support/temporaryFolder.ts";

const adminToken = "admin-token-of-the-test";

let plane: TestControlPlane;

beforeAll(async () => {
  plane = await testControlPlane({
    SWITCHYARD_API_REQUESTS_PER_SECOND: "0",
    SWITCHYARD_TRUSTED_PROXIES: "127.0.0.1",
  });
});

afterAll(() => plane.stop());

interface Event {
  id: string;
  at: string;
  actor: string;
  actorRole: string;
  action: string;
  objectId: string | null;
  outcome: string;
  remoteAddress: string;
  requestId: string;
  customer: { id: string } | null;
  user: { id: string } | null;
  token: string | null;
  // biome-ignore lint/suspicious/noExplicitAny: each test looks at what its mutation left.
  detail: any;
}

const fields =
  "id at actor actorRole action objectId outcome remoteAddress requestId customer { id } user { id } token detail";
const filters =
  "$first: Int, $after: String, $actor: String, $action: String, $objectId: ID, $customer: ID, $outcome: AuditOutcome, $at_Gte: DateTime, $at_Lte: DateTime";
const page = `query (${filters}) { auditLog(${filters.replace(/\$(\w+): \w+/g, "$1: $$$1")}) {
  totalCount pageInfo { hasNextPage endCursor } nodes { ${fields} } } }`;

const events = async (variables: Record<string, unknown> = {}): Promise<Event[]> =>
  (await plane.api(page, variables)).auditLog.nodes;

const rowsOf = (action: string): Promise<Event[]> => events({ action });
const newest = async (action: string): Promise<Event> => (await rowsOf(action))[0]!;

const create = async (name: string, input: Record<string, unknown>, output: string) => {
  const type = `${name[0]!.toUpperCase()}${name.slice(1)}Input`;
  const document = `mutation ($input: ${type}!) { ${name}(input: $input) { ${output} errors { field messages } } }`;
  return (await plane.api(document, { input }))[name];
};

const createCustomer = async (name: string): Promise<string> =>
  (await create("createCustomer", { name }, "customer { id }")).customer.id;

/** A user of the customer, or of the organization, with a token. */
async function signIn(customer: string | null, email: string, role: string): Promise<[string, string]> {
  const noun = customer === null ? "Organization" : "Customer";
  const roles = await plane.api(`{ roles: ${noun.toLowerCase()}Roles { id name } }`);
  const id = roles.roles.find((found: { name: string }) => found.name === role).id;
  const given = { email, name: email, role: id, ...(customer === null ? {} : { customer }) };
  const { user } = await create(`create${noun}User`, given, "user { id }");
  const { token } = await create("createUserToken", { user: user.id, name: "test" }, "token");
  return [user.id, token];
}

/** Whatever the type asks for, and no more. */
function leastValue(type: string): unknown {
  if (type.startsWith("[")) return [];
  const name = type.replace("!", "");
  switch (name) {
    case "Int":
    case "Float":
      return 1;
    case "Boolean":
      return false;
    case "DateTime":
      return new Date().toISOString();
    case "JSON":
      return [];
    case "String":
      return "given";
    case "ID":
      return Buffer.from("Customer:01890a5d-ac96-774b-bcce-b302099a8057").toString("base64");
  }
  const definition = schema.getType(name)!;
  if ("getValues" in definition) return definition.getValues()[0]!.name;
  if (!("getFields" in definition)) return {};
  const required = Object.values(definition.getFields()).filter((field) => String(field.type).endsWith("!"));
  return Object.fromEntries(required.map((field) => [field.name, leastValue(String(field.type))]));
}

describe("what is audited", () => {
  test("every mutation of the schema leaves a row, whatever comes of it", async () => {
    const missing: string[] = [];
    const mutations = Object.values(schema.getMutationType()!.getFields());
    for (const { name, args } of mutations) {
      const type = String(args[0]!.type);
      const document = `mutation ($input: ${type}) { ${name}(input: $input) { __typename } }`;
      const refusal = await plane.refusal(adminToken, document, { input: leastValue(type) });
      if ((await rowsOf(name)).length === 0) missing.push(`${name}: ${refusal}`);
    }
    expect(mutations.length).toBeGreaterThan(30);
    expect(missing).toEqual([]);
  });

  test("what data planes report is not; what is refused to them is", async () => {
    const before = await events({ actor: "data-plane" });
    const acknowledge = `mutation { acknowledgeFeed(input: { dataPlaneId: "p", name: "p", epoch: "e", version: 1 }) { errors { messages } } }`;
    await plane.as(plane.dataPlaneToken, acknowledge);
    expect(await events({ actor: "data-plane" })).toEqual(before);
    const refused = `mutation { createCustomer(input: { name: "by a data plane" }) { customer { id } } }`;
    expect(await plane.refusal(plane.dataPlaneToken, refused)).toHaveLength(1);
    const [row] = await events({ actor: "data-plane" });
    expect(row).toMatchObject({ action: "createCustomer", outcome: "REFUSED", actorRole: "DATA_PLANE" });
  });

  test("who, which object and customer, before and after", async () => {
    const customer = await createCustomer("Before");
    expect(await newest("createCustomer")).toMatchObject({
      actor: "admin",
      actorRole: "ADMIN",
      objectId: customer,
      customer: { id: customer },
      outcome: "SUCCEEDED",
      detail: { input: { name: "Before" }, before: null, after: { name: "Before" }, created: [customer] },
    });
    const [userId, token] = await signIn(null, "root@example.com", "Admin");
    await plane.as(
      token,
      `mutation ($id: ID!) { updateCustomer(input: { id: $id, name: "After", labels: ["a"] }) { errors { messages } } }`,
      { id: customer },
    );
    const row = await newest("updateCustomer");
    expect(row).toMatchObject({
      actor: userId,
      user: { id: userId },
      objectId: customer,
      customer: { id: customer },
      detail: { before: { name: "Before", labels: [] }, after: { name: "After", labels: ["a"] } },
    });
    expect(row.token).not.toBeNull();
    await create("deleteCustomer", { id: customer }, "customer { id }");
    expect(await newest("deleteCustomer")).toMatchObject({
      objectId: customer,
      customer: null,
      detail: { before: { name: "After" }, after: null },
    });
    expect((await events({ customer })).map(({ action }) => action)).toEqual([
      "deleteCustomer",
      "updateCustomer",
      "createCustomer",
    ]);
  });

  test("from where, behind a proxy as it says, and the request id of the answer", async () => {
    const answer = await fetch(`${plane.url}/api`, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        Authorization: `Bearer ${adminToken}`,
        "X-Forwarded-For": "192.0.2.66, 198.51.100.7",
      },
      body: JSON.stringify({
        query: `mutation { createCustomer(input: { name: "From afar" }) { errors { messages } } }`,
      }),
    });
    await answer.json();
    expect(await newest("createCustomer")).toMatchObject({
      remoteAddress: "198.51.100.7",
      requestId: answer.headers.get("x-request-id"),
    });
  });

  test("a refused input with its errors, and missing rights with the role", async () => {
    await create("createCustomer", { name: " " }, "customer { id }");
    expect(await newest("createCustomer")).toMatchObject({
      outcome: "REFUSED",
      detail: { errors: [{ field: "name" }] },
    });
    const customer = await createCustomer("With users");
    const [userId, token] = await signIn(customer, "reader@example.com", "Member");
    const document = `mutation ($id: ID!) { deleteCustomer(input: { id: $id }) { errors { messages } } }`;
    expect(await plane.refusal(token, document, { id: customer })).toHaveLength(1);
    expect(await newest("deleteCustomer")).toMatchObject({
      actor: userId,
      actorRole: "CUSTOMER_MEMBER",
      objectId: customer,
      customer: { id: customer },
      outcome: "REFUSED",
    });
  });

  test("failed sign-ins, and not without end", async () => {
    for (let round = 0; round < 40; round += 1) await plane.refusal("a-wrong-token", "{ __typename }");
    const rows = await rowsOf("signIn");
    expect(rows.length).toBeGreaterThan(0);
    expect(rows.length).toBeLessThanOrEqual(20);
    expect(rows[0]).toMatchObject({ actor: "anonymous", outcome: "REFUSED", remoteAddress: "127.0.0.1" });
    expect(JSON.stringify(rows)).not.toContain("a-wrong-token");
  });
});

describe("the row and the change", () => {
  test("are one transaction: without its row a change is not made", async () => {
    const database = new Database(join(plane.dataDir, "control", "config.db"));
    onTestFinished(() => {
      database.exec("DROP TRIGGER IF EXISTS failing");
      database.close();
    });
    database.exec(
      "CREATE TRIGGER failing BEFORE INSERT ON auditLog BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
    );
    const document = `mutation { createCustomer(input: { name: "Unaudited" }) { customer { id } } }`;
    expect(await plane.refusal(adminToken, document)).toHaveLength(1);
    database.exec("DROP TRIGGER failing");
    const { customers } = await plane.api(`{ customers(name_Icontains: "Unaudited") { totalCount } }`);
    expect(customers.totalCount).toBe(0);
  });

  test("stay as they were written: no update, deletion by age only", async () => {
    const folder = temporaryFolder();
    const file = join(folder, "master.key");
    const store = await openStore(folder, loadMasterKey({ given: undefined, file, mayCreate: true }));
    onTestFinished(() => store.close());
    const row = {
      actor: "admin",
      actorRole: "ADMIN",
      tokenId: null,
      remoteAddress: "192.0.2.1",
      requestId: "r",
      objectId: null,
      customerId: null,
      outcome: "SUCCEEDED",
      detailJson: "{}",
    };
    for (let count = 0; count < 5; count += 1)
      await insertAuditRow(store.config, { ...row, action: `a${count}` });
    const update = store.config.updateTable("auditLog").set({ actor: "nobody" }).execute();
    await expect(update).rejects.toThrow("append-only");
    expect(await pruneAuditLog(store, Date.now() - 60_000, 3)).toBe(0);
    expect(await pruneAuditLog(store, Date.now() + 60_000, 3)).toBe(3);
    expect(await pruneAuditLog(store, Date.now() + 60_000, 3)).toBe(2);
  });
});

test("a change that is undone later leaves two rows: that it was done, and what became of it", async () => {
  const folder = temporaryFolder();
  const masterKey = loadMasterKey({ given: undefined, file: join(folder, "master.key"), mayCreate: true });
  const store = await openStore(folder, masterKey);
  onTestFinished(() => store.close());
  const audit = createAuditLog(store, pino({ level: "silent" }));
  const context = {
    store,
    feed: createChangeFeed(store, pino({ level: "silent" })),
    viewer: { role: "ADMIN", tokenId: null, userId: null },
    requestId: "one request",
    remoteAddress: "192.0.2.1",
  } as unknown as Context;
  const input = { id: toNodeId("Customer", store.testCustomerId) };
  const rename = (name: string, { feed }: Context) =>
    feed.transact((transaction) =>
      transaction.updateTable("customers").set({ name }).where("id", "=", store.testCustomerId).execute(),
    );
  const payload = await audit.mutation("updateCustomer", input, context, async (audited) => {
    await rename("For a moment", audited);
    await rename("As before", audited);
    return { errors: [{ field: "__all__", messages: ["It was undone."] }] };
  });
  expect(payload.errors).toHaveLength(1);
  const rows = await store.config.selectFrom("auditLog").selectAll().orderBy("id").execute();
  expect(rows.map(({ outcome }) => outcome)).toEqual(["SUCCEEDED", "REFUSED"]);
  expect(new Set(rows.map(({ requestId }) => requestId))).toEqual(new Set(["one request"]));
  expect(JSON.parse(rows[0]!.detailJson)).toMatchObject({ after: { name: "For a moment" } });
  expect(JSON.parse(rows[1]!.detailJson)).toMatchObject({
    after: { name: "As before" },
    errors: [{ messages: ["It was undone."] }],
  });
});

describe("what a row holds", () => {
  test("no key, no token, no config variable, no payload: as the tables are on disk", async () => {
    const marker = "marker-8c1f0a";
    const definition = fixtureYaml("low-code");
    const { integration } = await create("importIntegration", { definition }, "integration { id }");
    const published = await create("publishIntegration", { id: integration.id }, "integration { id }");
    const customer = await createCustomer("Secretive");
    const { instance } = await create(
      "createInstance",
      {
        name: "Secretive",
        customer,
        integration: published.integration.id,
        configVariables: [{ key: "Any", value: `${marker}-value`, values: JSON.stringify([marker]) }],
      },
      "instance { id flowConfigs { nodes { id } } }",
    );
    const made: string[] = [];
    const target = instance ?? (await firstInstance(customer, published.integration.id));
    const flowConfig = target.flowConfigs.nodes[0].id;
    const brought = `${marker}-brought-key-0123456789`;
    const key = await create("createApiKey", { flowConfig, name: "a", key: brought }, "apiKey { id } key");
    const other = await create("createApiKey", { flowConfig, name: "b" }, "apiKey { id } key");
    const rotated = await create("rotateApiKey", { id: other.apiKey.id }, "apiKey { id } key");
    made.push(brought, key.key, other.key, rotated.key);
    const short = await create("createApiKey", { flowConfig, name: "c", key: marker }, "apiKey { id }");
    expect(short.errors).toHaveLength(1);
    const flowConfigs = [{ flowId: flowConfig, apiKeys: [`${marker}-listed-key-9876543210`] }];
    await create("updateInstance", { id: target.id, flowConfigs }, "instance { id }");
    const headers = { Authorization: `${marker}-header` };
    await create("testInstanceFlowConfig", { id: flowConfig, payload: marker, headers }, "__typename");
    const [, token] = await signIn(customer, "secretive@example.com", "Admin");
    made.push(token, brought);
    const keyRow = (await events({ action: "createApiKey", outcome: "SUCCEEDED" }))[0]!;
    expect(keyRow).toMatchObject({ objectId: other.apiKey.id, customer: { id: customer } });
    expect(keyRow.detail.after.mask).toMatch(/^swk_.+••••.{4}$/);

    const database = new Database(join(plane.dataDir, "control", "config.db"), { readonly: true });
    onTestFinished(() => void database.close());
    const text = JSON.stringify(database.prepare("SELECT * FROM auditLog").all());
    for (const secret of made) {
      expect(secret.length).toBeGreaterThan(16);
      expect(text).not.toContain(secret);
    }
    // A mask shows six characters of a key; everything else would show the whole marker.
    expect(text).not.toContain(marker);
    for (const sealed of database.prepare("SELECT sealed AS text FROM apiKeys").all() as { text: string }[]) {
      expect(text).not.toContain(sealed.text);
    }
    const hidden = database.prepare("SELECT hash AS text FROM tokens UNION SELECT hmac FROM apiKeys").all();
    for (const row of hidden as { text: string }[]) expect(text).not.toContain(row.text);
  });

  test("64 KB at most, however large the input", async () => {
    const labels = Array.from({ length: 60 }, (_, index) => `${index} ${"x".repeat(150)}`);
    const description = "d".repeat(10_000);
    const { customer } = await create(
      "createCustomer",
      { name: "Large", description, labels },
      "customer { id }",
    );
    await create("updateCustomer", { id: customer.id, name: "Larger" }, "customer { id }");
    await create("importIntegration", { definition: "x: ".repeat(100_000) }, "integration { id }");
    const database = new Database(join(plane.dataDir, "control", "config.db"), { readonly: true });
    onTestFinished(() => void database.close());
    const { largest } = database
      .prepare("SELECT max(length(CAST(detailJson AS BLOB))) AS largest FROM auditLog")
      .get() as { largest: number };
    expect(largest).toBeGreaterThan(10_000);
    expect(largest).toBeLessThan(64 * 1024);
  });
});

describe("reading it", () => {
  test("newest first, by page and by filter", async () => {
    const customer = await createCustomer("Paged");
    for (const name of ["P1", "P2", "P3"])
      await create("updateCustomer", { id: customer, name }, "customer { id }");
    const first = (await plane.api(page, { objectId: customer, first: 3 })).auditLog;
    expect(first.nodes.map(({ detail }: Event) => detail.after.name)).toEqual(["P3", "P2", "P1"]);
    expect(first).toMatchObject({ totalCount: 4, pageInfo: { hasNextPage: true } });
    const after = first.pageInfo.endCursor;
    const second = (await plane.api(page, { objectId: customer, first: 3, after })).auditLog;
    expect(second.nodes.map(({ action }: Event) => action)).toEqual(["createCustomer"]);
    const [p3, , p1] = first.nodes as Event[];
    const between = await events({ objectId: customer, at_Gte: p1!.at, at_Lte: p3!.at });
    expect(between.map(({ id }) => id)).toContain(p1!.id);
    expect(between.every(({ at }) => at >= p1!.at && at <= p3!.at)).toBe(true);
    expect((await events({ objectId: customer, outcome: "REFUSED" })).length).toBe(0);
    const { node } = await plane.api(`query ($id: ID!) { node(id: $id) { ... on AuditEvent { action } } }`, {
      id: p1!.id,
    });
    expect(node).toEqual({ action: "updateCustomer" });
  });

  test("the organization's members read it, customers' users do not", async () => {
    const [, member] = await signIn(null, "auditor@example.com", "Member");
    expect((await plane.as(member, page)).auditLog.totalCount).toBeGreaterThan(0);
    const customer = await createCustomer("Curious");
    const [, curious] = await signIn(customer, "curious@example.com", "Admin");
    expect(await plane.refusal(curious, page)).toHaveLength(1);
    const [row] = await events({ customer });
    const document = `query ($id: ID!) { node(id: $id) { id } }`;
    expect(await plane.as(curious, document, { id: row!.id })).toEqual({ node: null });
    expect(await plane.refusal(null, page)).toHaveLength(1);
    for (const [token, status] of [
      [member, 200],
      [curious, 403],
      [plane.dataPlaneToken, 403],
      ["a-wrong-token", 401],
    ] as const) {
      const answer = await exported("", token);
      expect(answer.status).toBe(status);
      await answer.text();
    }
  });

  test("all of it as JSON lines, the oldest first", async () => {
    for (let count = 0; count < 120; count += 1) await createCustomer(`Exported ${count}`);
    const answer = await exported("");
    const lines = (await answer.text()).trimEnd().split("\n");
    const rows = lines.map((line) => JSON.parse(line) as Event & { customer: string | null });
    const { auditLog } = await plane.api(page);
    expect(rows.length).toBe(auditLog.totalCount);
    expect(new Set(rows.map(({ id }) => id)).size).toBe(rows.length);
    expect(rows.map(({ at }) => at)).toEqual(rows.map(({ at }) => at).sort());
    const last = rows.at(-1)!;
    expect(last).toMatchObject({ action: "createCustomer", detail: { input: { name: "Exported 119" } } });
    const span = await exported(`?from=${last.at}&to=${last.at}`);
    const few = (await span.text()).trimEnd().split("\n");
    expect(few.map((line) => (JSON.parse(line) as Event).at)).toContain(last.at);
    expect(few.length).toBeLessThan(5);
    expect((await exported("?from=yesterday")).status).toBe(400);
    expect(await (await exported("?to=2001-01-01")).text()).toBe("");
  });
});

const exported = (query: string, token = adminToken): Promise<Response> =>
  fetch(`${plane.url}/audit.jsonl${query}`, { headers: { Authorization: `Bearer ${token}` } });

async function firstInstance(customer: string, integration: string) {
  const made = await create(
    "createInstance",
    { name: "Plain", customer, integration },
    "instance { id flowConfigs { nodes { id } } }",
  );
  return made.instance;
}
