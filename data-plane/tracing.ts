/**
 * OpenTelemetry spans of webhooks and runs, sent by OTLP over HTTP (JSON) where the settings name an address. They
 * are made on the main thread only; a webhook's is made when its ingress thread tells of its answer, so its run
 * may be told of first: ids that follow from the execution's make them one trace (traceContext.ts). Its queue is
 * bounded: what it does not take, or a collector does not, is dropped and counted.
 */
import { type Context, ROOT_CONTEXT, SpanKind, SpanStatusCode, TraceFlags, trace } from "@opentelemetry/api";
import { ExportResultCode, TraceState } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  AlwaysOnSampler,
  BasicTracerProvider,
  BatchSpanProcessor,
  ParentBasedSampler,
  type SpanExporter,
  type SpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import type { Logger } from "pino";
import { ConfigurationError, messageOf } from "../shared/errors.ts";
import { executionNodeId, newId, toNodeId } from "../shared/ids.ts";
import type { ExecutionTarget } from "../shared/reports.ts";
import type { AnsweredWebhook } from "./answeredWebhooks.ts";
import type { EntryHead } from "./entryHead.ts";
import type { EndedExecution } from "./executions.ts";
import type { EntryMeta } from "./journal/entry.ts";
import { newTraceId, type SentTrace, sentTrace, webhookSpanId } from "./traceContext.ts";

export interface RunTrace {
  /** W3C trace context of the run, for its code. */
  traceparent: string;
  end(ended: EndedExecution): void;
}

export interface Tracing {
  webhook(answered: AnsweredWebhook): void;
  begin(run: RunId, head: EntryHead, metaJson: string): RunTrace;
  stats(): TracingStats;
  /** Sends what waits; gives up after `timeoutMs`. */
  stop(timeoutMs: number): Promise<void>;
}

interface RunId {
  id: string;
  attempt: number;
  /** The ingress log that it came through; null for commands, and after a restart. */
  logName: string | null;
}

/** Spans since the start. */
export interface TracingStats {
  exported: number;
  /** That the collector did not take. */
  failed: number;
  /** That the queue had no room for. */
  dropped: number;
}

const queueMax = 8_192;
const batchMax = 512;
const sendEveryMs = 1_000;
const exportTimeoutMs = 10_000;
const urlPath = "/trigger/{token}";

export function startTracing(
  { traceEndpoint, dataPlaneName }: { traceEndpoint: string; dataPlaneName: string },
  logger: Logger,
): Tracing {
  const stats: TracingStats = { exported: 0, failed: 0, dropped: 0 };
  const exporter = countedExporter(newExporter(traceEndpoint), stats, logger);
  /** The webhook's span has the id that its run names as its parent; others have random ones. */
  let nextIds: { traceId: string; spanId: string } | null = null;
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes({
      "service.name": "switchyard-data-plane",
      "service.instance.id": dataPlaneName,
    }),
    // A sender that does not record its trace gets none of ours.
    sampler: new ParentBasedSampler({ root: new AlwaysOnSampler() }),
    idGenerator: {
      generateTraceId: () => nextIds?.traceId ?? newTraceId(newId()),
      generateSpanId: () => nextIds?.spanId ?? webhookSpanId(newId()),
    },
    spanProcessors: [boundedProcessor(exporter, stats)],
  });
  const tracer = provider.getTracer("switchyard");

  const webhook = (answered: AnsweredWebhook) => {
    const { executionId, sent, status, receivedAtMs } = answered;
    const id = executionId ?? newId();
    nextIds = { traceId: newTraceId(id), spanId: webhookSpanId(id) };
    const attributes = definedOf({
      "http.request.method": answered.method,
      "http.response.status_code": status,
      "url.path": urlPath,
      "http.request.body.size": answered.bodyBytes,
      "error.type": answered.errorCode,
      "switchyard.request_id": answered.requestId,
      "switchyard.execution_id": executionId && executionNodeId(executionId),
      "switchyard.integration_id": answered.integrationId && toNodeId("Integration", answered.integrationId),
      "switchyard.instance_id": answered.instanceId && toNodeId("Instance", answered.instanceId),
      "switchyard.flow": answered.flow,
    });
    const span = tracer.startSpan(
      `${answered.method} ${urlPath}`,
      { kind: SpanKind.SERVER, startTime: receivedAtMs, attributes },
      sent === null ? ROOT_CONTEXT : contextOf(sent, sent.parent.traceId, sent.parent.spanId),
    );
    nextIds = null;
    if ((status ?? 0) >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
    span.end(receivedAtMs + answered.durationMs);
  };

  const begin = ({ id, attempt, logName }: RunId, head: EntryHead, metaJson: string): RunTrace => {
    const isSent = logName !== null || head.invokeType === "WEBHOOK" || head.invokeType === "CROSS_FLOW";
    const sent = isSent ? sentTrace((JSON.parse(metaJson) as EntryMeta).request.headers) : null;
    const traceId = sent?.parent.traceId ?? newTraceId(id);
    // A command's run has no webhook before it, so it is the first of its trace.
    const parent = isSent ? contextOf(sent, traceId, webhookSpanId(id)) : ROOT_CONTEXT;
    nextIds = { traceId, spanId: webhookSpanId(newId()) };
    const span = tracer.startSpan("run", { startTime: Date.now() }, parent);
    nextIds = null;
    const { spanId, traceFlags } = span.spanContext();
    return {
      traceparent: `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`,
      end({ finish, plan }) {
        const target = plan === null ? null : (JSON.parse(plan.targetJson) as ExecutionTarget);
        const flow = target?.flowName ?? target?.preprocessFlowName ?? null;
        if (flow !== null) span.updateName(`run ${flow}`);
        span.setAttributes(
          definedOf({
            "switchyard.execution_id": executionNodeId(id),
            "switchyard.attempt": attempt,
            "switchyard.integration_id": target && toNodeId("Integration", target.integrationId),
            "switchyard.instance_id": target?.instanceId && toNodeId("Instance", target.instanceId),
            "switchyard.flow": flow,
            "error.type": finish.errorCode,
          }),
        );
        if (finish.status === "FAILED") span.setStatus({ code: SpanStatusCode.ERROR });
        span.end(finish.endedAtMs);
      },
    };
  };

  return {
    webhook,
    begin,
    stats: () => ({ ...stats }),
    async stop(timeoutMs) {
      const deadline = new Promise<void>((resolve) => setTimeout(resolve, timeoutMs).unref());
      await Promise.race([provider.shutdown().catch(() => {}), deadline]);
    },
  };
}

