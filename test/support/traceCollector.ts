/** A collector of OpenTelemetry traces: takes OTLP over HTTP in JSON, and keeps the spans. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface ReceivedSpan {
  traceId: string;
  spanId: string;
  /** "" for the first of its trace. */
  parentSpanId: string;
  traceState: string;
  name: string;
  kind: number;
  attributes: Record<string, string | number>;
  hasFailed: boolean;
  durationMs: number;
}

export interface TraceCollector {
  url: string;
  spans: ReceivedSpan[];
  /** The bodies as they came. */
  text(): string;
  /** Answers 500 from now on, or does not any more. */
  fail(isFailing: boolean): void;
  stop(): Promise<void>;
}

const serverKinds = ["", "INTERNAL", "SERVER"];
export const kindOf = (span: ReceivedSpan): string | undefined => serverKinds[span.kind];

export async function startTraceCollector(): Promise<TraceCollector> {
  const spans: ReceivedSpan[] = [];
  const bodies: string[] = [];
  let isFailing = false;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      if (isFailing) return response.writeHead(400).end("{}");
      const body = Buffer.concat(chunks).toString("utf8");
      if (request.url !== "/v1/traces" || request.headers["content-type"] !== "application/json")
        return response.writeHead(404).end();
      bodies.push(body);
      spans.push(...spansOf(JSON.parse(body)));
      response.writeHead(200, { "content-type": "application/json" }).end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    text: () => bodies.join("\n"),
    fail(failing) {
      isFailing = failing;
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

interface SentAttribute {
  key: string;
  value: { stringValue?: string; intValue?: number };
}

interface SentSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  traceState?: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: SentAttribute[];
  status?: { code?: number };
}

const errorStatus = 2;

function spansOf(sent: { resourceSpans: { scopeSpans: { spans: SentSpan[] }[] }[] }): ReceivedSpan[] {
  return sent.resourceSpans
    .flatMap(({ scopeSpans }) => scopeSpans)
    .flatMap(({ spans }) => spans)
    .map((span) => ({
      traceId: span.traceId,
      spanId: span.spanId,
      parentSpanId: span.parentSpanId ?? "",
      traceState: span.traceState ?? "",
      name: span.name,
      kind: span.kind,
      attributes: Object.fromEntries(
        span.attributes.map(({ key, value }) => [key, value.stringValue ?? Number(value.intValue)]),
      ),
      hasFailed: span.status?.code === errorStatus,
      durationMs: Number((BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)) / 1_000_000n),
    }));
}
