/** The log events of webhooks and runs, as real planes write them, and what is in no log at all. */
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { type AnsweredWebhook, isEventLogged, tellAnsweredWebhooks } from "../data-plane/answeredWebhooks.ts";
import type { ReplicaReader } from "../data-plane/replica/reader.ts";
import type { DeployedInstance } from "../shared/scripts/deployInstance.ts";
import { endedExecution } from "./support/executionRecord.ts";
import { graphql } from "./support/graphql.ts";
import { bootPlanes, type TestPlanes } from "./support/planes.ts";
import { publishAndDeploy } from "./support/publishAndDeploy.ts";
import { sendWebhook } from "./support/sendWebhook.ts";
import { waitFor } from "./support/waitFor.ts";

let planes: TestPlanes;
let kinds: DeployedInstance;
/** Where the log begins of the data plane as it runs now. */
let logStart = 0;

beforeAll(async () => {
  planes = await bootPlanes({
    environment: { SWITCHYARD_LOG_LEVEL: "trace" },
    controlEnvironment: { SWITCHYARD_LOG_EVENTS: "all" },
  });
  kinds = (await publishAndDeploy(planes, "flow-kinds", ["log-a"])).instances["log-a"]!;
});
afterAll(() => planes?.stop());

async function restartWith(environment: Record<string, string | undefined>): Promise<void> {
  await planes.data.stop();
  logStart = planes.data.log().length;
  await planes.data.start(environment);
}

type Event = Record<string, unknown>;

const eventsOf = (kind: "webhook" | "run"): Event[] =>
  planes.data
    .log()
    .slice(logStart)
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Event)
    .filter(({ msg }) => msg === kind);

const eventsOnce = (kind: "webhook" | "run", count: number): Promise<Event[]> =>
  waitFor(() => {
    const found = eventsOf(kind);
    return found.length >= count ? found : null;
  });

const uuidOf = (nodeId: string): string => Buffer.from(nodeId, "base64").toString().split(":")[1]!;

test("failed (unless set otherwise): refusals and failed runs only", async () => {
  const { webhookUrls } = kinds;
  const accepted = await sendWebhook(webhookUrls["Echo"]!, { body: {} });
  await endedExecution(planes, accepted.executionId!);
  const failed = await sendWebhook(webhookUrls["Failing"]!, { body: { message: "secret-of-the-flow" } });
  await sendWebhook(webhookUrls["Answering"]!, { body: { message: "no" } });
  await sendWebhook(webhookUrls["Echo"]!, { method: "OPTIONS" });
  const webhooks = await eventsOnce("webhook", 2);
  expect(webhooks).toMatchObject([
    { status: 500, errorCode: "TRIGGER_FAILED", flow: "Answering", level: 50 },
    { status: 405, errorCode: "METHOD_NOT_ALLOWED", flow: "Echo", method: "OPTIONS", level: 30 },
  ]);
  const runs = await eventsOnce("run", 2);
  expect(runs).toMatchObject([
    { executionId: failed.executionId, errorCode: "FLOW_FAILED" },
    { flow: "Answering", errorCode: "TRIGGER_FAILED" },
  ]);
  expect(planes.data.log()).not.toContain("secret-of-the-flow");
}, 60_000);

