/**
 * The executions that follow from one whose trigger gave a list: one for each batch, and one for the trigger's next page.
 *
 * What they are stands in the event that ends the execution, so that it is in the journal as soon as that end is, and
 * only then: a run that is repeated leaves nothing twice. From there their entries are made, at once and, after a
 * crash, before the event is reported; their ids follow from it, so an entry that is there is not made again. The
 * control plane gets the event without it.
 */
import type { Logger } from "pino";
import { messageOf } from "../shared/errors.ts";
import { derivedId } from "../shared/ids.ts";
import type { Invocation } from "../shared/invocations.ts";
import type { EntryMeta } from "./journal/entry.ts";
import type { StoredReport } from "./journal/journal.ts";
import type { Plan } from "./plans.ts";
import { queueKeyOf, queueOf } from "./queueKeys.ts";
import type { ReportAnswer } from "./reporter.ts";
import type { ResolvedBatches } from "./runtime/messages.ts";

export interface FanOut {
  /** Of the execution that it follows from: what is the same for all. */
  meta: EntryMeta;
  /** Base64, for the next page; null where there is none, or no next page. */
  body: string | null;
  queueKey: string | null;
  rootId: string;
  page: number;
  endedAtMs: number;
  batches: ResolvedBatches;
}

/** What an event says of it, as text. */
export function fanOutOf(
  plan: Plan,
  meta: EntryMeta,
  body: Uint8Array | null,
  batches: ResolvedBatches,
  endedAtMs: number,
): FanOut {
  const { invocation } = meta.request;
  const isFurther = invocation?.kind === "page";
  const rootId = isFurther ? invocation.rootId : meta.id;
  const hasNext = batches.paginationStateJson !== null;
  return {
    // Of one that a preprocess flow has routed: where to.
    meta: { ...meta, route: plan.route },
    body: hasNext && body !== null ? Buffer.from(body).toString("base64") : null,
    queueKey: queueKey(plan, rootId, batches.concurrentBatchLimit),
    rootId,
    page: isFurther ? invocation.page : 0,
    endedAtMs,
    batches,
  };
}

/**
 * The next page waits in the same queue, behind the batches of the one before: so what waits of a long list is one page
 * at a time.
 */
function queueKey(plan: Plan, rootId: string, limit: number | null): string | null {
  const { instanceId } = plan.route;
  const { flow } = plan.context.code;
  if (instanceId === null) return null;
  const ownLimit = queueOf(flow)?.limit ?? 0;
  if (limit === null || (ownLimit > 0 && ownLimit <= limit))
    return queueKeyOf(instanceId, flow, () => undefined);
  return `${instanceId} ${limit}  batches of ${rootId}`;
}

const mark = ',"fanOut":"';

/** The last member of an event's JSON. A text in a text, so that its mark stands in the event once. */
export const fanOutMember = (fanOut: string): string => `,"fanOut":${JSON.stringify(fanOut)}`;

/** Nearly all events end with an object or null, so they are told apart at once. */
const hasFanOut = (eventJson: string): boolean => eventJson.endsWith('"}') && eventJson.includes(mark);

function readFanOut(eventJson: string): FanOut {
  const at = eventJson.lastIndexOf(mark);
  return JSON.parse(JSON.parse(eventJson.slice(at + mark.length - 1, -1))) as FanOut;
}

const withoutFanOut = (eventJson: string): string => `${eventJson.slice(0, eventJson.lastIndexOf(mark))}}`;

export interface FanOuts {
  /** The event of this key is in the journal. */
  begin(key: string, fanOut: FanOut): void;
  /** Sends events to the control plane, once the executions are there that follow from them. */
  send(events: readonly StoredReport[], report: Send): Promise<ReportAnswer>;
}

type Send = (events: readonly Pick<StoredReport, "key" | "json">[]) => Promise<ReportAnswer>;

export interface FanOutsOptions {
  /** Resolves when the entry is on disk, or was there already. */
  append(meta: EntryMeta, body: Uint8Array | null): Promise<unknown>;
  logger: Logger;
}

const appendedAtOnceMax = 200;
/** The journal has no room, and gets some as other events are sent. */
const heldPauseMs = 500;

interface Expansion {
  /** Places of the entries that are in the journal, or have been: where it had no room for all, it goes on with the others. */
  done: Set<number>;
  working: Promise<boolean> | null;
}

