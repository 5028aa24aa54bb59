import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseNodeId } from "../shared/ids.ts";
import { loadIntegration } from "../shared/scripts/bundleIntegration.ts";
import { importBuilt } from "../shared/scripts/publishIntegration.ts";
import { openSqliteReader } from "../shared/sqlite.ts";
import { stateBytesMax } from "../shared/states.ts";
import { endedExecution, messagesOf } from "./support/executionRecord.ts";
import { buildFixture } from "./support/fixtures.ts";
import { graphql, rawGraphql } from "./support/graphql.ts";
import { persistedStates } from "./support/persistedState.ts";
import { bootDataPlane, bootPlanes, type TestPlanes } from "./support/planes.ts";
import { deployTo, publishAndDeploy, publishFixture } from "./support/publishAndDeploy.ts";
import { sendWebhook } from "./support/sendWebhook.ts";
import { waitFor } from "./support/waitFor.ts";

let planes: TestPlanes;

beforeAll(async () => {
  planes = await bootPlanes({ environment: { SWITCHYARD_RUN_THREADS: "2" } });
});
afterAll(() => planes?.stop());

const all = ["instanceState", "crossFlowState", "executionState", "integrationState"];
const none = Object.fromEntries(all.map((name) => [name, {}]));
const api = (document: string, variables: Record<string, unknown> = {}) =>
  graphql(planes.controlUrl, planes.adminToken, document, variables);
const send = async (url: string, body: object = {}) => {
  const answer = await sendWebhook(url, { body });
  expect(answer.status, answer.text).toBe(200);
  return answer.json;
};
const sendFailing = async (url: string, body: object) => {
  const answer = await sendWebhook(url, { body });
  expect(answer.status, answer.text).toBe(500);
  return endedExecution(planes, answer.executionId!);
};
let published: ReturnType<typeof publishFixture> | undefined;
/** An instance of its own for each test. */
const deployed = async (externalId: string) => {
  published ??= publishFixture(planes, "stateful");
  return deployTo(planes, await published, externalId);
};

