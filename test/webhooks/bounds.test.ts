import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { endedExecution } from "../support/executionRecord.ts";
import { bootPlanes, type TestPlanes } from "../support/planes.ts";
import { deployTo, publishAndDeploy, publishYamlFixture } from "../support/publishAndDeploy.ts";
import { sendWebhook } from "../support/sendWebhook.ts";
import { waitFor } from "../support/waitFor.ts";

/** What is answered at the bounds: too many requests, a full journal, a type that a flow does not accept. */
let planes: TestPlanes;

beforeAll(async () => {
  planes = await bootPlanes({
    environment: { SWITCHYARD_ENDPOINT_REQUESTS_PER_SECOND: "20" },
  });
});
afterAll(() => planes?.stop());

test("429 with Retry-After above the rate of an endpoint; another endpoint does not notice", async () => {
  const { instances } = await publishAndDeploy(planes, "flow-kinds", ["rate-a", "rate-b"]);
  const [busy, calm] = ["rate-a", "rate-b"].map((customer) => instances[customer]!.webhookUrls["Echo"]!);
  let refused: Awaited<ReturnType<typeof sendWebhook>> | undefined;
  for (let sent = 0; sent < 60 && refused === undefined; sent++) {
    const answer = await sendWebhook(busy!, { method: "GET" });
    if (answer.status === 429) refused = answer;
  }
  expect(refused).toMatchObject({ status: 429, json: { error: { code: "TOO_MANY_REQUESTS" } } });
  expect(Number(refused!.headers.get("retry-after"))).toBeGreaterThan(0);
  expect((await sendWebhook(calm!, { method: "GET" })).status).toBe(200);
  await waitFor(async () => (await sendWebhook(busy!, { method: "GET" })).status === 200, 5_000);
});

test("503 with Retry-After when the journal is full; what was accepted runs, and then there is room again", async () => {
  // Planes of its own: in so small a journal a few requests of another test would be in the way.
  const full = await bootPlanes({ environment: { SWITCHYARD_JOURNAL_ENTRIES_MAX: "12" } });
  onTestFinished(() => full.stop());
  const { instances } = await publishAndDeploy(full, "flow-kinds", ["full-a"]);
  const slow = instances["full-a"]!.webhookUrls["Slow"]!;
  const answers = await Promise.all(
    Array.from({ length: 18 }, () => sendWebhook(slow, { body: { waitMs: 1500 } })),
  );
  const refused = answers.filter((answer) => answer.status === 503);
  const accepted = answers.filter((answer) => answer.status === 200);
  expect(accepted.length).toBeGreaterThan(0);
  expect(accepted.length).toBeLessThanOrEqual(12);
  expect(refused.length).toBe(answers.length - accepted.length);
  expect(refused[0]).toMatchObject({ json: { error: { code: "JOURNAL_FULL" } } });
  expect(Number(refused[0]!.headers.get("retry-after"))).toBeGreaterThan(0);
  for (const answer of accepted)
    expect((await endedExecution(full, answer.executionId!)).status).toBe("SUCCEEDED");
  await waitFor(async () => (await sendWebhook(slow, { body: { waitMs: 1 } })).status === 200, 5_000);
});

test("415 for a content type that the flow does not accept; all are accepted where it names none", async () => {
  const version = await publishYamlFixture(planes, "low-code", (yaml) =>
    yaml
      .replace(
        "preprocessFlowName: Sort\nflowNameField: results.flowName\n",
        "flowNameField: headers.x-flow\n",
      )
      .replace(
        "stableKey: greet\n",
        'stableKey: greet\n    acceptedContentTypes: [application/json, "text/*"]\n',
      ),
  );
  const { webhookUrls } = await deployTo(planes, version, "types-a");
  const send = async (flow: string, type: string) =>
    (
      await sendWebhook(webhookUrls["Greet"]!, {
        body: type === "application/xml" ? "<a/>" : "{}",
        headers: { "Content-Type": type, "x-flow": flow },
      })
    ).status;
  expect(await send("Greet", "application/json; charset=utf-8")).toBe(200);
  expect(await send("Greet", "text/csv")).not.toBe(415);
  expect(await send("Greet", "application/xml")).toBe(415);
  expect(await send("Count", "application/xml")).not.toBe(415);
});

test("503 while draining: what runs is finished first", async () => {
  const { instances } = await publishAndDeploy(planes, "flow-kinds", ["drain-a"]);
  const { webhookUrls } = instances["drain-a"]!;
  const running = await sendWebhook(webhookUrls["Slow"]!, { body: { waitMs: 2000 } });
  // A connection that is open when the drain begins: new ones are not taken.
  const { Agent } = await import("node:http");
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  expect(await statusOf(webhookUrls["Echo"]!, agent)).toBe(200);
  const stopped = planes.data.stop();
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(await statusOf(webhookUrls["Echo"]!, agent)).toBe(503);
  agent.destroy();
  await stopped;
  expect(await endedExecution(planes, running.executionId!)).toMatchObject({
    status: "SUCCEEDED",
    attempt: 1,
  });
}, 30_000);

async function statusOf(url: string, agent: import("node:http").Agent): Promise<number> {
  const { request } = await import("node:http");
  return new Promise((resolve, reject) => {
    request(url, { method: "POST", agent }, (response) => {
      response.resume().on("end", () => resolve(response.statusCode!));
    })
      .on("error", reject)
      .end();
  });
}