describe("all", () => {
  test("tells each webhook and each run in one line, with their facts", async () => {
    const { webhookUrls, instanceId, customerId } = kinds;
    await restartWith({ SWITCHYARD_LOG_EVENTS: "all" });
    const shared = await publishAndDeploy(planes, "shared-preprocess", ["log-a"]);
    const preprocessed = Object.values(shared.instances["log-a"]!.webhookUrls)[0]!;
    const body = { some: "body" };
    const headers = { "x-request-id": "known-by-its-sender" };
    const accepted = await sendWebhook(webhookUrls["Echo"]!, { body, headers });
    await endedExecution(planes, accepted.executionId!);
    const failed = await sendWebhook(webhookUrls["Failing"]!, { body: {} });
    await endedExecution(planes, failed.executionId!);
    const waited = await sendWebhook(webhookUrls["Synchronous"]!, { body: { status: 418 } });
    const refused = await sendWebhook(`${planes.ingressUrl}/trigger/nowhere`, { body: {} });
    const unrouted = await sendWebhook(preprocessed, { body: { customer: "nobody" } });
    expect([accepted, failed, waited, refused, unrouted].map(({ status }) => status)).toEqual([
      200, 200, 418, 404, 422,
    ]);
    const webhooks = await eventsOnce("webhook", 5);
    expect(webhooks.length).toBe(5);
    const common = { plane: "data", method: "POST", endpointKind: "flow", instanceId, customerId };
    expect(webhooks[0]).toEqual({
      level: 30,
      time: expect.any(Number),
      msg: "webhook",
      ...common,
      requestId: "known-by-its-sender",
      executionId: accepted.executionId,
      integrationId: expect.any(String),
      flow: "Echo",
      status: 200,
      errorCode: null,
      bodyBytes: JSON.stringify(body).length,
      durationMs: expect.any(Number),
    });
    expect(webhooks[1]).toMatchObject({ ...common, flow: "Failing", status: 200, errorCode: null });
    expect(webhooks[2]).toMatchObject({
      ...common,
      executionId: waited.executionId,
      flow: "Synchronous",
      status: 418,
      errorCode: null,
    });
    expect(webhooks[3]).toMatchObject({
      executionId: null,
      endpointKind: null,
      status: 404,
      errorCode: "ENDPOINT_NOT_FOUND",
      requestId: refused.json.error.requestId,
    });
    expect(webhooks[4]).toMatchObject({
      endpointKind: "shared",
      instanceId: null,
      status: 422,
      requestId: unrouted.json.error.requestId,
    });

    const runs = await eventsOnce("run", 4);
    expect(runs.length).toBe(4);
    expect(runs[0]).toEqual({
      level: 30,
      time: expect.any(Number),
      msg: "run",
      plane: "data",
      requestId: "known-by-its-sender",
      executionId: accepted.executionId,
      attempt: 1,
      invokeType: "WEBHOOK",
      part: "FLOW",
      preprocessFlow: null,
      flow: "Echo",
      integrationId: expect.any(String),
      versionNumber: 1,
      instanceId,
      customerId,
      outcome: "SUCCEEDED",
      errorCode: null,
      answerStatus: 200,
      waitedMs: expect.any(Number),
      ranMs: expect.any(Number),
      thread: expect.any(Number),
      // Begin and end of the execution, its own log line, and two steps.
      records: 5,
    });
    expect(runs[1]).toMatchObject({
      level: 40,
      outcome: "FAILED",
      errorCode: "FLOW_FAILED",
      flow: "Failing",
    });
    expect(runs[2]).toMatchObject({ executionId: waited.executionId, answerStatus: 418 });
    expect(runs[3]).toMatchObject({
      part: "PREPROCESS",
      preprocessFlow: expect.any(String),
      outcome: "FAILED",
      requestId: unrouted.json.error.requestId,
    });

    // The same request id, by the API of the other plane.
    const { executionResult } = await graphql(
      planes.controlUrl,
      planes.adminToken,
      `query ($id: ID!) { executionResult(id: $id) { requestPayload } }`,
      { id: accepted.executionId },
    );
    expect(executionResult.requestPayload.requestId).toBe("known-by-its-sender");
    const rejected = await waitFor(async () => {
      const { rejections } = await graphql(
        planes.controlUrl,
        planes.adminToken,
        `query ($requestId: String) { rejections(requestId: $requestId) { nodes { code } } }`,
        { requestId: refused.json.error.requestId },
      );
      return rejections.nodes.length > 0 ? rejections.nodes : null;
    });
    expect(rejected).toEqual([{ code: "ENDPOINT_NOT_FOUND" }]);
  }, 60_000);

  test("with a sample: one in so many of what went well, webhook and run alike; failures always", async () => {
    const { webhookUrls } = kinds;
    await restartWith({ SWITCHYARD_LOG_SAMPLE: "4" });
    const ids: string[] = [];
    for (let sent = 0; sent < 40; sent++)
      ids.push((await sendWebhook(webhookUrls["Echo"]!, { body: { sent } })).executionId!);
    for (let sent = 0; sent < 3; sent++)
      await sendWebhook(`${planes.ingressUrl}/trigger/nowhere`, { body: {} });
    await endedExecution(planes, ids.at(-1)!);
    const sampled = ids.filter((id) => Number.parseInt(uuidOf(id).slice(-8), 16) % 4 === 0);
    await eventsOnce("webhook", sampled.length + 3);
    const webhooks = eventsOf("webhook");
    expect(webhooks.filter(({ status }) => status === 404).length).toBe(3);
    expect(webhooks.flatMap(({ status, executionId }) => (status === 200 ? [executionId] : []))).toEqual(
      sampled,
    );
    const runs = await eventsOnce("run", sampled.length);
    expect(runs.map(({ executionId }) => executionId).sort()).toEqual([...sampled].sort());
  }, 60_000);
});

