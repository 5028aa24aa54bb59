/** OpenTelemetry traces of real planes, as a collector gets them. */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { sentTrace } from "../data-plane/traceContext.ts";
import { startTracing } from "../data-plane/tracing.ts";
import { readConfig } from "../shared/config.ts";
import { ConfigurationError } from "../shared/errors.ts";
import { endedExecution } from "./support/executionRecord.ts";
import { bootPlanes, type TestPlanes } from "./support/planes.ts";
import { publishAndDeploy } from "./support/publishAndDeploy.ts";
import { sendWebhook } from "./support/sendWebhook.ts";
import {
  kindOf,
  type ReceivedSpan,
  startTraceCollector,
  type TraceCollector,
} from "./support/traceCollector.ts";
import { waitFor } from "./support/waitFor.ts";

let collector: TraceCollector;
let planes: TestPlanes;
let urls: Record<string, string>;
let instanceId: string;
let shared: string;

beforeAll(async () => {
  collector = await startTraceCollector();
  planes = await bootPlanes({ dataEnvironment: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url } });
  const { instances } = await publishAndDeploy(planes, "traced", ["traces-a"]);
  ({ webhookUrls: urls, instanceId } = instances["traces-a"]!);
  const preprocessed = await publishAndDeploy(planes, "shared-preprocess", ["traces-a"]);
  shared = Object.values(preprocessed.instances["traces-a"]!.webhookUrls)[0]!;
});
afterAll(async () => {
  await planes?.stop();
  await collector?.stop();
});

const sender = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331" };
const traceparent = `00-${sender.traceId}-${sender.spanId}-01`;

/** The spans of an execution by their kind, once all are there. */
const spansOf = (executionId: string, count = 2): Promise<Record<string, ReceivedSpan>> =>
  waitFor(() => {
    const found = collector.spans.filter(
      ({ attributes }) => attributes["switchyard.execution_id"] === executionId,
    );
    return found.length >= count ? Object.fromEntries(found.map((span) => [kindOf(span), span])) : null;
  });

describe("a webhook and its run", () => {
  test("are spans of the sender's trace, and flow code is handed the run's own context", async () => {
    const answer = await sendWebhook(urls["Traced"]!, {
      body: { a: 1 },
      headers: { traceparent, tracestate: "vendor=some,other=1", "x-request-id": "traced-1" },
    });
    const { SERVER: webhook, INTERNAL: run } = await spansOf(answer.executionId!);
    expect(webhook).toMatchObject({
      traceId: sender.traceId,
      parentSpanId: sender.spanId,
      traceState: "vendor=some,other=1",
      name: "POST /trigger/{token}",
      hasFailed: false,
      attributes: {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "url.path": "/trigger/{token}",
        "switchyard.request_id": "traced-1",
        "switchyard.flow": "Traced",
        "switchyard.instance_id": instanceId,
      },
    });
    expect(run).toMatchObject({
      traceId: sender.traceId,
      parentSpanId: webhook!.spanId,
      name: "run Traced",
      hasFailed: false,
      attributes: { "switchyard.attempt": 1, "switchyard.instance_id": instanceId },
    });
    expect(answer.json).toEqual({ own: `00-${sender.traceId}-${run!.spanId}-01`, sent: traceparent });
  });

  test("begin a trace where the sender sends none, or none that is valid", async () => {
    for (const headers of [{}, { traceparent: "00-zz-b7ad6b7169203331-01" }] as Record<string, string>[]) {
      const answer = await sendWebhook(urls["Traced"]!, { body: {}, headers });
      const { SERVER: webhook, INTERNAL: run } = await spansOf(answer.executionId!);
      expect(webhook!.parentSpanId).toBe("");
      expect(webhook!.traceId).toMatch(/^[0-9a-f]{32}$/);
      expect(webhook!.traceId).not.toBe(sender.traceId);
      expect(run).toMatchObject({ traceId: webhook!.traceId, parentSpanId: webhook!.spanId });
      expect(answer.json.own).toBe(`00-${webhook!.traceId}-${run!.spanId}-01`);
    }
  });

  test("are not recorded where the sender does not record its trace, which goes on all the same", async () => {
    const answer = await sendWebhook(urls["Traced"]!, {
      body: {},
      headers: { traceparent: traceparent.replace(/01$/, "00") },
    });
    expect(answer.json.own).toMatch(new RegExp(`^00-${sender.traceId}-[0-9a-f]{16}-00$`));
    const later = await sendWebhook(urls["Traced"]!, { body: {} });
    await spansOf(later.executionId!);
    const ids = collector.spans.map(({ attributes }) => attributes["switchyard.execution_id"]);
    expect(ids).not.toContain(answer.executionId);
  });

  test("say that a run failed, and with what", async () => {
    const answer = await sendWebhook(urls["Failing"]!, { body: {} });
    const { SERVER: webhook, INTERNAL: run } = await spansOf(answer.executionId!);
    expect(webhook!.hasFailed).toBe(false);
    expect(run).toMatchObject({ hasFailed: true, attributes: { "error.type": "FLOW_FAILED" } });
    expect(JSON.stringify(collector.spans)).not.toContain("told to fail");
  });

  test("are two spans also where a preprocess flow routes", async () => {
    const before = collector.spans.length;
    const answer = await sendWebhook(shared, { body: { customer: "nobody", flow: "none" } });
    expect(answer.status).toBe(422);
    await waitFor(() => collector.spans.length >= before + 2);
    const [webhook, run] = ["SERVER", "INTERNAL"].map(
      (kind) => collector.spans.slice(before).find((span) => kindOf(span) === kind)!,
    );
    expect(run!.parentSpanId).toBe(webhook!.spanId);
    expect(webhook!.attributes["http.response.status_code"]).toBe(422);
    expect(run!.hasFailed).toBe(true);
  });

  test("that is refused is one span, with the code", async () => {
    const before = collector.spans.length;
    await sendWebhook(`${planes.ingressUrl}/trigger/no-such-token-anywhere`, { body: {} });
    const [span] = await waitFor(() => {
      const found = collector.spans.slice(before);
      return found.length > 0 ? found : null;
    });
    expect(span!.attributes).toMatchObject({
      "http.response.status_code": 404,
      "error.type": "ENDPOINT_NOT_FOUND",
    });
    expect(collector.text()).not.toContain("no-such-token-anywhere");
    for (const url of [...Object.values(urls), shared])
      expect(collector.text()).not.toContain(url.slice(url.lastIndexOf("/") + 1));
  });
});