export function createFanOuts({ append, logger }: FanOutsOptions): FanOuts {
  /** Those that were begun in this process, until their event is confirmed. */
  const begun = new Map<string, Expansion>();

  /** Resolves with whether all entries are in the journal. */
  function expand(key: string, read: () => FanOut): Promise<boolean> {
    let expansion = begun.get(key);
    if (expansion === undefined) {
      expansion = { done: new Set(), working: null };
      begun.set(key, expansion);
    }
    const { done } = expansion;
    expansion.working ??= appendAll(read(), done).catch((error: unknown) => {
      logger.warn({ key, reason: messageOf(error) }, "batches wait: the journal does not take them");
      expansion.working = null;
      return false;
    });
    return expansion.working;
  }

  async function appendAll(fanOut: FanOut, done: Set<number>): Promise<boolean> {
    const entries = entriesOf(fanOut);
    for (let at = 0; at < entries.length; at += appendedAtOnceMax) {
      const some = entries
        .slice(at, at + appendedAtOnceMax)
        .map((entry, index) => ({ entry, place: at + index }));
      const ends = await Promise.allSettled(
        some
          .filter(({ place }) => !done.has(place))
          .map(async ({ entry: { meta, body }, place }) => {
            await append(meta, body);
            done.add(place);
          }),
      );
      const failed = ends.find((end) => end.status === "rejected");
      if (failed !== undefined) throw failed.reason;
    }
    return true;
  }

  async function sendExpanded(events: readonly StoredReport[], report: Send): Promise<ReportAnswer> {
    const ready: Parameters<Send>[0][number][] = [];
    const held: StoredReport[] = [];
    for (const event of events) {
      if (!hasFanOut(event.json)) {
        ready.push(event);
        continue;
      }
      const isThere = await expand(event.key, () => readFanOut(event.json));
      if (isThere) ready.push({ key: event.key, json: withoutFanOut(event.json) });
      else held.push(event);
    }
    const answer = ready.length === 0 ? { confirmed: [], problems: [] } : await report(ready);
    for (const key of answer.confirmed) begun.delete(key);
    if (held.length === 0) return answer;
    await new Promise((resolve) => setTimeout(resolve, heldPauseMs));
    return { ...answer, held };
  }

  return {
    begin(key, fanOut) {
      void expand(key, () => fanOut);
    },
    // Most reports have nothing of it.
    send: (events, report) =>
      events.some(({ json }) => hasFanOut(json)) ? sendExpanded(events, report) : report(events),
  };
}

/** The next page comes last: it runs when the batches before it have begun. */
function entriesOf(fanOut: FanOut): { meta: EntryMeta; body: Uint8Array | null }[] {
  const { batches, body, rootId, page } = fanOut;
  const { isDeploy, branch, batchJsons, paginationStateJson } = batches;
  const entries = batchJsons.map((json, index) => ({
    meta: metaOf(fanOut, { kind: "batch", isDeploy, rootId, page, index, branch }, index),
    body: Buffer.from(json, "utf8"),
  }));
  if (paginationStateJson === null) return entries;
  const invocation: Invocation = { kind: "page", isDeploy, rootId, page: page + 1, paginationStateJson };
  const next = {
    meta: metaOf(fanOut, invocation, batchJsons.length),
    body: body === null ? null : Buffer.from(body, "base64"),
  };
  return [...entries, next];
}

/** Of a batch, the body is JSON, whatever the trigger was called with. */
function metaOf(
  { meta, queueKey, rootId, endedAtMs }: FanOut,
  invocation: Invocation,
  place: number,
): EntryMeta {
  const { retry: _retry, queueKey: _queueKey, replayOf: _replayOf, route, request, ...rest } = meta;
  const { headers } = request;
  return {
    ...rest,
    id: derivedId(endedAtMs, `${meta.id} ${place}`, place),
    replayOf: null,
    invokedBy: rootId,
    isWaiting: false,
    ...(queueKey === null ? {} : { queueKey }),
    route,
    request: {
      ...request,
      headers: invocation.kind === "batch" ? asJson(headers) : headers,
      receivedAtMs: endedAtMs,
      invocation,
    },
  };
}

const asJson = (headers: EntryMeta["request"]["headers"]): EntryMeta["request"]["headers"] => [
  ...headers.filter(([name]) => !/^content-(type|length|encoding)$/i.test(name)),
  ["Content-Type", "application/json"],
];
