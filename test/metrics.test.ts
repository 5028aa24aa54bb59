/** `/metrics` of the data plane, scraped from real planes. */
import { networkInterfaces } from "node:os";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { endedExecution } from "./support/executionRecord.ts";
import { graphql } from "./support/graphql.ts";
import { bootPlanes, type TestPlanes } from "./support/planes.ts";
import { publishAndDeploy } from "./support/publishAndDeploy.ts";
import { sendWebhook } from "./support/sendWebhook.ts";
import { waitFor } from "./support/waitFor.ts";

const metricsToken = "token-of-the-scraper";
let planes: TestPlanes;
let url: string;
/** Of an instance whose flows are named in a header. */
let byHeader: { url: string; instanceId: string };
let kinds: Record<string, string>;
let kindsInstance: string;

const api = (document: string, variables: Record<string, unknown> = {}) =>
  graphql(planes.controlUrl, planes.adminToken, document, variables);

beforeAll(async () => {
  planes = await bootPlanes({
    dataEnvironment: {
      SWITCHYARD_METRICS_TOKEN: metricsToken,
      SWITCHYARD_HOST: "0.0.0.0",
      SWITCHYARD_RUN_THREADS: "2",
    },
  });
  url = planes.data.url.replace("0.0.0.0", "127.0.0.1");
  const { instances } = await publishAndDeploy(planes, "instance-header", ["metrics-a"]);
  const { webhookUrls, instanceId } = instances["metrics-a"]!;
  byHeader = { url: Object.values(webhookUrls)[0]!, instanceId };
  const deployed = (await publishAndDeploy(planes, "flow-kinds", ["metrics-a"])).instances["metrics-a"]!;
  kinds = deployed.webhookUrls;
  kindsInstance = deployed.instanceId;
});
afterAll(() => planes?.stop());

const scrape = (headers: Record<string, string> = {}, from = url): Promise<Response> =>
  fetch(`${from}/metrics`, { headers });

type Samples = Map<string, number>;

/** By name and labels, as they are written. */
async function samples(): Promise<Samples> {
  const text = await (await scrape()).text();
  return new Map(
    text
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => {
        const space = line.lastIndexOf(" ");
        return [line.slice(0, space), Number(line.slice(space + 1))];
      }),
  );
}

const data = (name: string): string => `switchyard_data_${name}`;
const grown = (before: Samples, after: Samples, name: string): number =>
  (after.get(data(name)) ?? 0) - (before.get(data(name)) ?? 0);

describe("the text", () => {
  const sampleLine =
    /^[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_][a-zA-Z0-9_]*="(\\[\\"n]|[^\\"\n])*",?)*\})? (NaN|[+-]Inf|-?[0-9.]+(e[+-]?[0-9]+)?)$/;

  test("is Prometheus' format line by line: each family once, with its help and type before it", async () => {
    const answer = await scrape();
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toMatch(/^text\/plain; version=0\.0\.4/);
    const text = await answer.text();
    expect(text.endsWith("\n")).toBe(true);
    const types = new Map<string, string>();
    let helped = "";
    for (const line of text.split("\n").filter((each) => each !== "")) {
      const [, helpName] = /^# HELP (\S+) \S/.exec(line) ?? [];
      const [, typeName, type] = /^# TYPE (\S+) (counter|gauge|histogram|summary)$/.exec(line) ?? [];
      if (helpName !== undefined) helped = helpName;
      else if (typeName !== undefined) {
        expect(typeName).toBe(helped);
        expect(types.has(typeName)).toBe(false);
        types.set(typeName, type!);
      } else {
        expect(line).toMatch(sampleLine);
        const name = /^[\w:]+/.exec(line)![0];
        const family = types.get(helped) === "histogram" ? name.replace(/_(bucket|sum|count)$/, "") : name;
        expect(family).toBe(helped);
      }
    }
    for (const [name, type] of types) {
      if (!name.startsWith("switchyard_")) continue;
      expect(name).toMatch(/^switchyard_data_[a-z0-9_]+$/);
      expect(name.endsWith("_total")).toBe(type === "counter");
    }
  });

  test("has all that is said in the README, and the README all that it has", async () => {
    const text = await (await scrape()).text();
    const { readFileSync } = await import("node:fs");
    const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
    const documented = [...readme.matchAll(/`(switchyard_data_[a-z0-9_]+)/g)].map(([, name]) => name!);
    const served = [...text.matchAll(/^# TYPE (switchyard_data_\S+) /gm)].map(([, name]) => name!);
    expect([...new Set(documented)].sort()).toEqual(served.sort());
    for (const name of [
      "process_cpu_seconds_total",
      "process_resident_memory_bytes",
      "nodejs_heap_size_used_bytes",
    ])
      expect(text).toContain(`# TYPE ${name} `);
  });
});

