/**
 * W3C trace context. The ids of a webhook's spans follow from its execution's id, so that the threads that see a
 * part of it each can name them without telling each other: the trace's (where the sender began none) is the
 * execution's id, the webhook's span's is its last half, which is random.
 */
export interface TraceParent {
  traceId: string;
  spanId: string;
  isSampled: boolean;
}

export interface SentTrace {
  /** The header as it was sent, checked. */
  traceparent: string;
  parent: TraceParent;
  /** Unchecked; "" where there is none. */
  tracestate: string;
}

type Headers = readonly (readonly [name: string, value: string])[];

const pattern = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const lengthMax = 512;

/** What the sender says; null where it says nothing, or nothing valid, or two things. */
export function sentTrace(headers: Headers): SentTrace | null {
  let traceparent: string | null = null;
  let tracestate = "";
  for (const [name, value] of headers) {
    if (name === "traceparent") {
      if (traceparent !== null) return null;
      traceparent = value.trim();
    } else if (name === "tracestate") tracestate = tracestate === "" ? value : `${tracestate},${value}`;
  }
  const parent = traceparent === null ? null : parseTraceparent(traceparent);
  return parent === null ? null : { traceparent: traceparent!, parent, tracestate };
}

function parseTraceparent(text: string): TraceParent | null {
  const [, version, traceId, spanId, flags, more] = (text.length <= lengthMax && pattern.exec(text)) || [];
  if (version === undefined || version === "ff" || (version === "00" && more !== undefined)) return null;
  if (/^0+$/.test(traceId!) || /^0+$/.test(spanId!)) return null;
  return { traceId: traceId!, spanId: spanId!, isSampled: (Number.parseInt(flags!, 16) & 1) === 1 };
}

/** `executionId`: a uuid. */
export const newTraceId = (executionId: string): string => executionId.replaceAll("-", "");
export const webhookSpanId = (executionId: string): string => newTraceId(executionId).slice(16);

/** Goes with an entry's meta to the thread that runs it. */
export const withTraceparent = (metaJson: string, traceparent: string): string =>
  `{"traceparent":"${traceparent}",${metaJson.slice(1)}`;
