/**
 * Which queue of its instance a run waits in, as the text that the journal keeps beside each entry: so what waits
 * need not be read to be put in order. A flow without a queue of its own has the instance's id; others
 * `<instance> <limit> <dedupe id> <flow>`. (Ids have no spaces, so the ordinary case is told apart at once.)
 */
import { createHash } from "node:crypto";
import type { Flow } from "../shared/definition.ts";
import { parseReference, type Reference } from "../shared/references.ts";

/** Of a flow. */
export interface FlowQueue {
  /** Runs at once; 0 for no limit of its own. */
  limit: number;
  /** Of equal ids one runs; null where the flow has none. */
  dedupe: Reference | null;
}

/** Read from an entry's key. */
export interface QueuePlace {
  instanceId: string;
  limit: number;
  /** "" where there is none. */
  dedupeId: string;
  flowStableKey: string;
}

const queues = new WeakMap<Flow, FlowQueue | null>();

/** Null where its runs wait for nothing but their instance's turn. */
export function queueOf(flow: Flow): FlowQueue | null {
  if (flow.queue === undefined) return null;
  let queue = queues.get(flow);
  if (queue === undefined) {
    queue = compile(flow.queue);
    queues.set(flow, queue);
  }
  return queue;
}

function compile(config: NonNullable<Flow["queue"]>): FlowQueue | null {
  const isOneAtATime = config.usesFifoQueue || config.singletonExecutions;
  const limit = config.concurrencyLimit ?? (isOneAtATime ? 1 : 0);
  const { dedupeIdReference: text } = config;
  const parsed = text === null ? null : parseReference(text, "request");
  const dedupe = parsed?.ok === true ? parsed.reference : null;
  return limit === 0 && dedupe === null ? null : { limit, dedupe };
}

/** `select`: reads the dedupe id. Null where the flow has no queue of its own. */
export function queueKeyOf(
  instanceId: string,
  flow: Flow,
  select: (reference: Reference) => string | undefined,
): string | null {
  const queue = queueOf(flow);
  if (queue === null) return null;
  const dedupeId = queue.dedupe === null ? undefined : select(queue.dedupe);
  return `${instanceId} ${queue.limit} ${dedupeId === undefined ? "" : shortId(dedupeId)} ${flow.stableKey}`;
}

/** Of any length and with any signs. */
const shortId = (id: string): string => createHash("sha256").update(id).digest("base64url").slice(0, 22);

/** Null for the key of what has no queue of its own. */
export function readQueueKey(key: string): QueuePlace | null {
  const instanceEnd = key.indexOf(" ");
  if (instanceEnd < 0) return null;
  const limitEnd = key.indexOf(" ", instanceEnd + 1);
  const dedupeEnd = key.indexOf(" ", limitEnd + 1);
  return {
    instanceId: key.slice(0, instanceEnd),
    limit: Number(key.slice(instanceEnd + 1, limitEnd)),
    dedupeId: key.slice(limitEnd + 1, dedupeEnd),
    flowStableKey: key.slice(dedupeEnd + 1),
  };
}
