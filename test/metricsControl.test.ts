/** `/metrics` and the log events of the control plane, read over real HTTP. */
import { networkInterfaces } from "node:os";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { newId } from "../shared/ids.ts";
import { mayReadMetrics } from "../shared/metricsAccess.ts";
import { type TestControlPlane, testControlPlane } from "./support/controlPlane.ts";
import { executionEvent } from "./support/executionEvent.ts";
import { rawGraphql } from "./support/graphql.ts";
import { bootControlPlane } from "./support/planes.ts";
import { waitFor } from "./support/waitFor.ts";

const metricsToken = "token-of-the-scraper";
let plane: TestControlPlane;

beforeAll(async () => {
  plane = await testControlPlane({ SWITCHYARD_METRICS_TOKEN: metricsToken, SWITCHYARD_HOST: "0.0.0.0" });
});
afterAll(() => plane?.stop());

const localUrl = (): string => plane.url.replace("0.0.0.0", "127.0.0.1");
const scrape = (headers: Record<string, string> = {}, url = localUrl()): Promise<Response> =>
  fetch(`${url}/metrics`, { headers });

/** The samples by name and labels, as they are written. */
async function samples(): Promise<Map<string, number>> {
  const text = await (await scrape()).text();
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const space = line.lastIndexOf(" ");
      return [line.slice(0, space), Number(line.slice(space + 1))];
    }),
  );
}

const definition = `
definitionVersion: 7
name: Measured
flows:
  - name: Main
    stableKey: main
    steps:
      - name: Trigger
        isTrigger: true
        action: { key: webhook, component: { key: webhook-triggers, version: LATEST, isPublic: true } }
`;

const whole = (id: string) => executionEvent({ id });

const report = (events: unknown[]) =>
  plane.as(
    plane.dataPlaneToken,
    `mutation ($events: JSON!) { reportEvents(input: { dataPlaneId: "dp", events: $events }) { confirmed } }`,
    { events },
  );

describe("/metrics", () => {
  test("is Prometheus text with a HELP for each name, and names by the rules", async () => {
    const answer = await scrape();
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toMatch(/^text\/plain; version=0\.0\.4/);
    const text = await answer.text();
    const typed = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => ({ name, type }));
    expect(typed.length).toBeGreaterThan(20);
    for (const { name, type } of typed.filter((each) => each.name!.startsWith("switchyard_"))) {
      expect(text).toMatch(new RegExp(`^# HELP ${name} \\S`, "m"));
      expect(name).toMatch(/^switchyard_control_[a-z][a-z0-9_]+$/);
      expect(name!.endsWith("_total")).toBe(type === "counter");
    }
    for (const name of ["process_resident_memory_bytes", "switchyard_control_event_loop_delay_p99_seconds"]) {
      expect(text).toContain(`# TYPE ${name} gauge`);
    }
  });

  test("counts what is ingested once, also where it comes twice, and what is refused", async () => {
    const before = await samples();
    const id = newId();
    await report([whole(id), { kind: "nothing" }]);
    await report([whole(id)]);
    const after = await samples();
    const grown = (name: string): number => after.get(name)! - before.get(name)!;
    expect(grown("switchyard_control_ingested_events_total")).toBe(1);
    expect(grown("switchyard_control_ingested_executions_total")).toBe(1);
    expect(grown("switchyard_control_ingested_execution_ends_total")).toBe(1);
    expect(grown("switchyard_control_ingestion_refused_events_total")).toBe(1);
    expect(grown("switchyard_control_ingestion_seconds_count")).toBe(2);
    expect(after.get('switchyard_control_database_bytes{database="executions"}')).toBeGreaterThan(4096);
  });

  test("counts requests by the kind of their operation and by how they ended", async () => {
    const before = await samples();
    await plane.api(`{ authenticatedUser { name } }`);
    await plane.refusal(plane.dataPlaneToken, `{ authenticatedUser { nothing } }`);
    await plane.refusal(plane.dataPlaneToken, `{ customers { totalCount } }`);
    expect((await rawGraphql(localUrl(), "no-such-token", `{ authenticatedUser { name } }`)).status).toBe(
      401,
    );
    const grown = async (kind: string, outcome: string): Promise<number> => {
      const name = `switchyard_control_api_requests_total{kind="${kind}",outcome="${outcome}"}`;
      return (await samples()).get(name)! - before.get(name)!;
    };
    await waitFor(async () => (await grown("none", "refused")) === 2);
    expect(await grown("query", "ok")).toBe(1);
    expect(await grown("query", "refused")).toBe(1);
    expect(await grown("query", "failed")).toBe(0);
  });

  test("shows each connected data plane's version and how far it is behind", async () => {
    const follow = new AbortController();
    const query = `subscription { feed(dataPlaneId: "dp-metrics", name: "seen in metrics") { version } }`;
    const stream = await fetch(`${localUrl()}/api`, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        Accept: "text/event-stream",
        Authorization: `Bearer ${plane.dataPlaneToken}`,
      },
      body: JSON.stringify({ query }),
      signal: follow.signal,
    });
    try {
      await stream.body!.getReader().read();
      const { importIntegration } = await plane.api(
        `mutation ($definition: String!) { importIntegration(input: { definition: $definition }) { errors { messages } } }`,
        { definition },
      );
      expect(importIntegration.errors).toEqual([]);
      const behind = await samples();
      const version = behind.get("switchyard_control_feed_version")!;
      expect(version).toBeGreaterThan(0);
      expect(behind.get("switchyard_control_feed_subscribers")).toBe(1);
      expect(behind.get('switchyard_control_feed_lag_versions{data_plane="seen in metrics"}')).toBe(version);
      const { feedChanges } = await plane.as(
        plane.dataPlaneToken,
        `{ feedChanges(epoch: "", since: 0, first: 2) }`,
      );
      await plane.as(
        plane.dataPlaneToken,
        `mutation ($epoch: String!, $version: Float!) { acknowledgeFeed(input: { dataPlaneId: "dp-metrics", name: "seen in metrics", epoch: $epoch, version: $version }) { errors { messages } } }`,
        { epoch: feedChanges.epoch, version },
      );
      const current = await samples();
      expect(current.get('switchyard_control_feed_lag_versions{data_plane="seen in metrics"}')).toBe(0);
      expect(current.get('switchyard_control_feed_acknowledged_version{data_plane="seen in metrics"}')).toBe(
        version,
      );
    } finally {
      follow.abort();
    }
    await waitFor(async () => (await samples()).get("switchyard_control_feed_subscribers") === 0);
  });

  test("is for this machine, and for who has the token", async () => {
    expect((await scrape({ "x-forwarded-for": "203.0.113.7" })).status).toBe(401);
    expect((await scrape({ "x-forwarded-for": "127.0.0.1" })).status).toBe(401);
    const wrong = await scrape({ "x-forwarded-for": "203.0.113.7", authorization: "Bearer wrong" });
    expect(wrong.status).toBe(401);
    expect(((await wrong.json()) as { error: { message: string } }).error.message).toContain(
      "SWITCHYARD_METRICS_TOKEN",
    );
    const authorization = `Bearer ${metricsToken}`;
    expect((await scrape({ "x-forwarded-for": "203.0.113.7", authorization })).status).toBe(200);
    const outside = Object.values(networkInterfaces())
      .flat()
      .find((each) => each !== undefined && !each.internal && each.family === "IPv4");
    if (outside === undefined) return;
    const url = localUrl().replace("127.0.0.1", outside.address);
    expect((await scrape({}, url)).status).toBe(401);
    expect((await scrape({ authorization }, url)).status).toBe(200);
  });

  test("without a token in the settings is for this machine alone", () => {
    const from = (peer: string, authorization?: string) => ({ peer, forwardedFor: undefined, authorization });
    for (const peer of ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]) {
      expect(mayReadMetrics(from(peer), undefined)).toBe(true);
    }
    for (const peer of ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", ""]) {
      expect(mayReadMetrics(from(peer), undefined)).toBe(false);
      expect(mayReadMetrics(from(peer, "Bearer undefined"), undefined)).toBe(false);
      expect(mayReadMetrics(from(peer, "Bearer "), "")).toBe(false);
    }
  });
});