/** `sent`: null where the trace began here, and is recorded. */
function contextOf(sent: SentTrace | null, traceId: string, spanId: string): Context {
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: sent?.parent.isSampled === false ? TraceFlags.NONE : TraceFlags.SAMPLED,
    isRemote: true,
    ...(sent === null || sent.tracestate === "" ? {} : { traceState: new TraceState(sent.tracestate) }),
  });
}

function newExporter(endpoint: string): SpanExporter {
  if (!/^https?:$/.test(URL.parse(endpoint)?.protocol ?? ""))
    throw new ConfigurationError(
      `OTEL_EXPORTER_OTLP_ENDPOINT must be an address such as http://127.0.0.1:4318, but is "${endpoint}".`,
    );
  return new OTLPTraceExporter({
    url: `${endpoint.replace(/\/+$/, "")}/v1/traces`,
    timeoutMillis: exportTimeoutMs,
  });
}

function countedExporter(exporter: SpanExporter, stats: TracingStats, logger: Logger): SpanExporter {
  let isFailing = false;
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        const isTaken = result.code === ExportResultCode.SUCCESS;
        if (isTaken) stats.exported += spans.length;
        else stats.failed += spans.length;
        if (!isTaken && !isFailing)
          logger.warn({ reason: messageOf(result.error) }, "the collector does not take traces");
        isFailing = !isTaken;
        done(result);
      });
    },
    shutdown: () => exporter.shutdown(),
  };
}

/** Counts what the queue has no room for. */
function boundedProcessor(exporter: SpanExporter, stats: TracingStats): SpanProcessor {
  let waiting = 0;
  const batches = new BatchSpanProcessor(
    {
      export(spans, done) {
        waiting -= spans.length;
        exporter.export(spans, done);
      },
      shutdown: () => exporter.shutdown(),
    },
    {
      maxQueueSize: queueMax,
      maxExportBatchSize: batchMax,
      scheduledDelayMillis: sendEveryMs,
      exportTimeoutMillis: exportTimeoutMs,
    },
  );
  return {
    onStart: (span, context) => batches.onStart(span, context),
    onEnd(span) {
      if (waiting >= queueMax) {
        stats.dropped++;
        return;
      }
      waiting++;
      batches.onEnd(span);
    },
    forceFlush: () => batches.forceFlush(),
    shutdown: () => batches.shutdown(),
  };
}

type Attributes = Record<string, string | number>;

const definedOf = (attributes: Record<string, string | number | null | undefined>): Attributes =>
  Object.fromEntries(Object.entries(attributes).filter(([, value]) => value != null)) as Attributes;
