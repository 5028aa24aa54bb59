/**
 * Refusals, kept for the organization to read. Those that can be replayed (409, 422) are durable before the
 * answer. The others are noted without holding up the answer, handed on in batches, and sampled under attack:
 * what is left out is counted in the next one that is kept.
 */
import { type ErrorCode, errorCatalogue } from "../shared/errors.ts";
import { newId } from "../shared/ids.ts";
import type { RejectionEvent, StoredRequest } from "../shared/reports.ts";
import { type JournalBounds, weightOf } from "./journal/bounds.ts";
import { JournalFullError } from "./journal/errors.ts";
import type { Log } from "./journal/log.ts";

export interface RejectionFacts {
  code: ErrorCode;
  reason: string;
  requestId: string;
  method: string;
  remoteAddress: string;
  /** What it was sent to; refusals of the same code and token are sampled together. */
  token: string;
  integrationId: string | null;
  instanceId: string | null;
  customerId: string | null;
}

export interface Rejections {
  /** Notes a refusal; never waits, never fails. */
  note(facts: RejectionFacts): void;
  /** Keeps the whole request. Resolves when it is on disk; rejects with `JournalFullError`. */
  keep(facts: RejectionFacts, request: Omit<StoredRequest, "body">, body: Buffer): Promise<void>;
  /** Hands on what waits. */
  flush(): void;
}

/** A second's refusals of one kind (code and token) that are kept one by one. */
const keptEachSecondMax = 5;
/** All refusals of a second that are kept one by one: so little that what waits is always small. */
const keptAllEachSecondMax = 100;
const kindsMax = 10_000;
const handOnAfterMs = 50;

export function createRejections(options: {
  log: Pick<Log, "appendRejection">;
  bounds: JournalBounds;
  send(events: RejectionEvent[]): void;
}): Rejections {
  const { log, bounds } = options;
  let second = 0;
  let keptThisSecond = 0;
  let kinds = new Map<string, { kept: number; leftOut: number }>();
  let waiting: RejectionEvent[] = [];

  /** How many refusals the one at hand stands for, or 0 where it is left out. */
  const weigh = (facts: RejectionFacts): number => {
    const now = Math.floor(Date.now() / 1000);
    if (now !== second) {
      second = now;
      keptThisSecond = 0;
      const leftOut = [...kinds].filter(([, kind]) => kind.leftOut > 0).slice(-kindsMax);
      kinds = new Map(leftOut.map(([key, kind]) => [key, { kept: 0, leftOut: kind.leftOut }]));
    }
    const key = `${facts.code}/${facts.token.length > 64 ? "" : facts.token}`;
    const kind = kinds.get(key) ?? { kept: 0, leftOut: 0 };
    if (kinds.size < kindsMax) kinds.set(key, kind);
    if (kind.kept >= keptEachSecondMax || keptThisSecond >= keptAllEachSecondMax) {
      kind.leftOut++;
      return 0;
    }
    kind.kept++;
    keptThisSecond++;
    const standsFor = kind.leftOut + 1;
    kind.leftOut = 0;
    return standsFor;
  };

  const flush = () => {
    if (waiting.length > 0) options.send(waiting);
    waiting = [];
  };
  return {
    note(facts) {
      const standsFor = weigh(facts);
      if (standsFor === 0) return;
      if (waiting.length === 0) setTimeout(flush, handOnAfterMs).unref();
      waiting.push(eventOf(facts, standsFor, null));
    },
    keep(facts, request, body) {
      const event = eventOf(facts, 1, { ...request, body: null });
      const json = JSON.stringify(event);
      const weight = weightOf(json.length, body.length);
      return new Promise((resolve, reject) => {
        if (!bounds.tryReserve(weight)) return reject(new JournalFullError("the journal is full"));
        const rejection = { id: event.id, json, body: body.length === 0 ? null : body };
        log.appendRejection(rejection, (error) => {
          if (error === null) return resolve();
          bounds.release(1, weight);
          reject(error);
        });
      });
    },
    flush,
  };
}

function eventOf(
  { token: _token, ...facts }: RejectionFacts,
  count: number,
  request: StoredRequest | null,
): RejectionEvent {
  const { status } = errorCatalogue[facts.code];
  return { ...facts, kind: "rejection", id: newId(), atMs: Date.now(), status, count, request };
}
