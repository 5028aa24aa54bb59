/** Instances, their config variables, flow configs and keys, over GraphQL, against a real control plane. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type TestControlPlane, testControlPlane } from "./support/controlPlane.ts";

let plane: TestControlPlane;
let customerCount = 0;

beforeAll(async () => {
  plane = await testControlPlane();
});
afterAll(() => plane?.stop());

const flowYaml = (name: string, extra: string): string => `
  - name: ${name}
    stableKey: ${name.toLowerCase()}-key
    ${extra}
    steps:
      - name: Trigger
        isTrigger: true
        action: { key: webhook, component: { key: webhook-triggers, version: LATEST, isPublic: true } }
      - name: Work
        action: { key: runCode, component: { key: code, version: LATEST, isPublic: true } }
        inputs: { code: { type: value, value: "module.exports = async () => ({ data: 1 });" } }`;

const definition = (name: string, flows: string, rest = ""): string => `
definitionVersion: 7
isCodeNative: false
name: ${name}
description: A test
${rest}
flows:${flows}
`;

const configVars = `requiredConfigVars:
  - { key: Region, stableKey: region, dataType: string }
  - { key: Limit, stableKey: limit, dataType: number, defaultValue: "5" }
  - { key: Kind, stableKey: kind, dataType: picklist, pickList: [a, b], defaultValue: a }
  - key: Erp
    stableKey: erp
    dataType: connection
    connection: { key: basic, component: { key: http, version: 1, isPublic: true } }
    inputs: { username: { type: value, value: "" }, password: { type: value, value: "" } }`;

async function importDraft(yaml: string): Promise<{ id: string; flows: Record<string, string> }> {
  const { importIntegration } = await plane.api(
    `mutation ($definition: String!) { importIntegration(input: { definition: $definition }) {
      integration { id flows { nodes { id name } } } errors { field messages } } }`,
    { definition: yaml },
  );
  expect(importIntegration.errors).toEqual([]);
  const { id, flows } = importIntegration.integration;
  return {
    id,
    flows: Object.fromEntries(flows.nodes.map((flow: { id: string; name: string }) => [flow.name, flow.id])),
  };
}

async function publish(
  yaml: string,
): Promise<{ draft: string; version: string; flows: Record<string, string> }> {
  const { id, flows } = await importDraft(yaml);
  const { publishIntegration } = await plane.api(
    `mutation ($id: ID!) { publishIntegration(input: { id: $id }) { integration { id } errors { field messages } } }`,
    { id },
  );
  expect(publishIntegration.errors).toEqual([]);
  return { draft: id, version: publishIntegration.integration.id, flows };
}

async function newCustomer(): Promise<string> {
  customerCount += 1;
  const name = `customer ${customerCount}`;
  const { createCustomer } = await plane.api(
    `mutation ($name: String!) { createCustomer(input: { name: $name, externalId: $name }) { customer { id } errors { field messages } } }`,
    { name },
  );
  return createCustomer.customer.id;
}

const createInstance = async (input: Record<string, unknown>) =>
  (
    await plane.api(
      `mutation ($input: CreateInstanceInput!) { createInstance(input: $input) {
        instance { id needsDeploy enabled integration { id versionNumber } customer { id } } errors { field messages } } }`,
      { input: { name: "an instance", ...input } },
    )
  ).createInstance;

const updateInstance = async (input: Record<string, unknown>) =>
  (
    await plane.api(
      `mutation ($input: UpdateInstanceInput!) { updateInstance(input: $input) {
        instance { id needsDeploy enabled name integration { versionNumber } } pendingDataPlanes errors { field messages } } }`,
      { input },
    )
  ).updateInstance;

const deploy = async (id: string, force?: boolean) =>
  (
    await plane.api(
      `mutation ($id: ID!, $force: Boolean) { deployInstance(input: { id: $id, force: $force }) {
        instance { id needsDeploy deployedVersion { versionNumber } lastDeployedAt } pendingDataPlanes errors { field messages } } }`,
      { id, force },
    )
  ).deployInstance;

const instance = async (id: string) =>
  (
    await plane.api(
      `query ($id: ID!) { instance(id: $id) {
        id name enabled needsDeploy configState deployedVersion { versionNumber }
        flowsThatNeedKeys { id webhookUrl flow { name } }
        flowConfigs { totalCount nodes { id webhookUrl apiKeys needsApiKey endpointSecurityType flow { id name } keys { nodes { id name isValid mask } } } }
        configVariables { nodes { id value status inputs { nodes { name value } } requiredConfigVariable { id key defaultValue dataType } } }
      } }`,
      { id },
    )
  ).instance;

const createKey = async (input: Record<string, unknown>, token?: string) => {
  const document = `mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) {
    apiKey { id mask isValid isOrganizationKey } key pendingDataPlanes errors { field messages } } }`;
  const data = token === undefined ? plane.api(document, { input }) : plane.as(token, document, { input });
  return (await data).createApiKey;
};

const revokeKey = async (id: string, token?: string) => {
  const document = `mutation ($id: ID!) { revokeApiKey(input: { id: $id }) { apiKey { isValid } errors { field messages } } }`;
  const data = token === undefined ? plane.api(document, { id }) : plane.as(token, document, { id });
  return (await data).revokeApiKey;
};

describe("an instance", () => {
  test("is made of the latest available version, deployed, paused, moved, deleted", async () => {
    const yaml = definition("Life", flowYaml("One", ""));
    const first = await publish(yaml);
    const customer = await newCustomer();
    const made = await createInstance({ integration: first.draft, customer });
    expect(made.errors).toEqual([]);
    expect(made.instance).toMatchObject({
      needsDeploy: true,
      enabled: true,
      integration: { id: first.version, versionNumber: 1 },
      customer: { id: customer },
    });
    const { id } = made.instance;
    const deployed = await deploy(id);
    expect(deployed).toMatchObject({ errors: [], pendingDataPlanes: [] });
    expect(deployed.instance).toMatchObject({ needsDeploy: false, deployedVersion: { versionNumber: 1 } });
    const before = await instance(id);
    expect(before.flowConfigs.nodes[0].webhookUrl).toMatch(
      /^http:\/\/127\.0\.0\.1:4001\/trigger\/[\w-]{27}$/,
    );

    expect((await updateInstance({ id, enabled: false })).instance).toMatchObject({
      enabled: false,
      needsDeploy: false,
    });
    await publish(definition("Life", flowYaml("One", "") + flowYaml("Two", "")));
    const moved = await updateInstance({ id, integration: first.draft });
    expect(moved.instance).toMatchObject({ needsDeploy: true, integration: { versionNumber: 2 } });
    expect((await deploy(id)).instance.deployedVersion.versionNumber).toBe(2);
    const after = await instance(id);
    expect(after.enabled).toBe(false);
    expect(after.flowConfigs.totalCount).toBe(2);
    // URLs belong to the stable key, and survive the move.
    expect(after.flowConfigs.nodes[0]).toEqual({
      ...before.flowConfigs.nodes[0],
      flow: { id: expect.any(String), name: "One" },
    });

    const { deleteInstance } = await plane.api(
      `mutation ($id: ID!) { deleteInstance(input: { id: $id }) { instance { id } pendingDataPlanes errors { field messages } } }`,
      { id },
    );
    expect(deleteInstance).toEqual({ instance: { id }, pendingDataPlanes: [], errors: [] });
    expect(await instance(id)).toBeNull();
  });

  test("is refused where there is no version, and can't be moved to another integration", async () => {
    const { id: draft } = await importDraft(definition("Unpublished", flowYaml("One", "")));
    const customer = await newCustomer();
    expect((await createInstance({ integration: draft, customer })).errors).toEqual([
      { field: "integration", messages: [expect.stringMatching(/no available version/)] },
    ]);
    const one = await publish(definition("First of two", flowYaml("One", "")));
    const other = await publish(definition("Second of two", flowYaml("One", "")));
    const made = await createInstance({ integration: one.version, customer });
    expect((await updateInstance({ id: made.instance.id, integration: other.version })).errors).toEqual([
      { field: "integration", messages: [expect.stringMatching(/another integration/)] },
    ]);
  });

  test("of a version that is not available is refused on deploy, unless forced", async () => {
    const { draft, version } = await publish(definition("Withdrawn", flowYaml("One", "")));
    const made = await createInstance({ integration: version, customer: await newCustomer() });
    await plane.api(
      `mutation ($id: ID!) { updateIntegrationVersionAvailability(input: { id: $id, available: false }) { errors { messages } } }`,
      { id: version },
    );
    expect((await deploy(made.instance.id)).errors[0]).toMatchObject({ field: "__all__" });
    expect((await deploy(made.instance.id, true)).errors).toEqual([]);
    expect((await createInstance({ integration: draft, customer: await newCustomer() })).errors).toHaveLength(
      1,
    );
  });

  test("of a shared integration is the customer's only one", async () => {
    const shared = definition(
      "Shared one",
      flowYaml("One", ""),
      "endpointType: shared_instance\ntriggerPreprocessFlowConfig: { externalCustomerIdField: body.data.customer }",
    );
    const { version } = await publish(shared);
    const customer = await newCustomer();
    const first = await createInstance({ name: "the first", integration: version, customer });
    const second = await createInstance({ name: "the second", integration: version, customer });
    expect((await deploy(first.instance.id)).errors).toEqual([]);
    expect((await deploy(second.instance.id)).errors).toEqual([
      { field: "__all__", messages: [expect.stringMatching(/"the first"/)] },
    ]);
    const urls = (await instance(first.instance.id)).flowConfigs.nodes;
    expect(urls[0].webhookUrl).toBe((await instance(second.instance.id)).flowConfigs.nodes[0].webhookUrl);
  });

  test("is listed by customer, integration, state and name", async () => {
    const { draft, version } = await publish(definition("Listed", flowYaml("One", "")));
    const customer = await newCustomer();
    for (const name of ["Alpha", "beta", "Gamma 100%"]) {
      await createInstance({ name, integration: version, customer });
    }
    const names = async (args: string, variables: Record<string, unknown> = {}) =>
      (
        await plane.api(
          `query ($customer: ID, $integration: ID, $after: String) { instances(customer: $customer, integration: $integration, after: $after, ${args}) { totalCount pageInfo { hasNextPage endCursor } nodes { name } } }`,
          { customer, after: "", ...variables },
        )
      ).instances;
    expect((await names("isSystem: false")).nodes.map((node: { name: string }) => node.name)).toEqual([
      "Alpha",
      "Gamma 100%",
      "beta",
    ]);
    const page = await names("first: 2, isSystem: false", { integration: draft });
    expect(page).toMatchObject({ totalCount: 3, pageInfo: { hasNextPage: true } });
    const rest = await names("first: 2, isSystem: false", { after: page.pageInfo.endCursor });
    expect(rest.nodes).toEqual([{ name: "beta" }]);
    expect((await names(`name_Icontains: "100%"`)).totalCount).toBe(1);
    expect((await names("enabled: false")).totalCount).toBe(0);
    const { integration } = await plane.api(
      `query ($id: ID!) { integration(id: $id) { instances(isSystem: false) { totalCount } } }`,
      { id: draft },
    );
    expect(integration.instances.totalCount).toBe(3);
  });
});

describe("config variables", () => {
  test("block the deploy until they have values, are typed, and hide secrets", async () => {
    const { version } = await publish(definition("Configured", flowYaml("One", ""), configVars));
    const made = await createInstance({ integration: version, customer: await newCustomer() });
    const { id } = made.instance;
    expect((await instance(id)).configState).toBe("NEEDS_INSTANCE_CONFIGURATION");
    expect((await deploy(id)).errors).toEqual([
      { field: "__all__", messages: [expect.stringMatching(/"Region", "Erp"/)] },
    ]);
    expect(
      (
        await updateInstance({
          id,
          configVariables: [
            { key: "Limit", value: "many" },
            { key: "Kind", value: "c" },
            { key: "Nothing", value: "1" },
          ],
        })
      ).errors[0].messages,
    ).toHaveLength(3);
    const updated = await updateInstance({
      id,
      configVariables: [
        { key: "Region", value: "eu" },
        {
          key: "Erp",
          values: JSON.stringify([
            { name: "username", type: "value", value: "someone" },
            { name: "password", type: "value", value: "hidden-password" },
          ]),
        },
      ],
    });
    expect(updated.errors).toEqual([]);
    const { configState, configVariables } = await instance(id);
    expect(configState).toBe("FULLY_CONFIGURED");
    expect(JSON.stringify(configVariables)).not.toContain("hidden-password");
    const byKey = Object.fromEntries(
      configVariables.nodes.map((node: { requiredConfigVariable: { key: string } }) => [
        node.requiredConfigVariable.key,
        node,
      ]),
    );
    expect(byKey["Region"]).toMatchObject({ value: "eu", status: null });
    expect(byKey["Limit"]).toMatchObject({
      value: null,
      requiredConfigVariable: { defaultValue: "5", dataType: "NUMBER" },
    });
    expect(byKey["Erp"]).toMatchObject({ value: null, status: "ACTIVE" });
    expect(byKey["Erp"].inputs.nodes).toContainEqual({ name: "password", value: null });
    expect((await deploy(id)).errors).toEqual([]);
    expect(
      (await updateInstance({ id, configVariables: [{ key: "Region", value: "us" }] })).instance.needsDeploy,
    ).toBe(true);
  });
});

describe("API keys", () => {
  test("a customer_required flow blocks the deploy, says its URL before it, and keeps its last key", async () => {
    const { version } = await publish(
      definition(
        "Guarded",
        flowYaml("Open", "") + flowYaml("Closed", "endpointSecurityType: customer_required"),
      ),
    );
    const { id } = (await createInstance({ integration: version, customer: await newCustomer() })).instance;
    expect((await deploy(id, true)).errors).toEqual([
      { field: "__all__", messages: [expect.stringMatching(/"Closed"/)] },
    ]);
    const [needing] = (await instance(id)).flowsThatNeedKeys;
    expect(needing).toMatchObject({
      flow: { name: "Closed" },
      webhookUrl: expect.stringContaining("/trigger/"),
    });
    const made = await createKey({ flowConfig: needing.id, name: "first" });
    expect(made).toMatchObject({ errors: [], pendingDataPlanes: [], apiKey: { isValid: true } });
    expect(made.key).toHaveLength("swk_".length + 43);
    expect((await instance(id)).flowsThatNeedKeys).toEqual([]);
    expect((await deploy(id)).errors).toEqual([]);
    expect((await revokeKey(made.apiKey.id)).errors).toEqual([
      { field: "id", messages: [expect.stringMatching(/last one/)] },
    ]);
    const second = await createKey({ flowConfig: needing.id, key: "my-own-key-of-this-flow" });
    expect(second.errors).toEqual([]);
    expect(await revokeKey(made.apiKey.id)).toMatchObject({ errors: [], apiKey: { isValid: false } });
    // Neither a valid nor a revoked key can be added again.
    for (const key of ["my-own-key-of-this-flow", made.key]) {
      expect((await createKey({ flowConfig: needing.id, key })).errors).toEqual([
        { field: "key", messages: ["This key can't be used. Choose another."] },
      ]);
    }
    for (const key of ["too short", "with,comma-with,comma", "k".repeat(257)]) {
      expect((await createKey({ flowConfig: needing.id, key })).errors[0].field).toBe("key");
    }
  });

  test("lists: a mask keeps a key, a text adds one, what is left out is revoked", async () => {
    const { version, flows } = await publish(definition("Listed keys", flowYaml("One", "")));
    const { id } = (await createInstance({ integration: version, customer: await newCustomer() })).instance;
    const write = (apiKeys: string[]) =>
      updateInstance({ id, configMode: "INSTANCE", flowConfigs: [{ flowId: flows["One"], apiKeys }] });
    const masks = async () => (await instance(id)).flowConfigs.nodes[0].apiKeys;
    expect((await write(["the-first-key-of-all", "the-second-key-here"])).errors).toEqual([]);
    expect(await masks()).toEqual(["the-fi••••-all", "the-se••••here"]);
    expect((await write(["the-se••••here", "the-third-key-of-all"])).errors).toEqual([]);
    expect(await masks()).toEqual(["the-se••••here", "the-th••••-all"]);
    expect((await write(["no-mask••••here"])).errors[0].field).toBe("flowConfigs");
    expect((await write(["short"])).errors[0].field).toBe("flowConfigs");
    expect((await write([])).errors).toEqual([]);
    expect(await masks()).toEqual([]);
    // What a test run writes on every import must work every time.
    expect((await write(["the-first-key-of-all"])).errors).toEqual([]);
    expect(await masks()).toEqual(["the-fi••••-all"]);
  });

  test("of the organization come from the definition and by mutation; a revoked one does not come back", async () => {
    const yaml = definition(
      "Of the organization",
      flowYaml(
        "One",
        "endpointSecurityType: organization\n    organizationApiKeys: [key-from-the-definition]",
      ),
    );
    const { draft } = await publish(yaml);
    const keys = async () =>
      (
        await plane.api(
          `query ($id: ID!) { integration(id: $id) { organizationKeys(isValid: true) { nodes { id mask } } } }`,
          { id: draft },
        )
      ).integration.organizationKeys.nodes;
    expect(await keys()).toEqual([{ id: expect.any(String), mask: "key-fr••••tion" }]);
    const added = await createKey({ integration: draft, flow: "One", name: "by hand" });
    expect(added).toMatchObject({ errors: [], apiKey: { isOrganizationKey: true } });
    expect((await revokeKey((await keys())[0].id)).errors).toEqual([]);
    await publish(yaml);
    expect(await keys()).toEqual([{ id: added.apiKey.id, mask: added.apiKey.mask }]);
  });
});

describe("a customer's user", () => {
  test("sees and rotates the keys of its own customer only", async () => {
    const { version } = await publish(definition("Seen by two", flowYaml("One", "")));
    const [mine, theirs] = [await newCustomer(), await newCustomer()];
    const own = (await createInstance({ name: "mine", integration: version, customer: mine })).instance.id;
    const other = (await createInstance({ name: "theirs", integration: version, customer: theirs })).instance
      .id;
    const token = await customerToken(mine);
    const list = await plane.as(token, `{ instances { nodes { name } } }`);
    expect(list.instances.nodes).toEqual([{ name: "mine" }]);
    const query = `query ($id: ID!) { instance(id: $id) { name flowConfigs { nodes { id webhookUrl } } } }`;
    expect((await plane.as(token, query, { id: other })).instance).toBeNull();
    const config = (await plane.as(token, query, { id: own })).instance.flowConfigs.nodes[0].id;
    const made = await createKey({ flowConfig: config }, token);
    expect(made.errors).toEqual([]);
    expect((await revokeKey(made.apiKey.id, token)).errors).toEqual([]);
    const foreign = (await instance(other)).flowConfigs.nodes[0].id;
    expect((await createKey({ flowConfig: foreign }, token)).errors[0].field).toBe("flowConfig");
    const foreignKey = await createKey({ flowConfig: foreign });
    expect((await revokeKey(foreignKey.apiKey.id, token)).errors[0].field).toBe("id");
    expect(
      await plane.refusal(
        token,
        `mutation ($id: ID!) { deployInstance(input: { id: $id }) { errors { messages } } }`,
        { id: own },
      ),
    ).toHaveLength(1);
    expect(await plane.refusal(null, `{ instances { totalCount } }`)).toHaveLength(1);
    expect((await plane.as(token, `{ executionResults { totalCount } }`)).executionResults.totalCount).toBe(
      0,
    );
  });
});

async function customerToken(customer: string): Promise<string> {
  const { customerRoles } = await plane.api(`{ customerRoles { id } }`);
  const { createCustomerUser } = await plane.api(
    `mutation ($customer: ID!, $role: ID!) { createCustomerUser(input: { customer: $customer, role: $role, email: "someone@example.com", name: "Someone" }) { user { id } errors { field messages } } }`,
    { customer, role: customerRoles[0].id },
  );
  expect(createCustomerUser.errors).toEqual([]);
  const { createUserToken } = await plane.api(
    `mutation ($user: ID!) { createUserToken(input: { user: $user }) { token errors { field messages } } }`,
    { user: createCustomerUser.user.id },
  );
  return createUserToken.token;
}