describe("a flood of refusals", () => {
  test("is not a flood of lines: what is left out is counted, and the next event says so", () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const told: AnsweredWebhook[] = [];
    const answered = tellAnsweredWebhooks({
      config: { logEvents: "failed", logSample: 1, traceEndpoint: undefined },
      replica: {} as ReplicaReader,
      send: (webhooks) => void told.push(...webhooks),
    });
    expect(answered.onAccepted).toBe(null);
    const refuse = () =>
      answered.onAnswered!(
        {
          method: "POST",
          token: "",
          headers: [],
          requestId: "r",
          receivedAtMs: Date.now(),
          known: null,
          bytes: 3,
        },
        404,
        "ENDPOINT_NOT_FOUND",
      );
    for (let sent = 0; sent < 800; sent++) refuse();
    answered.flush();
    expect(told.length).toBe(500);
    expect(answered.leftOut()).toBe(300);
    vi.advanceTimersByTime(1_000);
    refuse();
    refuse();
    answered.flush();
    expect(told.slice(499).map(({ leftOut }) => leftOut)).toEqual([0, 300, 0]);
  });
});

test("what the data plane asks of the control plane and is refused has one id in both logs", async () => {
  await restartWith({ SWITCHYARD_DATA_PLANE_TOKEN: "not-the-token-of-a-data-plane" });
  expect((await sendWebhook(kinds.webhookUrls["Echo"]!, { body: {} })).status).toBe(200);
  const requestId = await waitFor(() => {
    const line = planes.data
      .log()
      .split("\n")
      .find((each) => each.includes("reports wait"));
    return line === undefined ? null : /\(request ([0-9a-f-]{36})\)/.exec(line)![1]!;
  });
  const refused = await waitFor(() =>
    planes.control
      .log()
      .split("\n")
      .find((line) => line.includes(`"requestId":"${requestId}"`)),
  );
  expect(JSON.parse(refused)).toMatchObject({ msg: "api request", status: 401, outcome: "refused" });
}, 60_000);

test("none", async () => {
  const { webhookUrls } = kinds;
  await restartWith({ SWITCHYARD_LOG_EVENTS: "none", SWITCHYARD_DATA_PLANE_TOKEN: undefined });
  const failed = await sendWebhook(webhookUrls["Failing"]!, { body: {} });
  await sendWebhook(`${planes.ingressUrl}/trigger/nowhere`, { body: {} });
  await endedExecution(planes, failed.executionId!);
  await planes.data.stop();
  expect([...eventsOf("webhook"), ...eventsOf("run")]).toEqual([]);
}, 60_000);

