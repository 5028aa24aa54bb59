import { connect, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { endedExecution } from "../support/executionRecord.ts";
import { bootPlanes, type TestPlanes } from "../support/planes.ts";
import { publishAndDeploy } from "../support/publishAndDeploy.ts";
import { sendWebhook } from "../support/sendWebhook.ts";
import { waitFor } from "../support/waitFor.ts";

/** What senders get wrong, and what attackers get right: each gets its answer, and nobody else notices. */
let planes: TestPlanes;
let echo: string;
let byBody: string;
let byHeader: string;

beforeAll(async () => {
  planes = await bootPlanes({ environment: { SWITCHYARD_REQUEST_TIMEOUT_MS: "1500" } });
  echo = (await publishAndDeploy(planes, "flow-kinds", ["bad-a"])).instances["bad-a"]!.webhookUrls["Echo"]!;
  byBody = Object.values(
    (await publishAndDeploy(planes, "shared-body", ["bad-a"])).instances["bad-a"]!.webhookUrls,
  )[0]!;
  byHeader = Object.values(
    (await publishAndDeploy(planes, "instance-header", ["bad-a"])).instances["bad-a"]!.webhookUrls,
  )[0]!;
});

afterAll(() => planes?.stop());

/** After each attack: the process is up, and a webhook beside it is served. */
async function isServed(): Promise<void> {
  expect(planes.data.isRunning()).toBe(true);
  const answer = await sendWebhook(echo, { body: { fine: true } });
  expect(answer.status).toBe(200);
  expect((await endedExecution(planes, answer.executionId!)).status).toBe("SUCCEEDED");
}

const { hostname, port } = { hostname: "127.0.0.1", port: () => Number(new URL(planes.ingressUrl).port) };
const pathOf = (url: string): string => new URL(url).pathname;

/** Writes bytes as they are; resolves with all that came back when the other side closed or was silent. */
function raw(write: (socket: Socket) => void | Promise<void>, silentMs = 700): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port(), hostname);
    let received = "";
    let timer = setTimeout(() => socket.destroy(), 8000);
    const rearm = () => {
      clearTimeout(timer);
      timer = setTimeout(() => socket.destroy(), silentMs);
    };
    socket.on("data", (chunk) => {
      received += chunk.toString("latin1");
      rearm();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      clearTimeout(timer);
      resolve(received);
    });
    socket.on("connect", () => void write(socket));
  });
}

const statusesIn = (text: string): number[] =>
  [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => Number(match[1]));
const head = (url: string, lines: string[]): string =>
  [`POST ${pathOf(url)} HTTP/1.1`, "Host: localhost", ...lines, "", ""].join("\r\n");

describe("bodies", () => {
  test("truncated JSON, and JSON nested 10,000 deep, are 400", async () => {
    const deep = `${"[".repeat(10_000)}${"]".repeat(10_000)}`;
    for (const body of ['{"account":"bad-a"', deep, `{"account":"bad-a","topic":${deep}}`]) {
      expect(
        (await sendWebhook(byBody, { body, headers: { "Content-Type": "application/json" } })).status,
      ).toBe(400);
    }
    await isServed();
  });

  test("100 MB with a Content-Length is refused before it is read", async () => {
    const text = await raw(
      (socket) => void socket.write(head(echo, ["Content-Type: text/plain", "Content-Length: 104857600"])),
    );
    expect(statusesIn(text)).toEqual([413]);
    await isServed();
  });

  test("100 MB in chunks is refused when it is over the limit, and memory stays bounded", async () => {
    const chunk = `100000\r\n${"x".repeat(0x100000)}\r\n`;
    const text = await raw(async (socket) => {
      socket.write(head(echo, ["Content-Type: text/plain", "Transfer-Encoding: chunked"]));
      for (let sent = 0; sent < 100 && !socket.destroyed; sent++) {
        if (!socket.write(chunk))
          await new Promise<void>((resolve) => socket.once("drain", resolve).once("close", () => resolve()));
      }
    });
    expect(statusesIn(text)).toEqual([413]);
    await isServed();
  });

  test("compressed bombs are 413", async () => {
    const { gzipSync } = await import("node:zlib");
    const bomb = gzipSync(Buffer.alloc(200 * 1024 * 1024));
    expect(
      (
        await sendWebhook(echo, {
          body: bomb,
          headers: { "Content-Encoding": "gzip", "Content-Type": "text/plain" },
        })
      ).status,
    ).toBe(413);
    await isServed();
  });

  test("XML entity bombs and multipart without end are 400", async () => {
    const bomb = `<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><l>&b;</l>`;
    expect(
      (await sendWebhook(echo, { body: bomb, headers: { "Content-Type": "application/xml" } })).status,
    ).toBe(400);
    const endless = `--q\r\nContent-Disposition: form-data; name="a"\r\n\r\n${"z".repeat(100_000)}`;
    expect(
      (
        await sendWebhook(echo, {
          body: endless,
          headers: { "Content-Type": "multipart/form-data; boundary=q" },
        })
      ).status,
    ).toBe(400);
    await isServed();
  });

  test("megabytes of XML do not hold up a webhook beside them", async () => {
    const large = `<all>${"<row><id>1</id><name>x</name></row>".repeat(100_000)}</all>`;
    const slow = sendWebhook(echo, { body: large, headers: { "Content-Type": "application/xml" } });
    await isServed();
    expect((await slow).status).toBe(200);
  });

  test("prototype-polluting keys route nowhere and pollute nothing", async () => {
    for (const body of [
      '{"__proto__":{"account":"bad-a","topic":"bill.paid"}}',
      '{"constructor":{"prototype":{"account":"bad-a"}}}',
    ]) {
      expect(
        (await sendWebhook(byBody, { body, headers: { "Content-Type": "application/json" } })).status,
      ).toBe(422);
    }
    expect((await sendWebhook(byBody, { body: { account: "bad-a", topic: "__proto__" } })).status).toBe(422);
    expect((await sendWebhook(byBody, { body: { account: "toString", topic: "bill.paid" } })).status).toBe(
      422,
    );
    await isServed();
  });

  test("NUL bytes and lone surrogates in names are names that are not there", async () => {
    for (const account of ['"bad-a\\u0000"', '"\\ud800"', '"\\udc00bad-a"']) {
      const answer = await sendWebhook(byBody, {
        body: `{"account":${account},"topic":"bill.paid"}`,
        headers: { "Content-Type": "application/json" },
      });
      expect(answer).toMatchObject({ status: 422, json: { error: { code: "CUSTOMER_NOT_FOUND" } } });
    }
    expect(
      (
        await sendWebhook(byBody, {
          body: '{"account":"bad-a","topic":"\\ud800\\u0000"}',
          headers: { "Content-Type": "application/json" },
        })
      ).status,
    ).toBe(422);
    await isServed();
  });
});