describe("what flows keep between executions", () => {
  test("is found by the next run of its scope, whether changed in place or returned", async () => {
    const [first, second] = [await deployed("scopes-a"), await deployed("scopes-b")];
    const { Counter, Sibling } = first.webhookUrls as Record<string, string>;
    expect(await send(Counter!, { count: all })).toEqual(none);
    expect(await send(Counter!, { countByReturn: all, set: { crossFlowState: { by: "hand" } } })).toEqual({
      instanceState: { count: 1 },
      crossFlowState: { count: 1 },
      executionState: {},
      integrationState: { count: 1 },
    });
    expect(await send(Sibling!)).toEqual({
      instanceState: {},
      crossFlowState: { count: 2, by: "hand" },
      executionState: {},
      integrationState: { count: 2 },
    });
    // Another instance sees what all share, and nothing else.
    expect(await send(second.webhookUrls["Counter"]!)).toEqual({ ...none, integrationState: { count: 2 } });
  });

  test("can be taken out again", async () => {
    const { webhookUrls } = await deployed("removing");
    const url = webhookUrls["Counter"]!;
    await send(url, { set: { instanceState: { cursor: "a", page: 2 } } });
    expect((await send(url, { remove: { instanceState: ["page"] } })).instanceState).toEqual({
      cursor: "a",
      page: 2,
    });
    expect((await send(url, { remove: { instanceState: ["cursor"] } })).instanceState).toEqual({
      cursor: "a",
    });
    expect((await send(url)).instanceState).toEqual({});
  });

  test("is as it was where the run fails", async () => {
    const { webhookUrls } = await deployed("failing");
    const url = webhookUrls["Counter"]!;
    await send(url, { count: all });
    const record = await sendFailing(url, { count: all, message: "On purpose." });
    expect(record).toMatchObject({ status: "FAILED", errorCode: "FLOW_FAILED" });
    expect((await send(url)).instanceState).toEqual({ count: 1 });
  });

  test("must be JSON: what JSON leaves out is left out, and what it refuses fails the run by name", async () => {
    const { webhookUrls } = await deployed("odd");
    const url = webhookUrls["Counter"]!;
    await send(url, { unkeepable: "date" });
    expect((await send(url)).instanceState).toEqual({ odd: { at: "1970-01-01T00:00:00.000Z" } });
    for (const unkeepable of ["cyclic", "bigint"]) {
      const record = await sendFailing(url, { unkeepable, count: ["instanceState"] });
      expect(record).toMatchObject({ status: "FAILED", errorCode: "STATE_INVALID" });
      expect(record.error).toContain('"odd" of instanceState');
      expect(messagesOf(record).some((message) => message.includes('"odd" of instanceState'))).toBe(true);
    }
    expect((await send(url)).instanceState).toEqual({ odd: { at: "1970-01-01T00:00:00.000Z" } });
  });

  test("may be large; what is too large fails its run and leaves the old state", async () => {
    const { webhookUrls, instanceId } = await deployed("large");
    const url = webhookUrls["Counter"]!;
    await send(url, { count: ["instanceState"], large: 20_000_000 });
    expect((await send(url)).instanceState.large).toBe(20_000_000);
    const record = await sendFailing(url, { count: ["instanceState"], large: stateBytesMax });
    expect(record).toMatchObject({ status: "FAILED", errorCode: "STATE_TOO_LARGE" });
    expect(record.error).toContain("64 MB");
    expect((await send(url)).instanceState).toEqual({ count: 1, large: 20_000_000 });
    await waitFor(() =>
      persistedStates(planes, instanceId).then(
        () => false,
        (error: Error) => /takes 200000\d\d bytes, which is more than can be shown/.test(error.message),
      ),
    );
  });

  test("is the later run's where two overlap, state by state", async () => {
    const { webhookUrls } = await deployed("overlapping");
    const url = webhookUrls["Counter"]!;
    await send(url, { set: { instanceState: { by: "nobody" } } });
    const slow = send(url, { set: { instanceState: { by: "slow" } }, waitMs: 1_500 });
    // It has begun with what was there before the quick one.
    await new Promise((resolve) => setTimeout(resolve, 500));
    await send(url, { set: { instanceState: { quick: true }, crossFlowState: { by: "quick" } } });
    expect((await send(url)).instanceState).toEqual({ by: "nobody", quick: true });
    expect((await slow).instanceState).toEqual({ by: "nobody" });
    expect(await send(url)).toMatchObject({ instanceState: { by: "slow" }, crossFlowState: { by: "quick" } });
  });

  test("of a preprocess flow is seen by the flow that it finds, and kept where both went well", async () => {
    const { instances } = await publishAndDeploy(planes, "stateful-shared", ["sharing-a", "sharing-b"]);
    const url = instances["sharing-a"]!.webhookUrls["Deliver"]!;
    const first = await send(url, { tenant: "sharing-a" });
    expect(first).toEqual({
      dispatched: { instanceState: 0, crossFlowState: 0, executionState: 0, integrationState: 0 },
      // The execution's and the integration's are of both parts.
      found: { instanceState: 0, crossFlowState: 0, executionState: 1, integrationState: 1 },
    });
    const failed = await sendWebhook(url, { body: { tenant: "sharing-a", message: "On purpose." } });
    expect(failed.status).toBe(500);
    const second = await send(url, { tenant: "sharing-b" });
    expect(second).toEqual({
      // Bound to no instance: it is the integration that it counts for.
      dispatched: { instanceState: 1, crossFlowState: 1, executionState: 0, integrationState: 2 },
      found: { instanceState: 0, crossFlowState: 0, executionState: 1, integrationState: 3 },
    });
  });

  test("survives a move to another version", async () => {
    const instance = await deployed("moving");
    await send(instance.webhookUrls["Counter"]!, { count: all });
    const next = await publishFixture(planes, "stateful");
    await api(
      `mutation ($id: ID!, $version: ID!) { updateInstance(input: { id: $id, integration: $version }) { errors { messages } } }`,
      { id: instance.instanceId, version: next.versionId },
    );
    const again = await deployTo(planes, next, "moving");
    expect((await send(again.webhookUrls["Counter"]!)).instanceState).toEqual({ count: 1 });
  });

  test("is another one in tests of the draft", async () => {
    const { webhookUrls } = await deployed("beside-the-draft");
    await send(webhookUrls["Counter"]!, { count: all });
    const id = await importBuilt(planes.api, loadIntegration(await buildFixture("stateful")));
    const { integration } = await api(
      `query ($id: ID!) { integration(id: $id) { systemInstance { id } flows { nodes { id name testUrl } } } }`,
      { id },
    );
    const flow = integration.flows.nodes.find(({ name }: { name: string }) => name === "Counter");
    expect(await send(flow.testUrl, { count: all })).toEqual(none);
    const found = await send(flow.testUrl);
    expect(found).toMatchObject({ instanceState: { count: 1 }, integrationState: { count: 1 } });
    const states = await waitFor(async () => {
      const kept = await persistedStates(planes, integration.systemInstance.id);
      return kept.integrationState === null ? null : kept;
    });
    expect(states).toMatchObject({ crossFlowState: { count: 1 }, integrationState: { count: 1 } });
  });
});

