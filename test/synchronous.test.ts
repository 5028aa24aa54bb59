import { existsSync, readdirSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { endedExecution, messagesOf } from "./support/executionRecord.ts";
import { bootPlanes, type TestPlanes } from "./support/planes.ts";
import { publishAndDeploy } from "./support/publishAndDeploy.ts";
import { sendWebhook } from "./support/sendWebhook.ts";

let planes: TestPlanes;
let url: string;

const megabyte = 1024 * 1024;

beforeAll(async () => {
  planes = await bootPlanes({
    dataEnvironment: {
      SWITCHYARD_STORED_RESULT_BYTES_MAX: String(16 * megabyte),
      SWITCHYARD_STORED_RESULTS_BYTES_MAX: String(100 * megabyte),
    },
  });
  const { instances } = await publishAndDeploy(planes, "synchronous", ["acme"]);
  url = instances["acme"]!.webhookUrls["Results"]!;
});
afterAll(() => planes?.stop());

const send = (body: object, headers: Record<string, string> = {}) => sendWebhook(url, { body, headers });
const follow = (body: object, headers: Record<string, string> = {}) =>
  fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
const textOf = (characters: number): string =>
  Array.from({ length: Math.ceil(characters / 8) }, (_, index) => String(index).padStart(8, "0"))
    .join("")
    .slice(0, characters);
const preferDirect = { "prismatic-prefer-direct-sync-response": "true" };

describe("a synchronous flow's sender", () => {
  test("is answered with the result when the run ends, and without it where it says so", async () => {
    const answer = await send({
      contentType: "text/csv",
      characters: 24,
      statusCode: 201,
      headers: { "x-mine": "1" },
    });
    expect([answer.status, answer.text]).toEqual([201, textOf(24)]);
    expect(answer.headers.get("content-type")).toBe("text/csv");
    expect(answer.headers.get("x-mine")).toBe("1");
    const atOnce = await send({ waitMs: 60_000 }, { "prismatic-synchronous": "false" });
    expect([atOnce.status, atOnce.json]).toEqual([200, { executionId: atOnce.executionId }]);
  });

  test("is told of a failed run, and nothing of why", async () => {
    const answer = await send({ message: "the password is hunter2" });
    expect(answer.status).toBe(500);
    expect(answer.json).toMatchObject({ error: { code: "FLOW_FAILED" }, executionId: answer.executionId });
    expect(answer.text).not.toContain("hunter2");
    expect(await endedExecution(planes, answer.executionId!)).toMatchObject({
      status: "FAILED",
      answerStatus: 500,
    });
  });

  test("is answered at once where the run ends early", async () => {
    const answer = await send({ endsEarly: true, waitMs: 60_000 });
    expect(answer.status).toBe(200);
    expect(await endedExecution(planes, answer.executionId!)).toMatchObject({
      status: "SUCCEEDED",
      stepResults: { totalCount: 1 },
    });
  });
});

describe("a result that is too large for an answer", () => {
  test("is fetched by the redirect, whole, with its type, status and headers", async () => {
    const characters = 9 * megabyte;
    const first = await send({ characters, contentType: "text/plain" });
    expect(first.status).toBe(303);
    const address = first.headers.get("location")!;
    expect(address.startsWith(`${planes.data.url}/results/`)).toBe(true);
    expect(first.json).toEqual({ executionId: first.executionId });
    // As often as one likes, while it is there.
    for (let time = 0; time < 2; time++) {
      const answer = await fetch(address);
      expect(answer.status).toBe(200);
      expect(answer.headers.get("content-type")).toBe("text/plain");
      expect(answer.headers.get("cache-control")).toBe("private, no-store");
      expect((await answer.text()) === textOf(characters)).toBe(true);
    }
    // A client that follows by itself notices nothing.
    const followed = await follow({ characters, statusCode: 201, headers: { "x-mine": "1" } });
    expect([followed.status, followed.redirected, followed.headers.get("x-mine")]).toEqual([201, true, "1"]);
    expect(((await followed.json()) as string) === textOf(characters)).toBe(true);
    const record = await endedExecution(planes, first.executionId!);
    expect(record).toMatchObject({ status: "SUCCEEDED", answerStatus: 303 });
    expect(messagesOf(record).some((message) => /bytes were stored/.test(message))).toBe(true);
  });

  test("may be bytes", async () => {
    const answer = await follow({ bytes: 8 * megabyte });
    const bytes = Buffer.from(await answer.arrayBuffer());
    expect(bytes.equals(Buffer.alloc(8 * megabyte, "0123456789abcdef"))).toBe(true);
    expect(answer.headers.get("content-type")).toBe("application/octet-stream");
  });

  test("is not redirected to where the sender wants the answer itself, and what fits is answered either way", async () => {
    const small = await send({ characters: 5 * megabyte, contentType: "text/plain" }, preferDirect);
    expect([small.status, small.text.length]).toEqual([200, 5 * megabyte]);
    const large = await send({ characters: 9 * megabyte }, preferDirect);
    expect(large.status).toBe(500);
    expect(large.json.error).toMatchObject({ code: "RESULT_TOO_LARGE" });
    expect(large.json.error.message).toContain("prismatic-prefer-direct-sync-response");
  });

  test("has a bound, too", async () => {
    const answer = await send({ characters: 17 * megabyte });
    expect(answer.status).toBe(500);
    expect(answer.json.error).toMatchObject({ code: "RESULT_TOO_LARGE" });
  });

  test("is not to be had by an address that was changed, made up or sent by another way", async () => {
    const address = (await send({ characters: 7 * megabyte })).headers.get("location")!;
    const [body, signature] = address.slice(address.lastIndexOf("/") + 1).split(".");
    const other = Buffer.from(JSON.stringify(["../id", Date.now() + 60_000])).toString("base64url");
    const statuses = [];
    for (const path of [
      `${body}.${signature}x`,
      `${other}.${signature}`,
      "nothing",
      "",
      `${body}`,
      "x".repeat(5_000),
    ])
      statuses.push((await fetch(`${planes.data.url}/results/${path}`)).status);
    expect(statuses.every((status) => status === 404 || status === 431)).toBe(true);
    expect((await fetch(address, { method: "POST" })).status).toBe(404);
  });

  test("is there after a restart, and after a receiver that went away in the middle", async () => {
    const address = (await send({ characters: 12 * megabyte, contentType: "text/plain" })).headers.get(
      "location",
    )!;
    await goAwayInTheMiddle(address);
    await planes.data.kill();
    await planes.data.start();
    const answer = await fetch(address);
    expect((await answer.text()) === textOf(12 * megabyte)).toBe(true);
  });

  test("finds no room where others fill it: the run went well, and its sender is told", async () => {
    let answer = await send({ characters: 15 * megabyte });
    for (let i = 0; i < 8 && answer.status === 303; i++) answer = await send({ characters: 15 * megabyte });
    expect(answer.status).toBe(500);
    expect(answer.json).toMatchObject({
      error: { code: "RESULT_NOT_STORED" },
      executionId: answer.executionId,
    });
    expect(await endedExecution(planes, answer.executionId!)).toMatchObject({
      status: "SUCCEEDED",
      answerStatus: 500,
    });
    const folder = join(planes.dataDir, "data-plane", "results");
    expect(existsSync(folder) && readdirSync(folder).every((name) => name.endsWith(".result"))).toBe(true);
  });
});

/** Reads the beginning, and hangs up. */
function goAwayInTheMiddle(address: string): Promise<void> {
  const { hostname, port, pathname } = new URL(address);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () =>
      socket.write(`GET ${pathname} HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`),
    );
    socket.once("data", () => socket.destroy());
    socket.once("close", () => resolve());
    socket.once("error", reject);
  });
}