test("a collector that takes nothing costs spans, and nothing else", async () => {
  const metric = async (outcome: string) => {
    const text = await (await fetch(`${planes.ingressUrl}/metrics`)).text();
    const name = `switchyard_data_trace_spans_total{outcome="${outcome}"} `;
    return Number(
      text
        .split("\n")
        .find((line) => line.startsWith(name))!
        .slice(name.length),
    );
  };
  collector.fail(true);
  const failedBefore = await metric("failed");
  const answer = await sendWebhook(urls["Failing"]!, { body: {} });
  expect(answer.status).toBe(200);
  await endedExecution(planes, answer.executionId!);
  await waitFor(async () => (await metric("failed")) - failedBefore === 2);
  collector.fail(false);
  const later = await sendWebhook(urls["Traced"]!, { body: {} });
  await spansOf(later.executionId!);
  expect(await metric("exported")).toBeGreaterThanOrEqual(2);
  const told = planes.data.log().split("the collector does not take traces").length - 1;
  expect(told).toBe(1);
});

test("without a collector flow code is handed the sender's context, or none", async () => {
  const own = await bootPlanes();
  onTestFinished(() => own.stop());
  const { instances } = await publishAndDeploy(own, "traced", ["traces-b"]);
  const url = instances["traces-b"]!.webhookUrls["Traced"]!;
  const told = async (headers: Record<string, string>) =>
    (await sendWebhook(url, { body: {}, headers })).json;
  expect(await told({ traceparent })).toEqual({ own: traceparent, sent: traceparent });
  expect(await told({})).toEqual({ own: null, sent: null });
  expect(await told({ traceparent: "00-1-2-3" })).toEqual({ own: null, sent: "00-1-2-3" });
});

test("an address that is none is refused by name", () => {
  const { traceEndpoint } = readConfig({ OTEL_EXPORTER_OTLP_ENDPOINT: "collector:4318" });
  const start = () =>
    startTracing({ traceEndpoint: traceEndpoint!, dataPlaneName: "x" }, { warn() {} } as never);
  expect(start).toThrow(ConfigurationError);
  expect(start).toThrow(/OTEL_EXPORTER_OTLP_ENDPOINT/);
});

describe("the traceparent header", () => {
  const parent = (...values: string[]) =>
    sentTrace(values.map((value) => ["traceparent", value] as const))?.parent ?? null;

  test.each([
    traceparent,
    ` ${traceparent} `,
    `cc-${sender.traceId}-${sender.spanId}-01-what-the-future-will-be`,
  ])("%s is valid", (value) => {
    expect(parent(value)).toEqual({ ...sender, isSampled: true });
  });

  test.each([
    "",
    `00-${sender.traceId}-${sender.spanId}`,
    `00-${sender.traceId}-${sender.spanId}-01-more`,
    `ff-${sender.traceId}-${sender.spanId}-01`,
    `00-${"0".repeat(32)}-${sender.spanId}-01`,
    `00-${sender.traceId}-${"0".repeat(16)}-01`,
    `00-${sender.traceId.toUpperCase()}-${sender.spanId}-01`,
    `cc-${sender.traceId}-${sender.spanId}-01-${"x".repeat(1000)}`,
  ])("%s is not", (value) => {
    expect(parent(value)).toBe(null);
  });

  test("that is there twice counts as none", () => {
    expect(parent(traceparent, traceparent)).toBe(null);
  });
});