describe("an admin", () => {
  const clear = (input: Record<string, string>) =>
    api(
      `mutation ($input: ClearPersistedStateInput!) { clearPersistedState(input: $input) { errors { field messages } } }`,
      { input },
    );

  test("reads what an instance keeps, and clears it", async () => {
    const { instanceId, webhookUrls } = await deployed("cleared");
    const { Counter, Sibling } = webhookUrls as Record<string, string>;
    await send(Counter!, { count: all, set: { instanceState: { cursor: "x" } } });
    await send(Sibling!, { count: ["instanceState"] });
    const states = await waitFor(async () => {
      const found = await persistedStates(planes, instanceId);
      return found.instanceState["Sibling"] === null ? null : found;
    });
    expect(states.instanceState).toEqual({ Counter: { count: 1, cursor: "x" }, Sibling: { count: 1 } });
    expect(states.crossFlowState).toEqual({ count: 1 });

    const cleared = await clear({ flowConfig: states.flowConfigIds["Counter"]! });
    expect(cleared.clearPersistedState.errors).toEqual([]);
    expect((await persistedStates(planes, instanceId)).instanceState).toEqual({
      Counter: null,
      Sibling: { count: 1 },
    });
    await waitFor(async () => Object.keys((await send(Counter!)).instanceState).length === 0);
    await clear({ instance: instanceId });
    expect(await persistedStates(planes, instanceId)).toMatchObject({
      crossFlowState: null,
      instanceState: { Counter: null, Sibling: null },
    });
    await waitFor(async () => Object.keys((await send(Sibling!)).crossFlowState).length === 0);
    // It counts anew.
    await send(Counter!, { count: ["instanceState"] });
    expect((await send(Counter!)).instanceState).toEqual({ count: 1 });
    const { auditLog } = await api(
      `query { auditLog(first: 5, action: "clearPersistedState") { nodes { action outcome } } }`,
    );
    expect(auditLog.nodes.map(({ outcome }: { outcome: string }) => outcome)).toEqual([
      "SUCCEEDED",
      "SUCCEEDED",
    ]);
  });

  test("names one thing to clear, which must be there", async () => {
    expect((await clear({})).clearPersistedState.errors[0].messages[0]).toMatch(/one of flowConfig/);
    const { clearPersistedState } = await clear({
      instance: "SW5zdGFuY2U6MDE5MDlhNWQtYWM5Ni03NzRiLWJjY2UtYjMwMjA5OWE4MDU3",
    });
    expect(clearPersistedState.errors[0].field).toBe("instance");
  });

  test("is the only one who sees it", async () => {
    const { instanceId, customerId } = await deployed("secretive");
    const token = await customerToken(customerId);
    const { errors } = await rawGraphql(
      planes.controlUrl,
      token,
      `query ($id: ID!) { instance(id: $id) { name crossFlowState } }`,
      { id: instanceId },
    );
    expect(errors?.[0]?.extensions?.["code"]).toBe("FORBIDDEN");
  });

  test("finds nothing left of an instance that was removed", async () => {
    const { instanceId, webhookUrls } = await deployed("removed");
    await send(webhookUrls["Counter"]!, { count: all });
    await waitFor(async () => (await persistedStates(planes, instanceId)).crossFlowState !== null);
    expect(keptHere(instanceId)).toBeGreaterThan(0);
    await api(`mutation ($id: ID!) { deleteInstance(input: { id: $id }) { errors { messages } } }`, {
      id: instanceId,
    });
    await waitFor(() => keptHere(instanceId) === 0);
    const again = await deployed("removed");
    expect(again.instanceId).not.toBe(instanceId);
    expect(await send(again.webhookUrls["Counter"]!)).toMatchObject({
      instanceState: {},
      crossFlowState: {},
    });
  });
});