describe("log events of the API", () => {
  const eventsOf = (log: string) =>
    log
      .split("\n")
      .filter((line) => line.includes(`"api request"`))
      .map((line) => JSON.parse(line) as Record<string, unknown>);

  test("tell each request's name, outcome and id, and none of its values", async () => {
    const own = await bootControlPlane({
      environment: { SWITCHYARD_LOG_EVENTS: "all", SWITCHYARD_LOG_LEVEL: "info" },
    });
    onTestFinished(() => own.stop());
    const send = (query: string, variables: object, id?: string) =>
      fetch(`${own.controlUrl}/api`, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          authorization: `Bearer ${own.adminToken}`,
          ...(id === undefined ? {} : { "x-request-id": id }),
        },
        body: JSON.stringify({ query, variables }),
      });
    const document = `query findThem($name: String) { customers(name_Icontains: $name) { totalCount } }`;
    const named = await send(document, { name: "hidden-variable" }, "given-by-the-caller.1");
    expect(named.headers.get("x-request-id")).toBe("given-by-the-caller.1");
    const unfit = await send(`{ customers { totalCount } }`, {}, "not fit: { for a log");
    expect(unfit.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
    const events = await waitFor(() => {
      const found = eventsOf(own.control.log()).filter(({ operation }) => operation !== null);
      return found.length >= 2 ? found : null;
    });
    expect(events).toMatchObject([
      {
        requestId: "given-by-the-caller.1",
        kind: "query",
        operation: "findThem",
        outcome: "ok",
        status: 200,
        user: "ADMIN",
      },
      { requestId: unfit.headers.get("x-request-id"), operation: "customers", outcome: "ok" },
    ]);
    expect(own.control.log()).not.toContain("hidden-variable");
    expect(own.control.log()).not.toContain(own.adminToken);
  });

  test("of what went well are sampled", async () => {
    const own = await bootControlPlane({
      environment: {
        SWITCHYARD_LOG_EVENTS: "all",
        SWITCHYARD_LOG_SAMPLE: "5",
        SWITCHYARD_LOG_LEVEL: "info",
      },
    });
    onTestFinished(() => own.stop());
    for (let count = 0; count < 11; count++) {
      await rawGraphql(own.controlUrl, own.adminToken, `query q${count} { authenticatedUser { name } }`);
    }
    await rawGraphql(own.controlUrl, own.adminToken, `query last { nothing }`);
    const events = await waitFor(() => {
      const found = eventsOf(own.control.log());
      return found.some(({ outcome }) => outcome === "refused") ? found : null;
    });
    expect(events.map(({ operation }) => operation)).toEqual(["q0", "q5", "q10", null]);
  });
});
