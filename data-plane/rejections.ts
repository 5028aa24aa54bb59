/**
 * Refusals, kept for the organization to read. Those that can be replayed (409, 422) are durable before the
 * answer. The others are noted without holding up the answer, and sampled under attack: what is left out is
 * counted in the next one that is kept.
 */
import type { Logger } from "pino";
import { type ErrorCode, errorCatalogue, messageOf } from "../shared/errors.ts";
import { newId } from "../shared/ids.ts";
import type { RejectionEvent, StoredRequest } from "../shared/reports.ts";
import type { Journal } from "./journal.ts";
import type { Reporter } from "./reporter.ts";

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
  keep(facts: RejectionFacts, request: StoredRequest): Promise<void>;
  stats(): Record<string, number>;
}

/** A second's refusals of one kind (code and token) that are kept one by one. */
const keptEachSecondMax = 5;
/** All refusals of a second that are kept one by one. */
const keptAllEachSecondMax = 100;
const kindsMax = 10_000;

export function createRejections(journal: Journal, reporter: Reporter, logger: Logger): Rejections {
  let second = 0;
  let keptThisSecond = 0;
  let kinds = new Map<string, { kept: number; leftOut: number }>();
  const counts: Record<string, number> = {};

  const store = async (facts: RejectionFacts, count: number, request: StoredRequest | null) => {
    const { token: _token, ...rest } = facts;
    const event: RejectionEvent = {
      ...rest,
      kind: "rejection",
      id: newId(),
      atMs: Date.now(),
      status: errorCatalogue[facts.code].status,
      count,
      request,
    };
    await journal.report(event, false);
    reporter.notify();
  };

  /** How many refusals the one at hand stands for, or 0 where it is left out. */
  const weigh = (facts: RejectionFacts): number => {
    const now = Math.floor(Date.now() / 1000);
    if (now !== second) {
      second = now;
      keptThisSecond = 0;
      const waiting = [...kinds].filter(([, kind]) => kind.leftOut > 0).slice(-kindsMax);
      kinds = new Map(waiting.map(([key, kind]) => [key, { kept: 0, leftOut: kind.leftOut }]));
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
    const count = kind.leftOut + 1;
    kind.leftOut = 0;
    return count;
  };

  return {
    note(facts) {
      counts[facts.code] = (counts[facts.code] ?? 0) + 1;
      const count = weigh(facts);
      if (count === 0) return;
      store(facts, count, null).catch((error) =>
        logger.warn({ code: facts.code, reason: messageOf(error) }, "a refusal was not kept"),
      );
    },
    keep(facts, request) {
      counts[facts.code] = (counts[facts.code] ?? 0) + 1;
      return store(facts, 1, request);
    },
    stats: () => ({ ...counts }),
  };
}