describe("what is kept outlives", () => {
  test("a control plane that is away while the data plane dies: nothing is lost, and it is told later", async () => {
    const { instanceId, webhookUrls } = await deployed("away");
    const url = webhookUrls["Counter"]!;
    const count = () => send(url, { count: ["instanceState"] });
    await count();
    await planes.control.kill();
    for (let i = 0; i < 3; i++) await count();
    // Answered when the run ends; recorded right after. Before that it would run again.
    await waitFor(async () =>
      /^switchyard_data_journal_unfinished_entries 0$/m.test(
        await (await fetch(`${planes.data.url}/metrics`)).text(),
      ),
    );
    await planes.data.kill();
    await planes.data.start();
    expect((await count()).instanceState).toEqual({ count: 4 });
    await planes.control.start();
    await waitFor(
      async () => (await persistedStates(planes, instanceId)).instanceState["Counter"]?.["count"] === 5,
      20_000,
    );
    expect((await count()).instanceState).toEqual({ count: 5 });
  }, 60_000);

  test("the data plane: another one goes on with it", async () => {
    const { instanceId, webhookUrls } = await deployed("two-planes");
    const second = await bootDataPlane(planes, { name: "second" });
    try {
      const urls = [planes.data.url, second.url].map((base) =>
        webhookUrls["Counter"]!.replace(planes.data.url, base),
      );
      for (let i = 0; i < 6; i++) {
        // Each waits until it has heard of the other's: within about a second.
        await waitFor(async () => (await send(urls[i % 2]!)).instanceState.count === (i || undefined));
        await send(urls[i % 2]!, { count: ["instanceState"] });
      }
      await waitFor(
        async () => (await persistedStates(planes, instanceId)).instanceState["Counter"]?.["count"] === 6,
      );
    } finally {
      await second.stop();
    }
  }, 60_000);
});

/** How many states of an instance the data plane has a copy of. */
function keptHere(instanceId: string): number {
  const database = openSqliteReader(join(planes.dataDir, "data-plane", "states.db"), 1);
  try {
    const owner = parseNodeId(instanceId)!.id;
    return database
      .prepare<[string], number>("SELECT count(*) FROM states WHERE key LIKE ? || '/%'")
      .pluck()
      .get(owner)!;
  } finally {
    database.close();
  }
}

async function customerToken(customer: string): Promise<string> {
  const { createCustomerUser } = await api(
    `mutation ($customer: ID!, $role: ID!) {
      createCustomerUser(input: { email: "states@example.com", role: $role, customer: $customer }) { user { id } }
    }`,
    { customer, role: (await api("query { customerRoles { id name } }")).customerRoles[0].id },
  );
  const { createUserToken } = await api(
    `mutation ($user: ID!) { createUserToken(input: { user: $user, name: "states" }) { token } }`,
    { user: createCustomerUser.user.id },
  );
  return createUserToken.token;
}