test("what is logged: by the setting, the outcome and the execution's id", () => {
  const id = (last: number) => `00000000-0000-7000-8000-0000${last.toString(16).padStart(8, "0")}`;
  const logged = (logEvents: string, isFailed: boolean, executionId: string | null, logSample = 10) =>
    isEventLogged({ logEvents, logSample }, isFailed, executionId);
  expect(logged("none", true, null)).toBe(false);
  expect(logged("failed", true, id(7))).toBe(true);
  expect(logged("failed", false, id(10))).toBe(false);
  expect(logged("all", true, id(7))).toBe(true);
  expect(logged("all", false, id(7))).toBe(false);
  expect(logged("all", false, id(20))).toBe(true);
  expect(logged("all", false, id(7), 1)).toBe(true);
});

test("no log of either plane has a secret in it, with everything logged", async () => {
  const { webhookUrls, instanceId } = kinds;
  await restartWith({ SWITCHYARD_LOG_EVENTS: "all", SWITCHYARD_LOG_SAMPLE: undefined });
  const byHeader = (await publishAndDeploy(planes, "instance-header", ["log-b"])).instances["log-b"]!;
  const { instance } = await graphql(
    planes.controlUrl,
    planes.adminToken,
    `query ($id: ID!) { instance(id: $id) { flowConfigs { nodes { id flow { name } } } } }`,
    { id: instanceId },
  );
  const echo = instance.flowConfigs.nodes.find(
    ({ flow }: { flow: { name: string } }) => flow.name === "Echo",
  ).id;
  const key = "SECRET-the-api-key-itself";
  const { createApiKey } = await graphql(
    planes.controlUrl,
    planes.adminToken,
    `mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { pendingDataPlanes errors { messages } } }`,
    { input: { flowConfig: echo, name: "test", key } },
  );
  expect(createApiKey).toEqual({ pendingDataPlanes: [], errors: [] });
  const headers = {
    authorization: "Bearer SECRET-authorization",
    cookie: "session=SECRET-cookie",
    "x-signature": "SECRET-signature",
    "x-forwarded-for": "203.0.113.9",
  };
  const send = (url: string, apiKey: string, more: Record<string, string> = {}) =>
    sendWebhook(`${url}/SECRET-path?token=SECRET-query`, {
      body: { password: "SECRET-body" },
      headers: { ...headers, "api-key": apiKey, ...more },
    });
  const accepted = await send(webhookUrls["Echo"]!, key);
  expect(accepted.status).toBe(200);
  await endedExecution(planes, accepted.executionId!);
  const failed = await sendWebhook(webhookUrls["Failing"]!, { body: { message: "SECRET-error" }, headers });
  await endedExecution(planes, failed.executionId!);
  expect((await send(webhookUrls["Echo"]!, "SECRET-wrong-key-number-one")).status).toBe(401);
  expect((await send(Object.values(byHeader.webhookUrls)[0]!, key, { "x-flow": "SECRET-flow" })).status).toBe(
    422,
  );
  expect((await send(`${planes.ingressUrl}/trigger/SECRET-token`, key)).status).toBe(404);
  expect((await send(`${planes.ingressUrl}/SECRET-elsewhere`, key)).status).toBe(404);
  expect(
    (
      await sendWebhook(webhookUrls["Context"]!, {
        body: "SECRET{",
        headers: { "content-type": "application/json" },
      })
    ).status,
  ).toBe(400);
  await eventsOnce("webhook", 7);
  await eventsOnce("run", 2);
  await planes.data.stop();
  await planes.control.stop();
  const logs = [planes.data.log(), planes.control.log()];
  expect(logs[0]).toContain('"msg":"webhook"');
  expect(logs[1]).toContain('"msg":"api request"');
  const urls = [...Object.values(webhookUrls), ...Object.values(byHeader.webhookUrls)];
  const tokens = urls.map((url) => url.slice(url.lastIndexOf("/") + 1));
  for (const log of logs)
    for (const secret of ["SECRET", planes.adminToken, ...tokens]) expect(log).not.toContain(secret);
}, 90_000);