describe("counters", () => {
  test("move by exactly what was sent", async () => {
    const { instance } = await api(
      `query ($id: ID!) { instance(id: $id) { flowConfigs { nodes { id flow { name } } } } }`,
      { id: kindsInstance },
    );
    const failing = instance.flowConfigs.nodes.find(
      ({ flow }: { flow: { name: string } }) => flow.name === "Context",
    );
    const { createApiKey } = await api(
      `mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { pendingDataPlanes errors { messages } } }`,
      { input: { flowConfig: failing.id, name: "test" } },
    );
    expect(createApiKey).toEqual({ pendingDataPlanes: [], errors: [] });
    const before = await samples();

    const bodies = ["one", "two", "three"];
    const accepted = [];
    for (const body of bodies) {
      const answer = await sendWebhook(byHeader.url, { body: { body }, headers: { "x-flow": "Take In" } });
      expect(answer.status).toBe(200);
      accepted.push(answer.executionId!);
    }
    const failed = await sendWebhook(kinds["Failing"]!, { body: {} });
    accepted.push(failed.executionId!);
    expect((await sendWebhook(kinds["Context"]!, { body: {} })).status).toBe(401);
    expect((await sendWebhook(`${url}/trigger/nowhere`, { body: {} })).status).toBe(404);
    expect((await sendWebhook(byHeader.url, { headers: { "x-flow": "Nothing" }, body: {} })).status).toBe(
      422,
    );
    const pause = (isEnabled: boolean) =>
      api(
        `mutation ($id: ID!, $enabled: Boolean!) { updateInstance(input: { id: $id, enabled: $enabled }) { errors { messages } } }`,
        { id: byHeader.instanceId, enabled: isEnabled },
      );
    await pause(false);
    await waitFor(
      async () => (await sendWebhook(byHeader.url, { headers: { "x-flow": "Nothing" }, body: {} })).status,
    );
    expect((await sendWebhook(byHeader.url, { headers: { "x-flow": "Take In" }, body: {} })).status).toBe(
      409,
    );
    for (const id of accepted) await endedExecution(planes, id);

    const after = await waitFor(async () => {
      const now = await samples();
      return now.get(data("reports_waiting")) === 0 ? now : null;
    });
    expect(grown(before, after, "webhooks_total")).toBe(9);
    expect(grown(before, after, "webhooks_accepted_total")).toBe(4);
    const bytes = bodies.reduce((sum, body) => sum + JSON.stringify({ body }).length, 2);
    expect(grown(before, after, "webhooks_accepted_bytes_total")).toBe(bytes);
    for (const [status, count] of Object.entries({ 200: 4, 401: 1, 404: 1, 409: 1, 422: 2 }))
      expect([status, grown(before, after, `answers_total{status="${status}"}`)]).toEqual([status, count]);
    const codes = { KEY_REFUSED: 1, ENDPOINT_NOT_FOUND: 1, INSTANCE_PAUSED: 1, FLOW_NOT_FOUND: 2 };
    for (const [code, count] of Object.entries(codes))
      expect([code, grown(before, after, `refusals_total{code="${code}"}`)]).toEqual([code, count]);
    expect(grown(before, after, `runs_total{outcome="succeeded"}`)).toBe(3);
    expect(grown(before, after, `runs_total{outcome="failed"}`)).toBe(1);
    expect(grown(before, after, `runs_failed_total{code="FLOW_FAILED"}`)).toBe(1);
    expect(grown(before, after, "run_seconds_count")).toBe(4);
    expect(grown(before, after, `run_seconds_bucket{le="+Inf"}`)).toBe(4);
    // Four webhooks, and the three refusals that can be replayed.
    expect(grown(before, after, `journal_rows_total{log="ingress-0"}`)).toBe(7);
    const commits = grown(before, after, `journal_commits_total{log="ingress-0"}`);
    expect(grown(before, after, `journal_sync_seconds_count{log="ingress-0"}`)).toBe(commits);
    // Each end, and each refusal.
    expect(grown(before, after, "reports_confirmed_total")).toBeGreaterThanOrEqual(9);
    expect(grown(before, after, "reports_refused_total")).toBe(0);
    expect(after.get(data("journal_entries"))).toBe(0);
    expect(after.get(data("open_requests"))).toBe(0);
    await pause(true);
  });

  test("gauges say how things are", async () => {
    const now = await samples();
    const { data: plane } = { data: now };
    const value = (name: string): number => plane.get(data(name))!;
    expect(value("control_plane_connected")).toBe(1);
    expect(value("feed_version")).toBeGreaterThan(0);
    expect(value("feed_lag_versions")).toBe(0);
    expect(value("feed_current_seconds")).toBeGreaterThanOrEqual(0);
    expect(value("run_threads")).toBe(2);
    expect(value("threads_replaced_total")).toBe(0);
    expect(value("replica_generation")).toBeGreaterThan(0);
    expect(value("replica_bytes")).toBeGreaterThan(4096);
    expect(value("journal_physical_bytes")).toBeGreaterThan(0);
    for (const thread of ["main", "ingress-0"]) {
      expect(value(`heap_used_bytes{thread="${thread}"}`)).toBeGreaterThan(1e6);
      expect(value(`event_loop_delay_p99_seconds{thread="${thread}"}`)).toBeGreaterThanOrEqual(0);
    }
    const waiting = sendWebhook(kinds["Slow"]!, { body: { waitMs: 1_500 } });
    await waitFor(async () => (await samples()).get(data("runs_running")) === 1);
    expect((await samples()).get(data("journal_unfinished_entries"))).toBe(1);
    await waiting;
    await waitFor(async () => (await samples()).get(data("runs_running")) === 0);
  });

  test("say that the control plane is away, and how far reports are behind", async () => {
    await planes.control.kill();
    await sendWebhook(kinds["Echo"]!, { body: {} });
    const away = await waitFor(async () => {
      const now = await samples();
      const isSeen =
        now.get(data("control_plane_connected")) === 0 && now.get(data("report_failures_total"))! > 0;
      return isSeen && now.get(data("report_lag_seconds"))! > 0 ? now : null;
    });
    expect(away.get(data("reports_waiting"))).toBeGreaterThan(0);
    await planes.control.start();
    await waitFor(async () => {
      const now = await samples();
      return now.get(data("control_plane_connected")) === 1 && now.get(data("reports_waiting")) === 0;
    }, 20_000);
  }, 40_000);
});

test("is for this machine, and for who has the token", async () => {
  const proxied = { "x-forwarded-for": "203.0.113.7" };
  const authorization = `Bearer ${metricsToken}`;
  expect((await scrape(proxied)).status).toBe(401);
  expect((await scrape({ "x-forwarded-for": "127.0.0.1" })).status).toBe(401);
  const wrong = await scrape({ ...proxied, authorization: "Bearer wrong" });
  expect(wrong.status).toBe(401);
  expect(await wrong.text()).toContain("SWITCHYARD_METRICS_TOKEN");
  expect((await scrape({ ...proxied, authorization })).status).toBe(200);
  const outside = Object.values(networkInterfaces())
    .flat()
    .find((each) => each !== undefined && !each.internal && each.family === "IPv4");
  if (outside === undefined) return;
  const far = url.replace("127.0.0.1", outside.address);
  expect((await scrape({}, far)).status).toBe(401);
  expect((await scrape({ authorization }, far)).status).toBe(200);
});
