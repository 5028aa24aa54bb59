/** OAuth 2.0 connections against a real, small OAuth server: authorized, renewed, refused, disconnected. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
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
import { type OAuthServer, startOAuthServer } from "./support/oauthServer.ts";
import { planesOfFile } from "./support/planesOfFile.ts";
import { publishFixture } from "./support/publishAndDeploy.ts";
import { sendWebhook } from "./support/sendWebhook.ts";
import { waitFor } from "./support/waitFor.ts";

const account = "Acme Account";
const client = "Acme Client";

describe("an OAuth 2.0 connection", () => {
  const planes = planesOfFile();
  let server: OAuthServer;
  let versionId: string;
  let customers = 0;
  beforeAll(async () => {
    server = await startOAuthServer();
    versionId = (await publishFixture(planes, "oauth")).versionId;
  });
  afterAll(() => server?.stop());
  beforeEach(() => {
    Object.assign(server.settings, {
      expiresInSeconds: 3_600,
      refusal: null,
      wantsBasic: false,
      callbackParameters: {},
    });
    server.requests.length = 0;
  });

  const clientFields = () => ({
    tokenUrl: `${server.url}/token`,
    clientId: server.clientId,
    clientSecret: server.clientSecret,
  });
  const accountFields = () => ({ ...clientFields(), authorizeUrl: `${server.url}/authorize?prompt=consent` });

  /** With the fields of both connections, nothing authorized. */
  const instance = async (): Promise<string> => {
    customers += 1;
    const customer = await newCustomer(planes, `customer-${customers}`);
    return newInstance(planes, versionId, customer, [
      connectionInput(account, accountFields()),
      connectionInput(client, clientFields()),
    ]);
  };
  const variable = async (id: string, key: string) => (await configVariables(planes, id))[key];
  const isActive = async (id: string, key: string) =>
    waitFor(async () => {
      const found = await variable(id, key);
      return found.status === "ACTIVE" ? found : null;
    });

  /** Goes where a browser would, but for the last step. */
  const authorize = async (url: string): Promise<string> => {
    const answer = await fetch(url, { redirect: "manual" });
    return answer.headers.get("location")!;
  };
  const comeBack = async (url: string) => {
    const answer = await fetch(url, { redirect: "manual" });
    return { status: answer.status, text: await answer.text() };
  };
  const connectionsOf = async (url: string) => (await sendWebhook(url, { body: {} })).json;

  test("is authorized with a code and PKCE, and its token reaches flow code only", async () => {
    server.settings.callbackParameters = { realmId: "company-7" };
    const id = await instance();
    await isActive(id, client);
    expect((await deploy(planes, id)).errors).toEqual([
      { field: "__all__", messages: [expect.stringMatching(/authorized first, .*"Acme Account"/)] },
    ]);
    const pending = await variable(id, account);
    expect(pending).toMatchObject({
      status: "PENDING",
      requiredConfigVariable: { oauth2Type: "authorization_code" },
    });
    const start = new URL(pending.authorizeUrl);
    expect(Object.fromEntries(start.searchParams)).toMatchObject({
      prompt: "consent",
      response_type: "code",
      client_id: server.clientId,
      scope: "read write",
      code_challenge_method: "S256",
      redirect_uri: `${planes.controlUrl}/oauth2/callback`,
    });
    const back = await authorize(pending.authorizeUrl);
    expect(await comeBack(back)).toMatchObject({ status: 200, text: expect.stringContaining("authorized") });
    expect(server.requests.at(-1)).toMatchObject({ grantType: "authorization_code" });
    expect(await variable(id, account)).toMatchObject({
      status: "ACTIVE",
      error: null,
      refreshAt: expect.any(String),
    });
    // Coming back with the same code again changes nothing.
    expect(await comeBack(back)).toMatchObject({ status: 400, text: expect.stringContaining("before") });

    const { errors, url } = await deploy(planes, id);
    expect(errors).toEqual([]);
    const answer = await sendWebhook(url, { body: {} });
    const { token, context, fields } = answer.json[account];
    expect(token).toMatchObject({
      access_token: expect.stringMatching(/^access-token-/),
      token_type: "bearer",
    });
    expect(context).toEqual({ realmId: "company-7" });
    expect(fields).toMatchObject({ clientId: server.clientId, scopes: "read write" });
    expect(answer.json[client].token.access_token).toMatch(/^access-token-/);

    const shown = [
      JSON.stringify(await configVariables(planes, id)),
      JSON.stringify(await endedExecution(planes, answer.executionId!)),
      JSON.stringify(await api(planes, "query { auditLog(first: 50) { nodes { detail } } }")),
      planes.control.log(),
      planes.data.log(),
      ...["control/config.db", "control/config.db-wal"].map((name) =>
        readFileSync(join(planes.dataDir, name), "latin1"),
      ),
    ].join("\n");
    for (const secret of [token.access_token, token.refresh_token, server.clientSecret])
      expect(shown).not.toContain(secret);
    const { auditLog } = await api(
      planes,
      `query { auditLog(action: "authorizeConnection", first: 5) { nodes { outcome } } }`,
    );
    expect(auditLog.nodes).toHaveLength(1);
  });

  test("is renewed before its token ends, and a deployed instance runs on the new one without a deploy", async () => {
    server.settings.expiresInSeconds = 4;
    const id = await instance();
    await comeBack(await authorize((await variable(id, account)).authorizeUrl));
    const { url } = await deploy(planes, id);
    const first = await connectionsOf(url);
    // The refresh tokens of this server are good for one use: renewing twice takes the one that came last.
    await waitFor(async () => {
      const refreshes = server.requests.filter(({ grantType }) => grantType === "refresh_token");
      return refreshes.length >= 2;
    }, 20_000);
    server.settings.expiresInSeconds = 3_600;
    const later = await waitFor(async () => {
      const now = await connectionsOf(url);
      const isNew = (key: string) => now[key].token.access_token !== first[key].token.access_token;
      return isNew(account) && isNew(client) ? now : null;
    }, 20_000);
    expect(later[account].token.refresh_token).not.toBe(first[account].token.refresh_token);
    const { status, lastSuccessfulRefreshAt } = await variable(id, account);
    expect(status).toBe("ACTIVE");
    expect(lastSuccessfulRefreshAt).not.toBeNull();
    const { instance: after } = await api(planes, "query ($id: ID!) { instance(id: $id) { needsDeploy } }", {
      id,
    });
    expect(after.needsDeploy).toBe(false);
  });

  test("whose renewal is refused says so, and works again once it is authorized again", async () => {
    const id = await instance();
    await comeBack(await authorize((await variable(id, account)).authorizeUrl));
    const { url } = await deploy(planes, id);
    const first = (await connectionsOf(url))[account].token;
    const node = await variable(id, account);
    server.settings.refusal = {
      status: 400,
      body: JSON.stringify({ error: "invalid_grant", error_description: "revoked by its owner" }),
    };
    await renewNow(node.id);
    const failed = await waitFor(async () => {
      const found = await variable(id, account);
      return found.status === "ERROR" ? found : null;
    });
    expect(failed.error).toBe("The OAuth server answered 400: invalid_grant (revoked by its owner).");
    expect(failed.refreshAt).toBeNull();
    const metrics = await (await fetch(`${planes.controlUrl}/metrics`)).text();
    expect(metrics).toMatch(/^switchyard_control_token_fetches_total\{outcome="refused"\} [1-9]/m);
    server.settings.refusal = null;
    await comeBack(await authorize(failed.authorizeUrl));
    expect(await variable(id, account)).toMatchObject({ status: "ACTIVE", error: null });
    const last = server.requests.at(-1)!;
    expect(last.grantType).toBe("authorization_code");
    await waitFor(async () => {
      const { token } = (await connectionsOf(url))[account];
      return token.refresh_token !== undefined && token.refresh_token !== first.refresh_token;
    });
  });

  test("is asked for again after an outage of the server, and stays in use meanwhile", async () => {
    const id = await instance();
    await comeBack(await authorize((await variable(id, account)).authorizeUrl));
    server.settings.refusal = { status: 503, body: "busy" };
    server.requests.length = 0;
    await renewNow((await variable(id, account)).id);
    const waiting = await waitFor(async () => {
      const found = await variable(id, account);
      return found.error === null ? null : found;
    });
    expect(waiting).toMatchObject({ status: "ACTIVE", error: "The OAuth server answered 503." });
    server.settings.refusal = null;
    await waitFor(async () => (await variable(id, account)).error === null, 20_000);
    expect(server.requests.length).toBeGreaterThanOrEqual(2);
  });

  test("is renewed by a control plane that was killed and came back", async () => {
    server.settings.expiresInSeconds = 3;
    const id = await instance();
    await comeBack(await authorize((await variable(id, account)).authorizeUrl));
    await planes.control.kill();
    server.requests.length = 0;
    await planes.control.start();
    await waitFor(async () => server.requests.some(({ grantType }) => grantType === "refresh_token"), 20_000);
    server.settings.expiresInSeconds = 3_600;
    await waitFor(async () => {
      const { status, refreshAt } = await variable(id, account);
      return status === "ACTIVE" && Date.parse(refreshAt) > Date.now() + 600_000;
    }, 20_000);
  });

  test("of the client's own kind needs nobody, and refuses the deploy where its server refuses it", async () => {
    server.settings.wantsBasic = true;
    const id = await instance();
    await isActive(id, client);
    expect(server.requests.map(({ isBasic }) => isBasic)).toEqual([false, true]);
    expect(server.requests.at(-1)!.parameters).toMatchObject({
      grant_type: "client_credentials",
      scope: "read write",
    });

    server.settings.wantsBasic = false;
    const wrong = await newInstance(planes, versionId, await newCustomer(planes, "wrong-secret"), [
      connectionInput(account, accountFields()),
      connectionInput(client, { ...clientFields(), clientSecret: "not-the-secret" }),
    ]);
    await comeBack(await authorize((await variable(wrong, account)).authorizeUrl));
    const refused = await deploy(planes, wrong);
    expect(refused.errors).toEqual([
      {
        field: "__all__",
        messages: ['Connection "Acme Client": The OAuth server answered 401: invalid_client.'],
      },
    ]);
    expect((await variable(wrong, client)).status).toBe("ERROR");
    expect(await configure(planes, wrong, [connectionInput(client, clientFields())])).toEqual([]);
    expect((await deploy(planes, wrong)).errors).toEqual([]);
  });

  test("is not authorized by a state that is not ours, or that was begun with other settings", async () => {
    const id = await instance();
    const callback = `${planes.controlUrl}/oauth2/callback`;
    expect((await comeBack(`${callback}?code=1&state=made-up`)).status).toBe(400);
    expect((await comeBack(`${callback}?code=1`)).status).toBe(400);
    const back = new URL(await authorize((await variable(id, account)).authorizeUrl));
    const state = back.searchParams.get("state")!;
    back.searchParams.set("state", `${state.slice(0, -2)}AA`);
    expect((await comeBack(back.href)).text).toContain("not known");
    back.searchParams.set("state", state);
    await configure(planes, id, [connectionInput(account, { clientId: "another-client" })]);
    expect((await comeBack(back.href)).text).toContain("changed since");
    expect(server.requests.filter(({ grantType }) => grantType === "authorization_code")).toEqual([]);

    await configure(planes, id, [connectionInput(account, accountFields())]);
    const denied = new URL((await variable(id, account)).authorizeUrl);
    denied.searchParams.set("deny", "yes");
    expect((await comeBack(await authorize(denied.href))).text).toContain("access_denied");
    expect(await variable(id, account)).toMatchObject({
      status: "ERROR",
      error: "The OAuth server refused it: access_denied.",
    });
  });

  test("is disconnected: its token is gone from what runs, too", async () => {
    const id = await instance();
    await comeBack(await authorize((await variable(id, account)).authorizeUrl));
    const { url } = await deploy(planes, id);
    expect((await connectionsOf(url))[account].token).toBeDefined();
    const { disconnectConnection } = await api(
      planes,
      `mutation ($id: ID!) { disconnectConnection(input: { id: $id }) { instanceConfigVariable { status } errors { messages } } }`,
      { id: (await variable(id, account)).id },
    );
    expect(disconnectConnection).toEqual({ instanceConfigVariable: { status: "PENDING" }, errors: [] });
    await waitFor(async () => (await connectionsOf(url))[account].token === undefined);
  });

  test("whose server answers without end or sends elsewhere gets no token, and says why", async () => {
    const refusals = [
      { status: 200, body: "x".repeat(300_000), error: /larger than 262144 bytes/ },
      { status: 307, body: "", error: /answered 307/ },
      { status: 200, body: "{}", error: /answered 200 without an access token/ },
    ];
    const id = await instance();
    for (const { error, ...refusal } of refusals) {
      server.settings.refusal = refusal;
      await configure(planes, id, [
        connectionInput(client, { ...clientFields(), scopes: `of ${error.source}` }),
      ]);
      await waitFor(async () => error.test((await variable(id, client)).error ?? ""));
    }
    const port = new URL(server.url).port;
    server.settings.refusal = null;
    await configure(planes, id, [connectionInput(client, { tokenUrl: `http://127.0.0.1:1/${port}` })]);
    const { errors } = await deploy(planes, id);
    expect(errors[0].messages[0]).toMatch(/^Connection "Acme Client": The OAuth server can't be reached: /);
  });

  test("takes no plain HTTP beyond this machine", async () => {
    const id = await newInstance(planes, versionId, await newCustomer(planes, "plain-http"), [
      connectionInput(account, accountFields()),
      connectionInput(client, { ...clientFields(), tokenUrl: "http://oauth.example/token" }),
    ]);
    const failed = await waitFor(async () => {
      const found = await variable(id, client);
      return found.status === "ERROR" ? found : null;
    });
    expect(failed.error).toMatch(/tokenUrl of "Acme Client" must start with https/);
  });

  /** Its time comes now. */
  const renewNow = (id: string) =>
    api(
      planes,
      `mutation ($id: ID!, $refreshAt: DateTime) { updateOAuth2Connection(input: { id: $id, refreshAt: $refreshAt }) { errors { messages } } }`,
      { id, refreshAt: new Date().toISOString() },
    );
});