describe("senders", () => {
  test("that are slow get 408", async () => {
    const text = await raw(async (socket) => {
      socket.write(head(echo, ["Content-Type: text/plain", "Content-Length: 1000"]));
      for (let sent = 0; sent < 6 && !socket.destroyed; sent++) {
        socket.write("x");
        await new Promise((resolve) => setTimeout(resolve, 600));
      }
    });
    expect(statusesIn(text)).toEqual([408]);
    await isServed();
  });

  test("that hang up in the middle leave nothing behind", async () => {
    await Promise.all(
      Array.from({ length: 50 }, () =>
        raw((socket) => {
          socket.write(head(echo, ["Content-Type: text/plain", "Content-Length: 100000"]));
          socket.write("x".repeat(1000));
          setTimeout(() => socket.destroy(), 20);
        }),
      ),
    );
    await isServed();
  });

  test("that hang up after sending have been heard", async () => {
    const marker = `hung-up-${Date.now()}`;
    const body = JSON.stringify({ marker });
    await raw((socket) => {
      socket.write(
        `${head(echo, ["Content-Type: application/json", `Content-Length: ${body.length}`])}${body}`,
      );
      setTimeout(() => socket.destroy(), 5);
    });
    await isServed();
  });

  test("header floods are 431, and many headers do no harm", async () => {
    const flood = await raw(
      (socket) => void socket.write(head(echo, [`X-Big: ${"a".repeat(60_000)}`, "Content-Length: 0"])),
    );
    expect(statusesIn(flood)).toEqual([431]);
    const many = await raw(
      (socket) =>
        void socket.write(
          head(echo, [...Array.from({ length: 2000 }, (_, n) => `X-${n}: v`), "Content-Length: 0"]),
        ),
    );
    for (const status of statusesIn(many)) expect([200, 400, 431]).toContain(status);
    await isServed();
  });

  test("a header of 20 KB, as signatures and tokens can be, is fine", async () => {
    expect((await sendWebhook(echo, { body: {}, headers: { "X-Token": "t".repeat(20_000) } })).status).toBe(
      200,
    );
  });

  test("duplicate and odd headers are answered", async () => {
    const twice = await raw(
      (socket) =>
        void socket.write(head(byHeader, ["X-Flow: Take In", "x-flow: Take In", "Content-Length: 0"])),
    );
    expect(statusesIn(twice)).toEqual([422]);
    const once = await raw(
      (socket) => void socket.write(head(byHeader, ["x-FLOW:   Take In  ", "Content-Length: 0"])),
    );
    expect(statusesIn(once)).toEqual([200]);
    const odd = [
      ["Content-Length: -5"],
      ["Content-Length: 5x"],
      ["Content-Length: 3", "Content-Length: 4"],
      [": empty"],
      ["bad header"],
      ["Content-Length: 2", "Transfer-Encoding: chunked"],
    ];
    const texts = await Promise.all(
      odd.map((lines) => raw((socket) => void socket.write(`${head(echo, lines)}{}`))),
    );
    for (const status of texts.flatMap(statusesIn)) expect(status).toBeLessThan(600);
    await isServed();
  });

  test("garbage instead of HTTP is closed or refused", async () => {
    const garbage = [
      "\x16\x03\x01\x02\x00\x01",
      "\0\0\0\0\r\n\r\n",
      "GET\r\n\r\n",
      `GET ${"/".repeat(50_000)} HTTP/1.1\r\n\r\n`,
    ];
    await Promise.all(garbage.map((text) => raw((socket) => void socket.write(Buffer.from(text, "latin1")))));
    await isServed();
  });

  test("odd tokens, paths and queries are 404 or an answer, never a fault", async () => {
    const paths = [
      "/trigger/%00",
      "/trigger/%E0%A4%A",
      "/trigger/../../etc/passwd",
      `/trigger/${"t".repeat(5000)}`,
      `${pathOf(echo)}?%ff=%zz&&==`,
      `${pathOf(echo)}//..//x`,
    ];
    const texts = await Promise.all(
      paths.map((path) => raw((socket) => void socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`))),
    );
    for (const text of texts) expect([[200], [404]]).toContainEqual(statusesIn(text));
    await isServed();
  });
});

test("after all that, nothing is stuck", async () => {
  await waitFor(async () => (await fetch(`${planes.ingressUrl}/healthz`)).status === 200);
  expect(planes.data.log()).not.toMatch(/"level":(50|60)/);
});
