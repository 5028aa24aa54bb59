import { brotliCompressSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { endedExecution, executionRecord, messagesOf } from "../support/executionRecord.ts";
import { graphql } from "../support/graphql.ts";
import { bootPlanes, type TestPlanes } from "../support/planes.ts";
import { publishAndDeploy } from "../support/publishAndDeploy.ts";
import { sendWebhook } from "../support/sendWebhook.ts";
import { waitFor } from "../support/waitFor.ts";

/** Every row of the table of answers that can be had without breaking something. */
let planes: TestPlanes;
let kinds: Record<string, string>;
let shared: string;

beforeAll(async () => {
  planes = await bootPlanes({
    environment: { SWITCHYARD_TRIGGER_RESPONSE_TIMEOUT_MS: "700", SWITCHYARD_SYNCHRONOUS_TIMEOUT_MS: "1500" },
  });
  kinds = (await publishAndDeploy(planes, "flow-kinds", ["ans-a"])).instances["ans-a"]!.webhookUrls;
  shared = Object.values(
    (await publishAndDeploy(planes, "shared-preprocess", ["ans-a"])).instances["ans-a"]!.webhookUrls,
  )[0]!;
});
afterAll(() => planes?.stop());

const api = (document: string, variables: Record<string, unknown> = {}) =>
  graphql(planes.controlUrl, planes.adminToken, document, variables);
interface Rejection {
  id: string;
  requestId: string;
}
const keptRejection = (code: string, requestId: string): Promise<Rejection> =>
  waitFor(async () => {
    const { rejections } = await api(
      `query ($code: String!) { rejections(code: $code) { nodes { id code status reason requestId isReplayable method count instance { id } } } }`,
      { code },
    );
    return rejections.nodes.find((each: Rejection) => each.requestId === requestId) as Rejection | undefined;
  });

describe("accepted", () => {
  test("200 with the execution's id in the body and the header; the record tells the whole story", async () => {
    const answer = await sendWebhook(kinds["Echo"]!, { body: { n: 1 } });
    expect(answer.status).toBe(200);
    expect(answer.json).toEqual({ executionId: answer.headers.get("prismatic-executionid") });
    expect(Buffer.from(answer.executionId!, "base64").toString()).toMatch(
      /^InstanceExecutionResult:[0-9a-f-]{36}$/,
    );
    const record = await endedExecution(planes, answer.executionId!);
    expect(record).toMatchObject({
      status: "SUCCEEDED",
      error: null,
      attempt: 1,
      invokeType: "WEBHOOK",
      answerStatus: 200,
      flowName: "Echo",
    });
    expect(record.stepResults).toMatchObject({
      totalCount: 2,
      nodes: [{ stepName: "On Trigger" }, { stepName: "On Execution" }],
    });
    expect(messagesOf(record)).toContain("Echo ran for ans-a");
  });

  test("any of the five methods", async () => {
    for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE"])
      expect((await sendWebhook(kinds["Echo"]!, { method })).status).toBe(200);
  });

  test("what fails later is the execution's outcome, not the answer's", async () => {
    const answer = await sendWebhook(kinds["Failing"]!, { body: { message: "no stock left" } });
    expect(answer.status).toBe(200);
    expect(await endedExecution(planes, answer.executionId!)).toMatchObject({
      status: "FAILED",
      error: expect.stringContaining("no stock left"),
    });
  });
});

describe("a trigger with code of its own", () => {
  test("answers itself", async () => {
    const answer = await sendWebhook(`${kinds["Answering"]}?challenge=abc`, { body: {} });
    expect(answer).toMatchObject({ status: 202, text: "challenge:abc" });
    expect(answer.headers.get("x-challenge")).toBe("accepted");
    expect(answer.headers.get("content-type")).toBe("text/plain");
    expect((await endedExecution(planes, answer.executionId!)).status).toBe("SUCCEEDED");
  });

  test("that takes too long is answered 200 in its place", async () => {
    const answer = await sendWebhook(kinds["Answering"]!, { body: { waitMs: 1200 } });
    expect(answer).toMatchObject({ status: 200, json: { executionId: expect.any(String) } });
    expect((await endedExecution(planes, answer.executionId!)).status).toBe("SUCCEEDED");
  });

  test("that throws is 500 with the execution's id", async () => {
    const answer = await sendWebhook(kinds["Answering"]!, { body: { message: "signature is wrong" } });
    expect(answer).toMatchObject({
      status: 500,
      json: { error: { code: "TRIGGER_FAILED" }, executionId: expect.any(String) },
    });
    expect(answer.text).not.toContain("signature");
    expect(await endedExecution(planes, answer.executionId!)).toMatchObject({
      status: "FAILED",
      error: expect.stringContaining("signature is wrong"),
    });
  });
});

describe("synchronous", () => {
  test("the flow's result with its status, headers and content type", async () => {
    const answer = await sendWebhook(kinds["Synchronous"]!, { body: { status: 203 } });
    expect(answer).toMatchObject({ status: 203, json: { said: { status: 203 } } });
    expect(answer.headers.get("x-from-flow")).toBe("yes");
    expect(answer.executionId).toBeDefined();
  });

  test("by the header, either way", async () => {
    expect(
      (await sendWebhook(kinds["Synchronous"]!, { body: {}, headers: { "prismatic-synchronous": "false" } }))
        .json,
    ).toHaveProperty("executionId");
    expect(
      (
        await sendWebhook(kinds["Slow"]!, {
          body: { waitMs: 20 },
          headers: { "prismatic-synchronous": "true" },
        })
      ).json,
    ).toEqual({ waitMs: 20 });
  });

  test("that takes too long is 504 with the id, and the run goes on", async () => {
    const answer = await sendWebhook(kinds["Slow"]!, {
      body: { waitMs: 2500 },
      headers: { "prismatic-synchronous": "true" },
    });
    expect(answer).toMatchObject({
      status: 504,
      json: { error: { code: "SYNCHRONOUS_TIMEOUT" }, executionId: expect.any(String) },
    });
    expect((await endedExecution(planes, answer.executionId!)).status).toBe("SUCCEEDED");
  });

  test("that fails is 500 with the id", async () => {
    const answer = await sendWebhook(kinds["Failing"]!, {
      body: {},
      headers: { "prismatic-synchronous": "true" },
    });
    expect(answer).toMatchObject({
      status: 500,
      json: { error: { code: "FLOW_FAILED" }, executionId: expect.any(String) },
    });
  });
});

describe("with a preprocess flow", () => {
  test("routing that takes too long is 200, and what follows is on the execution", async () => {
    const answer = await sendWebhook(shared, {
      body: { tenant: "tenant:nobody", topic: "contact.added", waitMs: 1200 },
    });
    expect(answer.status).toBe(200);
    expect(await endedExecution(planes, answer.executionId!)).toMatchObject({
      status: "FAILED",
      errorCode: "CUSTOMER_NOT_FOUND",
    });
  });
});

describe("bodies", () => {
  const exact = async (body: Uint8Array, headers: Record<string, string>) => {
    const answer = await sendWebhook(kinds["Echo"]!, {
      body,
      headers: { "prismatic-synchronous": "true", ...headers },
    });
    expect(answer.status).toBe(200);
    return answer.json;
  };
  const samples: [type: string, body: Buffer, data: unknown][] = [
    ["application/json", Buffer.from('{ "a" : 1.0,\n "é":"\\u00e9" }'), { a: 1, é: "é" }],
    ["application/xml", Buffer.from("<a>\r\n <b>1</b></a>"), { a: { b: "1" } }],
    ["application/x-www-form-urlencoded", Buffer.from("a=1&b=+x"), { a: "1", b: " x" }],
    ["text/plain", Buffer.from("plain é"), "plain é"],
    [
      "multipart/form-data; boundary=zz",
      Buffer.from('--zz\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--zz--\r\n'),
      { a: "1" },
    ],
  ];

  test.each(samples)("%s is parsed, and rawBody is exact to the byte", async (type, body, data) => {
    const given = await exact(body, { "Content-Type": type });
    expect(given).toMatchObject({ body: data, rawBodyBase64: body.toString("base64") });
  });

  test("binary bytes arrive as they are", async () => {
    const body = Buffer.from(Array.from({ length: 300 }, (_, index) => index % 256));
    expect((await exact(body, { "Content-Type": "application/octet-stream" })).rawBodyBase64).toBe(
      body.toString("base64"),
    );
  });

  test.each([
    ["gzip", gzipSync],
    ["br", brotliCompressSync],
  ])("%s is undone first", async (encoding, compress) => {
    const body = Buffer.from(JSON.stringify({ text: "x".repeat(5000) }));
    const given = await exact(compress(body), {
      "Content-Type": "application/json",
      "Content-Encoding": encoding,
    });
    expect(given.rawBodyBase64).toBe(body.toString("base64"));
  });

  test("a body of 1 MB, beside the journal's rows, arrives whole", async () => {
    const body = Buffer.from(JSON.stringify({ text: "y".repeat(1024 * 1024) }));
    const answer = await sendWebhook(kinds["Echo"]!, {
      body,
      headers: { "Content-Type": "application/json" },
    });
    const record = await endedExecution(planes, answer.executionId!);
    expect(record.status).toBe("SUCCEEDED");
    const { executionResult } = await api(
      `query ($id: ID!) { executionResult(id: $id) { requestPayloadUrl } }`,
      { id: answer.executionId },
    );
    const payload = (await (await fetch(executionResult.requestPayloadUrl)).json()) as { body: string };
    expect(Buffer.from(payload.body, "base64").equals(body)).toBe(true);
  });
});

describe("refusals", () => {
  const refusal = (status: number, code: string) => ({
    status,
    json: { error: { code, message: expect.any(String), requestId: expect.any(String) } },
  });

  test("400: a body that is not what its type says", async () => {
    expect(
      await sendWebhook(kinds["Echo"]!, { body: "{", headers: { "Content-Type": "application/json" } }),
    ).toMatchObject(refusal(400, "BODY_INVALID"));
    expect(
      await sendWebhook(kinds["Echo"]!, { body: "not gzip", headers: { "Content-Encoding": "gzip" } }),
    ).toMatchObject(refusal(400, "BODY_INVALID"));
  });

  test("404: unknown tokens, other paths", async () => {
    expect(await sendWebhook(`${planes.ingressUrl}/trigger/nothing-here`, { body: {} })).toMatchObject(
      refusal(404, "ENDPOINT_NOT_FOUND"),
    );
    expect(await sendWebhook(`${planes.ingressUrl}/elsewhere`, { body: {} })).toMatchObject(
      refusal(404, "ENDPOINT_NOT_FOUND"),
    );
    expect(await sendWebhook(`${planes.ingressUrl}/trigger/`, { body: {} })).toMatchObject(
      refusal(404, "ENDPOINT_NOT_FOUND"),
    );
  });

  test("404 once the instance is removed", async () => {
    const { instances } = await publishAndDeploy(planes, "flow-kinds", ["ans-gone"]);
    const gone = instances["ans-gone"]!;
    expect((await sendWebhook(gone.webhookUrls["Echo"]!, { body: {} })).status).toBe(200);
    await api(`mutation ($id: ID!) { deleteInstance(input: { id: $id }) { errors { messages } } }`, {
      id: gone.instanceId,
    });
    expect(await sendWebhook(gone.webhookUrls["Echo"]!, { body: {} })).toMatchObject(
      refusal(404, "ENDPOINT_NOT_FOUND"),
    );
  });

  test("405: other methods, with those that are allowed", async () => {
    const answer = await sendWebhook(kinds["Echo"]!, { method: "OPTIONS" });
    expect(answer).toMatchObject(refusal(405, "METHOD_NOT_ALLOWED"));
    expect(answer.headers.get("allow")).toBe("GET, POST, PUT, PATCH, DELETE");
  });

  test("413: too large as sent, and too large when decoded", async () => {
    const big = Buffer.alloc(7 * 1024 * 1024, 0x20);
    expect(
      await sendWebhook(kinds["Echo"]!, { body: big, headers: { "Content-Type": "text/plain" } }),
    ).toMatchObject(refusal(413, "BODY_TOO_LARGE"));
    expect(
      await sendWebhook(kinds["Echo"]!, {
        body: gzipSync(big),
        headers: { "Content-Type": "text/plain", "Content-Encoding": "gzip" },
      }),
    ).toMatchObject(refusal(413, "BODY_TOO_LARGE"));
  });

  test("415: an encoding that is not known", async () => {
    expect(
      await sendWebhook(kinds["Echo"]!, { body: "x", headers: { "Content-Encoding": "rot13" } }),
    ).toMatchObject(refusal(415, "CONTENT_TYPE_NOT_ACCEPTED"));
  });

  test("409: paused; kept whole, and replayed once it is on again", async () => {
    const { instances } = await publishAndDeploy(planes, "flow-kinds", ["ans-pause"]);
    const { instanceId, webhookUrls } = instances["ans-pause"]!;
    const enable = (enabled: boolean) =>
      api(
        `mutation ($id: ID!, $enabled: Boolean) { updateInstance(input: { id: $id, enabled: $enabled }) { errors { messages } } }`,
        { id: instanceId, enabled },
      );
    await enable(false);
    const paused = await sendWebhook(webhookUrls["Echo"]!, { body: { order: 7 } });
    expect(paused).toMatchObject(refusal(409, "INSTANCE_PAUSED"));
    await enable(true);
    const kept = await keptRejection("INSTANCE_PAUSED", paused.json.error.requestId);
    expect(kept).toMatchObject({ isReplayable: true, status: 409, instance: { id: instanceId } });
    const { replayRejection } = await api(
      `mutation ($id: ID!) { replayRejection(input: { id: $id }) { execution { id } errors { messages } } }`,
      { id: kept.id },
    );
    expect(replayRejection.errors).toEqual([]);
    expect(await endedExecution(planes, replayRejection.execution.id)).toMatchObject({
      status: "SUCCEEDED",
      invokeType: "REPLAY",
      flowName: "Echo",
    });
  });

  test("rejections say why, with the request id that the sender got", async () => {
    const answer = await sendWebhook(kinds["Echo"]!, {
      body: "{",
      headers: { "Content-Type": "application/json", "X-Request-Id": "my-own-request-id" },
    });
    expect(answer.json.error.requestId).toBe("my-own-request-id");
    const kept = await keptRejection("BODY_INVALID", "my-own-request-id");
    expect(kept).toMatchObject({
      isReplayable: false,
      method: "POST",
      reason: expect.stringMatching(/JSON/),
    });
  });
});

describe("replay", () => {
  test("of an execution goes the whole way again and is linked to it", async () => {
    const first = await sendWebhook(kinds["Echo"]!, { body: { n: 42 } });
    await endedExecution(planes, first.executionId!);
    const { replayExecution } = await api(
      `mutation ($id: ID!) { replayExecution(input: { id: $id }) { execution { id } errors { messages } } }`,
      { id: first.executionId },
    );
    expect(replayExecution.errors).toEqual([]);
    const record = await endedExecution(planes, replayExecution.execution.id);
    expect(record).toMatchObject({
      status: "SUCCEEDED",
      invokeType: "REPLAY",
      replayForExecution: { id: first.executionId },
    });
  });
});

test("what is accepted finishes on the version and instance it was accepted with", async () => {
  const { instances } = await publishAndDeploy(planes, "flow-kinds", ["ans-pin"]);
  const { instanceId, webhookUrls } = instances["ans-pin"]!;
  const answer = await sendWebhook(webhookUrls["Slow"]!, { body: { waitMs: 800 } });
  await api(`mutation ($id: ID!) { deleteInstance(input: { id: $id }) { errors { messages } } }`, {
    id: instanceId,
  });
  expect((await executionRecord(planes, answer.executionId!))?.endedAt ?? null).toBeNull();
  expect((await endedExecution(planes, answer.executionId!)).status).toBe("SUCCEEDED");
});

test("flow code is given what spectral's types name", async () => {
  const answer = await sendWebhook(kinds["Context"]!, {
    body: {},
    headers: {
      "prismatic-synchronous": "true",
      "prismatic-debug": "true",
      "X-Custom": "kept",
      Authorization: "Bearer secret-of-the-sender",
    },
  });
  expect(answer.json).toMatchObject({
    customer: { externalId: "ans-a", name: expect.any(String), id: expect.any(String) },
    integration: { name: "Fixture Flow Kinds" },
    flow: { name: "Context", stableId: expect.any(String) },
    executionId: answer.executionId,
    invokeUrl: kinds["Context"],
    isDebug: true,
    webhookUrls: { Echo: kinds["Echo"] },
    configVars: { Greeting: "hello" },
    headers: { "x-custom": "kept", authorization: "Bearer secret-of-the-sender" },
  });
  const record = await endedExecution(planes, answer.executionId!);
  expect(messagesOf(record)).toEqual(
    expect.arrayContaining(["console output is part of the log", "a warning"]),
  );
  const trigger = record.stepResults.nodes[0]!;
  const shown = Buffer.from(await (await fetch(trigger.resultsUrl)).arrayBuffer()).toString("latin1");
  expect(shown).toContain("x-custom");
  expect(shown).not.toContain("secret-of-the-sender");
});
