/** User-level config: what each user of a customer sets, in the runs that are bound to that user. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  api,
  configure,
  configVariables,
  connectionInput,
  deploy,
  newCustomer,
  newInstance,
} from "./support/configuredInstance.ts";
import { graphql } from "./support/graphql.ts";
import { type OAuthServer, startOAuthServer } from "./support/oauthServer.ts";
import { planesOfFile } from "./support/planesOfFile.ts";
import { publishFixture } from "./support/publishAndDeploy.ts";
import { sendWebhook } from "./support/sendWebhook.ts";
import { waitFor } from "./support/waitFor.ts";

interface TestUser {
  id: string;
  token: string;
}

describe("user-level config", () => {
  const planes = planesOfFile();
  let server: OAuthServer;
  let id: string;
  let url: string;
  let ada: TestUser;
  let bob: TestUser;
  beforeAll(async () => {
    server = await startOAuthServer();
    const { versionId } = await publishFixture(planes, "user-config");
    const customer = await newCustomer(planes, "with-users");
    ada = await newUser(customer, "ada");
    bob = await newUser(customer, "bob");
    id = await newInstance(planes, versionId, customer);
    url = (await deploy(planes, id)).url;
  });
  afterAll(() => server?.stop());

  async function newUser(customer: string, externalId: string): Promise<TestUser> {
    const { customerRoles } = await api(planes, "query { customerRoles { id name } }");
    const role = customerRoles.find(({ name }: { name: string }) => !/admin/i.test(name)).id;
    const { createCustomerUser } = await api(
      planes,
      `mutation ($input: CreateCustomerUserInput!) { createCustomerUser(input: $input) { user { id } errors { messages } } }`,
      { input: { email: `${externalId}@users.example`, externalId, role, customer } },
    );
    const user = createCustomerUser.user.id;
    const { createUserToken } = await api(
      planes,
      `mutation ($user: ID!) { createUserToken(input: { user: $user, name: "test" }) { token errors { messages } } }`,
      { user },
    );
    return { id: user, token: createUserToken.token };
  }

  const seenBy = async (user: string) =>
    (await sendWebhook(url, { headers: { "x-flow": "Tell", "x-user": user }, body: {} })).json;

  const create = async (token: string, input: Record<string, unknown>) =>
    (
      await graphql(
        planes.controlUrl,
        token,
        `mutation ($input: CreateUserLevelConfigInput!) { createUserLevelConfig(input: $input) {
          userLevelConfig { id user { externalId } } errors { field messages } } }`,
        { input },
      )
    ).createUserLevelConfig;

  const update = async (token: string, config: string, values: readonly Record<string, unknown>[]) =>
    (
      await graphql(
        planes.controlUrl,
        token,
        `mutation ($id: ID!, $values: [InputInstanceConfigVariable!]) {
          updateUserLevelConfig(input: { id: $id, configVariables: $values }) { errors { field messages } } }`,
        { id: config, values },
      )
    ).updateUserLevelConfig.errors;

  const configsSeenBy = async (token: string) =>
    (
      await graphql(
        planes.controlUrl,
        token,
        `query ($id: ID!) { instance(id: $id) { userLevelConfigs { nodes { id user { externalId }
          configVariables { nodes { id value status authorizeUrl requiredConfigVariable { key } } } } }
          userLevelConfigVariables { nodes { value requiredConfigVariable { key } } } } }`,
        { id },
      )
    ).instance;

  test("is not the instance's: it keeps no deploy back, and its defaults hold until a user says otherwise", async () => {
    expect(await seenBy("ada")).toEqual({ user: "ada", configVars: { Company: "Acme", Nickname: "you" } });
    expect(Object.keys(await configVariables(planes, id))).toEqual(["Company"]);
    expect(await configure(planes, id, [{ key: "Nickname", value: "all" }])).toEqual([
      { field: "configVariables", messages: [expect.stringContaining('"Nickname"')] },
    ]);
  });

  test("is set by the user alone or an admin, and counts at once in that user's runs only", async () => {
    const made = await create(ada.token, {
      instance: id,
      configVariables: [{ key: "Nickname", value: "Countess" }],
    });
    expect(made).toMatchObject({ errors: [], userLevelConfig: { user: { externalId: "ada" } } });
    expect((await create(ada.token, { instance: id })).errors).toHaveLength(1);
    expect((await create(ada.token, { instance: id, user: bob.id })).errors).toHaveLength(1);
    const bobs = await create(planes.adminToken, { instance: id, user: bob.id });
    expect(bobs).toMatchObject({ errors: [], userLevelConfig: { user: { externalId: "bob" } } });

    expect((await seenBy("ada")).configVars).toEqual({ Company: "Acme", Nickname: "Countess" });
    expect((await seenBy("bob")).configVars).toEqual({ Company: "Acme", Nickname: "you" });
    expect(await update(planes.adminToken, bobs.userLevelConfig.id, [{ key: "Limit", value: "12" }])).toEqual(
      [],
    );
    expect((await seenBy("bob")).configVars).toEqual({ Company: "Acme", Nickname: "you", Limit: 12 });

    expect(await update(ada.token, bobs.userLevelConfig.id, [{ key: "Limit", value: "1" }])).toHaveLength(1);
    expect(await update(ada.token, made.userLevelConfig.id, [{ key: "Limit", value: "few" }])).toEqual([
      { field: "configVariables", messages: ['Config variable "Limit" must be a number.'] },
    ]);
    expect(await update(ada.token, made.userLevelConfig.id, [{ key: "Company", value: "x" }])).toHaveLength(
      1,
    );

    const adas = await configsSeenBy(ada.token);
    expect(
      adas.userLevelConfigs.nodes.map((node: { user: { externalId: string } }) => node.user.externalId),
    ).toEqual(["ada"]);
    expect(adas.userLevelConfigVariables.nodes[0]).toMatchObject({ value: "Countess" });
    expect((await configsSeenBy(planes.adminToken)).userLevelConfigs.nodes).toHaveLength(2);
  });

  test("has data sources that run as the user", async () => {
    const config = (await configsSeenBy(ada.token)).userLevelConfigs.nodes[0].id;
    const document = `mutation ($id: ID!, $config: ID!) {
      fetchDataSourceContent(input: { id: $id, configVariable: "Team", userLevelConfig: $config }) {
        fetchDataSourceContentResult { content } errors { field messages } } }`;
    const { fetchDataSourceContent } = await graphql(planes.controlUrl, ada.token, document, { id, config });
    expect(fetchDataSourceContent.errors).toEqual([]);
    expect(JSON.parse(fetchDataSourceContent.fetchDataSourceContentResult.content)).toEqual([
      "Countess (ada) of Acme",
    ]);
    const bobs = await graphql(planes.controlUrl, bob.token, document, { id, config });
    expect(bobs.fetchDataSourceContent.errors).toHaveLength(1);
  });

  test("survives a deploy and a restart of the data plane", async () => {
    await configure(planes, id, [{ key: "Company", value: "Emca" }]);
    expect((await deploy(planes, id)).errors).toEqual([]);
    expect((await seenBy("ada")).configVars).toEqual({ Company: "Emca", Nickname: "Countess" });
    await planes.data.stop();
    await planes.data.start();
    expect((await seenBy("ada")).configVars).toEqual({ Company: "Emca", Nickname: "Countess" });
    expect((await seenBy("bob")).configVars).toMatchObject({ Nickname: "you", Limit: 12 });
  });

  test("has connections of its own, which the user authorizes", async () => {
    const config = (await configsSeenBy(ada.token)).userLevelConfigs.nodes[0].id;
    const fields = {
      authorizeUrl: `${server.url}/authorize`,
      tokenUrl: `${server.url}/token`,
      clientId: server.clientId,
      clientSecret: server.clientSecret,
    };
    expect(await update(planes.adminToken, config, [connectionInput("My Account", fields)])).toEqual([]);
    const variable = async (token: string) => {
      const [node] = (await configsSeenBy(token)).userLevelConfigs.nodes;
      return node.configVariables.nodes.find(
        ({ requiredConfigVariable }: { requiredConfigVariable: { key: string } }) =>
          requiredConfigVariable.key === "My Account",
      );
    };
    const pending = await variable(ada.token);
    expect(pending.status).toBe("PENDING");
    expect(JSON.stringify(pending)).not.toContain(server.clientSecret);
    const page = await fetch(pending.authorizeUrl);
    expect(page.status).toBe(200);
    expect((await variable(ada.token)).status).toBe("ACTIVE");
    const token = await waitFor(async () => (await seenBy("ada")).configVars["My Account"]?.token);
    expect(token.access_token).toMatch(/^access-token-/);
    expect((await seenBy("bob")).configVars["My Account"]).toBeUndefined();
    const disk = ["control/config.db", "control/config.db-wal"].map((name) =>
      readFileSync(join(planes.dataDir, name), "latin1"),
    );
    expect(disk.join("")).not.toContain(token.access_token);

    const { disconnectUserLevelConnection } = await graphql(
      planes.controlUrl,
      ada.token,
      `mutation ($id: ID!) { disconnectUserLevelConnection(input: { id: $id }) { userLevelConfigVariable { status } errors { messages } } }`,
      { id: pending.id },
    );
    expect(disconnectUserLevelConnection.userLevelConfigVariable.status).toBe("PENDING");
    await waitFor(async () => (await seenBy("ada")).configVars["My Account"]?.token === undefined);
  });

  test("is forgotten when it is deleted", async () => {
    const config = (await configsSeenBy(ada.token)).userLevelConfigs.nodes[0].id;
    const { deleteUserLevelConfig } = await graphql(
      planes.controlUrl,
      ada.token,
      `mutation ($id: ID!) { deleteUserLevelConfig(input: { id: $id }) { userLevelConfig { id } errors { messages } } }`,
      { id: config },
    );
    expect(deleteUserLevelConfig.errors).toEqual([]);
    expect((await seenBy("ada")).configVars).toEqual({ Company: "Emca", Nickname: "you" });
    expect((await configsSeenBy(ada.token)).userLevelConfigs.nodes).toEqual([]);
  });
});
