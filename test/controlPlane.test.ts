/** The control plane's configuration side, over its real HTTP: customers, imports, publishing, the feed. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ZipFile } from "yazl";
import { type ControlPlane, startControlPlane } from "../control-plane/main.ts";
import { schema } from "../control-plane/schema/index.ts";
import { builtInCatalogue } from "../shared/builtIns/catalogue.ts";
import { readConfig } from "../shared/config.ts";
import type { FeedChange, FeedPage, InstanceEntity, IntegrationEntity } from "../shared/feed.ts";

let dataDir: string;
let controlPlane: ControlPlane;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "switchyard-control-"));
  controlPlane = await startControlPlane(
    readConfig({
      SWITCHYARD_DATA_DIR: dataDir,
      SWITCHYARD_CONTROL_PORT: "0",
      SWITCHYARD_LOG_LEVEL: "error",
      SWITCHYARD_BUNDLE_BYTES_MAX: "100000",
    }),
  );
});

afterAll(async () => {
  await controlPlane.stop();
  await rm(dataDir, { recursive: true, force: true });
});

interface Answer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: the shape of an answer is what each test looks at.
  data: any;
  errors?: { message: string; extensions?: { code?: string } }[];
}

async function ask(
  query: string,
  variables: Record<string, unknown> = {},
  token: string | undefined = controlPlane.adminToken,
): Promise<Answer> {
  const response = await fetch(`${controlPlane.url}/api`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify({ query, variables }),
  });
  return { status: response.status, ...((await response.json()) as Omit<Answer, "status">) };
}

const dataPlaneToken = async (): Promise<string> =>
  (await readFile(join(dataDir, "data-plane.token"), "utf8")).trim();

async function feedSince(since: number, epoch = ""): Promise<FeedPage> {
  const { data } = await ask(
    "query($epoch: String!, $since: Float!) { feedChanges(epoch: $epoch, since: $since, first: 1000) }",
    { epoch, since },
    await dataPlaneToken(),
  );
  return data.feedChanges as FeedPage;
}

const entity = <Kind extends FeedChange["kind"]>(page: FeedPage, kind: Kind, id?: string) =>
  page.changes.find((change) => change.kind === kind && (id === undefined || change.id === id)) as
    | Extract<FeedChange, { kind: Kind }>
    | undefined;

const createCustomer = (name: string, externalId: string) =>
  ask(
    "mutation($name: String!, $externalId: String) { createCustomer(input: {name: $name, externalId: $externalId}) { customer { id } errors { field messages } } }",
    { name, externalId },
  ).then(({ data }) => data.createCustomer);

const importYaml = (definition: string, more: { integrationId?: string; replace?: boolean } = {}) =>
  ask(
    `mutation($definition: String!, $integrationId: ID, $replace: Boolean) {
      importIntegration(input: {definition: $definition, integrationId: $integrationId, replace: $replace}) {
        integration {
          id name versionNumber endpointType sharedWebhookUrl definition
          flows { nodes { id name stableKey testUrl endpointSecurityType trigger { action { key scheduleSupport isPollingTrigger component { key public } } } } }
          testConfigVariables(status: "pending") { nodes { id } }
          systemInstance { id flowConfigs { nodes { id flow { id name } apiKeys } } }
        }
        errors { field messages }
      }
    }`,
    { definition, ...more },
  ).then(({ data, errors }) => {
    expect(errors).toBeUndefined();
    return data.importIntegration;
  });

const publish = (id: string) =>
  ask(
    'mutation($id: ID!) { publishIntegration(input: {id: $id, comment: "first"}) { integration { id versionNumber versionComment versionIsAvailable } errors { field messages } } }',
    { id },
  ).then(({ data }) => data.publishIntegration);

const flowYaml = (name: string, more = "") => `
  - name: ${name}
    stableKey: ${name.toLowerCase().replaceAll(" ", "-")}${more}
    steps:
      - name: Trigger
        isTrigger: true
        action: { key: webhook, component: { key: webhook-triggers, isPublic: true, version: LATEST } }
      - name: Run
        action: { key: runCode, component: { key: code, isPublic: true, version: LATEST } }
        inputs: { code: { type: value, value: "module.exports = async () => ({ data: 1 });" } }`;

const definitionYaml = (name: string, flows: string[], more = "") => `# kept
definitionVersion: 7
name: ${name}
description: For tests
${more}
flows:${flows.join("")}
`;

const organizationKey = "organization-key-0123456789";

describe("rights", () => {
  test("nothing is answered without a token, and a wrong token is refused", async () => {
    const none = await ask("{ customers { nodes { id } } }", {}, "");
    expect(none.errors?.[0]?.extensions?.code).toBe("UNAUTHENTICATED");
    const wrong = await ask("{ customers { nodes { id } } }", {}, "wrong");
    expect(wrong.status).toBe(401);
  });

  test("a data plane reads the feed and nothing else; an admin does not read the feed", async () => {
    const { errors } = await ask("{ customers { nodes { id } } }", {}, await dataPlaneToken());
    expect(errors?.[0]?.extensions?.code).toBe("FORBIDDEN");
    const feed = await ask('{ feedChanges(epoch: "", since: 0, first: 10) }');
    expect(feed.errors?.[0]?.extensions?.code).toBe("FORBIDDEN");
  });

  test("a customer's user sees that customer only, until the token is revoked", async () => {
    const mine = (await createCustomer("Mine", "mine")).customer.id;
    const other = (await createCustomer("Other", "other")).customer.id;
    const roles = await ask("{ customerRoles { id name } organizationRoles { id } }");
    const created = await ask(
      'mutation($customer: ID!, $role: ID!) { createCustomerUser(input: {email: "u@example.com", customer: $customer, role: $role}) { user { id } errors { field messages } } }',
      { customer: mine, role: roles.data.customerRoles[0].id },
    );
    expect(created.data.createCustomerUser.errors).toEqual([]);
    const made = await ask(
      "mutation($user: ID!) { createUserToken(input: {user: $user}) { token userToken { id } errors { field messages } } }",
      { user: created.data.createCustomerUser.user.id },
    );
    const { token, userToken } = made.data.createUserToken;
    const seen = await ask(
      "query($other: ID!) { customers { totalCount nodes { id } } customer(id: $other) { id } node(id: $other) { id } authenticatedUser { email customer { id } } }",
      { other },
      token,
    );
    expect(seen.data).toEqual({
      customers: { totalCount: 1, nodes: [{ id: mine }] },
      customer: null,
      node: null,
      authenticatedUser: { email: "u@example.com", customer: { id: mine } },
    });
    const refused = await ask(
      "mutation($id: ID!) { deleteCustomer(input: {id: $id}) { errors { field } } }",
      { id: mine },
      token,
    );
    expect(refused.errors?.[0]?.extensions?.code).toBe("FORBIDDEN");
    await ask("mutation($id: ID!) { revokeUserToken(input: {id: $id}) { errors { field } } }", {
      id: userToken.id,
    });
    expect((await ask("{ customers { totalCount } }", {}, token)).status).toBe(401);
  });
});

describe("customers", () => {
  test("an external id is unique, and saying it twice is an error of its field", async () => {
    expect((await createCustomer("Acme", "acme")).errors).toEqual([]);
    expect(await createCustomer("Acme again", "acme")).toEqual({
      customer: null,
      errors: [{ field: "externalId", messages: ["A customer with this external id already exists."] }],
    });
  });

  test("they are listed in pages, and an empty cursor is the first page", async () => {
    for (const name of ["Page A", "Page B", "Page C"]) await createCustomer(name, name);
    const query =
      'query($after: String) { customers(isSystem: false, name_Icontains: "PAGE", first: 2, after: $after) { totalCount nodes { name } pageInfo { hasNextPage endCursor } } }';
    const first = (await ask(query, { after: "" })).data.customers;
    expect(first).toMatchObject({ totalCount: 3, pageInfo: { hasNextPage: true } });
    expect(first.nodes).toEqual([{ name: "Page A" }, { name: "Page B" }]);
    const second = (await ask(query, { after: first.pageInfo.endCursor })).data.customers;
    expect(second).toMatchObject({ nodes: [{ name: "Page C" }], pageInfo: { hasNextPage: false } });
  });
});

describe("imports", () => {
  test("a draft has flows with addresses, a system instance, and stable ids over imports", async () => {
    const yaml = definitionYaml("Stable", [flowYaml("One"), flowYaml("Two")]);
    const first = (await importYaml(yaml)).integration;
    expect(first).toMatchObject({ name: "Stable", versionNumber: 0, endpointType: "FLOW_SPECIFIC" });
    expect(first.definition).toBe(yaml);
    expect(first.flows.nodes[0].trigger.action).toEqual({
      key: "webhook",
      scheduleSupport: "INVALID",
      isPollingTrigger: false,
      component: { key: "webhook-triggers", public: true },
    });
    expect(first.flows.nodes[0].testUrl).toMatch(/^http.*\/trigger\/[\w-]{27}$/);
    const again = (await importYaml(yaml.replace("name: Two", "name: Two renamed"))).integration;
    expect(again.id).toBe(first.id);
    expect(again.flows.nodes.map((flow: { id: string }) => flow.id)).toEqual(
      first.flows.nodes.map((flow: { id: string }) => flow.id),
    );
    expect(again.flows.nodes[1].testUrl).toBe(first.flows.nodes[1].testUrl);
  });

  test("what the definition names and is not there is an error of its field", async () => {
    const yaml = definitionYaml("Broken", [flowYaml("One")])
      .replace("key: code,", "key: cod,")
      .replace("key: webhook,", "key: webhok,");
    const { errors } = await importYaml(yaml);
    expect(errors[0].field).toBe("definition");
    expect(errors[0].messages.join()).toContain('has no trigger "webhok"');
    expect(errors[0].messages.join()).toContain('"cod" is not part of Switchyard');
  });

  test("organization keys are cut out of what is stored, and become keys with the publish", async () => {
    const yaml = definitionYaml("Secured", [
      flowYaml(
        "Main",
        `\n    endpointSecurityType: organization\n    organizationApiKeys: ["${organizationKey}"]`,
      ),
    ]);
    const { integration } = await importYaml(yaml);
    expect(integration.definition).toContain("# kept");
    expect(integration.definition).not.toContain(organizationKey);
    const version = (await publish(integration.id)).integration;
    expect(version).toMatchObject({ versionNumber: 1, versionComment: "first", versionIsAvailable: true });
    const page = await feedSince(0);
    const data = page.changes.find(
      (change) => change.kind === "integration" && change.data?.name === "Secured",
    )?.data as IntegrationEntity;
    expect(Object.keys(data.organizationKeys)).toEqual(["main"]);
    expect(JSON.stringify(page)).not.toContain(organizationKey);
    const files = await readFile(join(dataDir, "control", "config.db"));
    const wal = await readFile(join(dataDir, "control", "config.db-wal"));
    expect(Buffer.concat([files, wal]).includes(organizationKey)).toBe(false);
  });

  test("code-native and low-code do not take each other's place unless told to", async () => {
    const yaml = definitionYaml("Switch", [flowYaml("One")]);
    const { integration } = await importYaml(yaml);
    const native = yaml.replace("definitionVersion: 7", "definitionVersion: 7\nisCodeNative: true");
    expect((await importYaml(native, { integrationId: integration.id })).errors[0].messages[0]).toContain(
      "low-code",
    );
    expect((await importYaml(native, { integrationId: integration.id, replace: true })).errors).toEqual([]);
  });
});

describe("publishing", () => {
  test("each broken rule is a message of its own, and nothing is published", async () => {
    const { integration } = await importYaml(
      definitionYaml("Unroutable", [flowYaml("One"), flowYaml("Two")], "endpointType: shared_instance"),
    );
    const { errors } = await publish(integration.id);
    expect(errors[0].field).toBe("__all__");
    expect(errors[0].messages).toHaveLength(2);
    const { data } = await ask(
      "query($id: ID!) { integration(id: $id) { versionNumber versionSequence { totalCount } } }",
      { id: integration.id },
    );
    expect(data.integration).toEqual({ versionNumber: 0, versionSequence: { totalCount: 0 } });
  });

  test("versions are listed, made unavailable, and read one by one", async () => {
    const yaml = definitionYaml("Versioned", [flowYaml("One")]);
    const { integration } = await importYaml(yaml);
    const one = (await publish(integration.id)).integration;
    await importYaml(yaml.replace("For tests", "Second"));
    await publish(integration.id);
    await ask(
      "mutation($id: ID!) { updateIntegrationVersionAvailability(input: {id: $id, available: false}) { errors { field } } }",
      { id: one.id },
    );
    const { data } = await ask(
      `query($id: ID!, $one: ID!, $only: Boolean) { integration(id: $id) {
        all: versionSequence(sortBy: [{field: VERSION_NUMBER, direction: DESC}]) { nodes { versionNumber description } }
        available: versionSequence(versionIsAvailable: $only, first: 1) { nodes { versionNumber versionCreatedBy { email } } }
      } one: integration(id: $one) { definition(version: 7, useLatestComponentVersions: false) } }`,
      { id: integration.id, only: true, one: one.id },
    );
    expect(data.integration.all.nodes).toEqual([
      { versionNumber: 2, description: "Second" },
      { versionNumber: 1, description: "For tests" },
    ]);
    expect(data.integration.available.nodes).toEqual([{ versionNumber: 2, versionCreatedBy: null }]);
    expect(data.one.definition).toBe(yaml);
    const deleted = await ask(
      "mutation($id: ID!) { deleteIntegration(input: {id: $id}) { integration { id } errors { field messages } } }",
      { id: integration.id },
    );
    expect(deleted.data.deleteIntegration).toEqual({ integration: { id: integration.id }, errors: [] });
  });
});

describe("components", () => {
  const publishComponent = async (key: string) => {
    const { data, errors } = await ask(
      `mutation($definition: ComponentDefinitionInput!, $actions: [ActionDefinitionInput]!, $triggers: [TriggerDefinitionInput]) {
        publishComponent(input: {definition: $definition, actions: $actions, triggers: $triggers}) {
          publishResult { component { id versionNumber } packageUploadUrl iconUploadUrl sourceUploadUrl connectionIconUploadUrls { connectionKey } }
          errors { field messages }
        }
      }`,
      {
        definition: { key, public: false, display: { label: "Mine", description: "D" }, anythingElse: 1 },
        actions: [{ key: "act", display: { label: "Act", description: "" }, inputs: [{ key: "a" }] }],
        triggers: [{ key: "trig", display: { label: "T", description: "" }, scheduleSupport: "valid" }],
      },
    );
    expect(errors).toBeUndefined();
    return data.publishComponent.publishResult;
  };
  const list = async (variables: Record<string, unknown>) =>
    (
      await ask(
        `query($key: String, $public: Boolean, $filterQuery: JSONString) { components(key: $key, public: $public, filterQuery: $filterQuery) {
          nodes { key versionNumber signature public actions(isTrigger: false, isDataSource: false) { nodes { key label } } } } }`,
        variables,
      )
    ).data.components.nodes;

  test("a component is listed once its package is there, and an import runs on it", async () => {
    const published = await publishComponent("mine");
    expect(await list({ key: "mine" })).toEqual([]);
    const yaml = definitionYaml("Uses mine", [flowYaml("One")]).replace(
      "{ key: runCode, component: { key: code, isPublic: true, version: LATEST } }",
      "{ key: act, component: { key: mine, isPublic: false, version: LATEST } }",
    );
    expect((await importYaml(yaml)).errors[0].messages[0]).toContain("was not uploaded");
    const zip = await zipOf({ "index.js": "module.exports = {};", "lib/a.js": "" });
    const put = await fetch(published.packageUploadUrl, { method: "PUT", body: zip });
    expect(put.status).toBe(200);
    expect(await list({ key: "mine", public: false })).toEqual([
      {
        key: "mine",
        versionNumber: 1,
        signature: createHash("sha1").update(zip).digest("hex"),
        public: false,
        actions: { nodes: [{ key: "act", label: "Act" }] },
      },
    ]);
    const imported = await importYaml(yaml);
    expect(imported.errors).toEqual([]);
    const digest = createHash("sha256").update(zip).digest("hex");
    const page = await feedSince(0);
    expect(JSON.stringify(page)).toContain(digest);
    const asData = await fetch(`${controlPlane.url}/bundles/${digest}`, {
      headers: { authorization: `Bearer ${await dataPlaneToken()}` },
    });
    expect(Buffer.from(await asData.arrayBuffer()).equals(zip)).toBe(true);
    const asAdmin = await fetch(`${controlPlane.url}/bundles/${digest}`, {
      headers: { authorization: `Bearer ${controlPlane.adminToken}` },
    });
    expect(asAdmin.status).toBe(401);
    const deletion = await ask(
      "mutation($id: ID!) { deleteComponent(input: {id: $id}) { errors { field messages } } }",
      { id: published.component.id },
    );
    expect(deletion.data.deleteComponent.errors[0].messages[0]).toContain("Uses mine");
  });

  test("a package that can't be used is refused with its reason, by the upload and by the import", async () => {
    const cases: [string, Buffer | Uint8Array, number, string][] = [
      ["no-zip", Buffer.from("this is not a zip"), 400, "not a zip"],
      ["no-index", await zipOf({ "other.js": "" }), 400, "index.js"],
      ["too-large", Buffer.alloc(100_001), 413, "larger"],
    ];
    for (const [key, body, status, reason] of cases) {
      const { packageUploadUrl } = await publishComponent(key);
      const answer = await fetch(packageUploadUrl, { method: "PUT", body: new Uint8Array(body) });
      expect([key, answer.status]).toEqual([key, status]);
      expect(await answer.text()).toContain(reason);
      expect(await list({ key })).toEqual([]);
      const { errors } = await importYaml(
        definitionYaml(`Uses ${key}`, [flowYaml("One")]).replace(
          "key: code, isPublic: true",
          `key: ${key}, isPublic: false`,
        ),
      );
      expect(errors[0].messages[0]).toContain("was refused");
    }
    const forged = await fetch(`${controlPlane.url}/uploads/abc.def`, { method: "PUT", body: "x" });
    expect(forged.status).toBe(403);
  });

  test("built-in components are public, and a search goes by key or label", async () => {
    const keys = (nodes: { key: string }[]) => nodes.map((node) => node.key);
    expect(keys(await list({ public: true }))).toEqual(builtInCatalogue.map(({ key }) => key));
    const filterQuery = JSON.stringify(["or", ["in", "key", "SCHED"], ["in", "label", "SCHED"]]);
    expect(keys(await list({ filterQuery }))).toEqual(["schedule-triggers"]);
  });

  test("an icon is put, set, and served", async () => {
    const { integration } = await importYaml(definitionYaml("With icon", [flowYaml("One")]));
    const { data } = await ask(
      'query($id: ID!) { uploadMedia(objectId: $id, fileName: "a.png", mediaType: AVATAR) { uploadUrl objectUrl error } }',
      { id: integration.id },
    );
    const { uploadUrl, objectUrl } = data.uploadMedia;
    expect((await fetch(uploadUrl, { method: "PUT", body: "not a png" })).status).toBe(400);
    const png = Buffer.from("89504e470d0a1a0a00000000", "hex");
    expect((await fetch(uploadUrl, { method: "PUT", body: png })).status).toBe(200);
    const set = await ask(
      "mutation($id: ID!, $url: String!) { updateIntegration(input: {id: $id, avatarUrl: $url}) { integration { avatarUrl } errors { field } } }",
      { id: integration.id, url: objectUrl },
    );
    expect(set.data.updateIntegration.integration.avatarUrl).toBe(objectUrl);
    const served = await fetch(objectUrl);
    expect(served.headers.get("content-type")).toBe("image/png");
    expect(Buffer.from(await served.arrayBuffer()).equals(png)).toBe(true);
  });
});

describe("the feed", () => {
  test("carries the draft's definition and its system instance, and what changed since", async () => {
    const before = await feedSince(0);
    const { integration } = await importYaml(definitionYaml("In the feed", [flowYaml("One")]));
    const page = await feedSince(before.version, before.epoch);
    expect(page).toMatchObject({ isSnapshot: false, hasMore: false });
    const instance = entity(page, "instance")?.data as InstanceEntity;
    expect(instance).toMatchObject({ isSystem: true, versionNumber: 0, integrationName: "In the feed" });
    expect(integration.flows.nodes[0].testUrl).toContain(instance.flows["one"]?.token);
    expect(entity(page, "definition", instance.definitionDigest)?.data).toMatchObject({
      name: "In the feed",
    });
    expect((await feedSince(page.version, page.epoch)).changes).toEqual([]);
    expect((await feedSince(page.version, "another epoch")).isSnapshot).toBe(true);
  });

  test("an integration that was deleted is gone, and a draft's old definition with it", async () => {
    const yaml = definitionYaml("Goes away", [flowYaml("One")]);
    const start = await feedSince(0);
    await importYaml(yaml);
    const first = await feedSince(start.version, start.epoch);
    const { integration } = await importYaml(yaml.replace("For tests", "Changed"));
    const second = await feedSince(first.version, first.epoch);
    const oldDigest = (entity(first, "instance")!.data as InstanceEntity).definitionDigest;
    expect(entity(second, "definition", oldDigest)?.data).toBeNull();
    await ask("mutation($id: ID!) { deleteIntegration(input: {id: $id}) { errors { field } } }", {
      id: integration.id,
    });
    const third = await feedSince(second.version, second.epoch);
    expect(third.changes.map((change) => change.data)).toEqual([null, null, null]);
  });

  test("is poked at every change, and a mutation waits for a live data plane to serve it", async () => {
    const abort = new AbortController();
    const token = await dataPlaneToken();
    const response = await fetch(`${controlPlane.url}/api`, {
      method: "POST",
      signal: abort.signal,
      headers: {
        "content-type": "application/json",
        accept: "text/event-stream",
        authorization: `Bearer ${token}`,
      },
      body: JSON.stringify({
        query: 'subscription { feed(dataPlaneId: "dp", name: "one") { epoch version commandsWaiting } }',
      }),
    });
    const states = feedStates(response);
    const atOnce = (await states.next()).value!;
    const importing = importYaml(definitionYaml("Awaited", [flowYaml("One")]));
    let state = atOnce;
    while (state.version === atOnce.version) state = (await states.next()).value!;
    const stillWaiting = Symbol("still waiting");
    const early = await Promise.race([
      importing,
      new Promise((resolve) => setTimeout(resolve, 100, stillWaiting)),
    ]);
    expect(early).toBe(stillWaiting);
    await ask(
      "mutation($input: AcknowledgeFeedInput!) { acknowledgeFeed(input: $input) { errors { field } } }",
      { input: { dataPlaneId: "dp", name: "one", epoch: state.epoch, version: state.version } },
      token,
    );
    expect((await importing).errors).toEqual([]);
    abort.abort();
    await expect
      .poll(async () => (await (await fetch(`${controlPlane.url}/readyz`)).json()) as object)
      .toMatchObject({ liveDataPlanes: 0 });
  });
});

describe("the schema", () => {
  test("schema.graphql is what the code says", () => {
    const printer = fileURLToPath(new URL("../control-plane/schema/printSchema.ts", import.meta.url));
    const { status, stderr } = spawnSync(process.execPath, [printer, "--check"], { encoding: "utf8" });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  });

  test("every type, field, argument and value has a description", () => {
    interface Described {
      name: string;
      description?: string | null | undefined;
    }
    type Bare = Described & { args?: readonly Described[] };
    const bare: string[] = [];
    for (const type of Object.values(schema.getTypeMap())) {
      if (type.name.startsWith("__")) continue;
      if (!type.description) bare.push(type.name);
      const fields: Bare[] = "getFields" in type ? Object.values(type.getFields()) : [];
      const values: Bare[] = "getValues" in type ? [...type.getValues()] : [];
      for (const member of [...fields, ...values]) {
        if (!member.description) bare.push(`${type.name}.${member.name}`);
        for (const argument of member.args ?? []) {
          if (!argument.description) bare.push(`${type.name}.${member.name}(${argument.name})`);
        }
      }
    }
    expect(bare).toEqual([]);
  });

  test("every query, mutation and subscription says who may use it", () => {
    const roots = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()];
    const open = roots.flatMap((root) =>
      Object.values(root?.getFields() ?? {}).filter(
        (field) =>
          (field.extensions as { pothosOptions?: { authScopes?: unknown } }).pothosOptions?.authScopes ===
          undefined,
      ),
    );
    expect(open.map((field) => field.name)).toEqual([]);
  });
});

interface FeedStateMessage {
  epoch: string;
  version: number;
}

async function* feedStates(response: Response): AsyncGenerator<FeedStateMessage, undefined> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response.body!) {
    text += decoder.decode(chunk as Uint8Array, { stream: true });
    const lines = text.split("\n");
    text = lines.pop()!;
    for (const line of lines) {
      if (!line.startsWith("data: ")) continue;
      const message = JSON.parse(line.slice(6)) as { data?: { feed: FeedStateMessage } };
      if (message.data !== undefined) yield message.data.feed;
    }
  }
  return undefined;
}

async function zipOf(files: Record<string, string>): Promise<Buffer<ArrayBuffer>> {
  const zip = new ZipFile();
  for (const [name, text] of Object.entries(files)) zip.addBuffer(Buffer.from(text), name);
  zip.end();
  const chunks: Buffer[] = [];
  for await (const chunk of zip.outputStream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
