/**
 * Sends what the journal has to report to the control plane, oldest first, in batches, and drops from the
 * journal what was confirmed. Reads from the journal only, so its memory does not grow with the backlog.
 *
 * Two batches may be on their way, so that one is stored while the next is put together. What comes when nothing is
 * on its way waits a moment for company: a request costs both planes as much as some twenty events do.
 * While the configuration is asked for, which whoever sends next is served by, reports make way: one short batch at a
 * time.
 */
import type { Logger } from "pino";
import { messageOf } from "../shared/errors.ts";
import { createFifo } from "./fifo.ts";
import type { Journal, StoredReport } from "./journal/journal.ts";

export interface ReportAnswer {
  /** Keys of the events that are stored. */
  confirmed: readonly string[];
  /** Sentences about those that were refused as malformed. */
  problems: readonly string[];
  /** Those that are to be sent later. */
  held?: readonly StoredReport[];
}

export interface Reporter {
  /** Something new is in the journal. */
  notify(): void;
  /** Resolves when all that can be reported is, or after `timeoutMs`. */
  flush(timeoutMs: number): Promise<void>;
  stop(): Promise<void>;
  stats(): ReporterStats;
}

export interface ReporterStats {
  confirmed: number;
  /** By the control plane, as malformed. */
  refused: number;
  /** Batches that could not be delivered. */
  failures: number;
  /** Since when the oldest event waits; about. */
  lagMs: number;
}

export interface ReporterOptions {
  journal: Pick<Journal, "reports" | "confirm" | "putBack">;
  /** The events' JSON texts. */
  send(events: readonly StoredReport[]): Promise<ReportAnswer>;
  /** Whether something that counts more is asked of the control plane now. */
  makesWay(): boolean;
  logger: Logger;
}

const batchEventsMax = 500;
const batchBytesMax = 8 * 1024 * 1024;
const batchesAtOnce = 2;
const shortBatchEventsMax = 50;
const companyMs = 20;
const retryMs = { least: 100, most: 5_000 };
/** Should a notice get lost; costs nothing. */
const lookMs = 1_000;
/** After so many failures in a row it is looked whether an event is what keeps the others. */
const failuresBeforeCheck = 3;
const markEveryMs = 100;
const marksMax = 10_000;

export function startReporter({ journal, send, makesWay, logger }: ReporterOptions): Reporter {
  const counts = { confirmed: 0, refused: 0, failures: 0 };
  /** How many events there had been at a time, for the lag. */
  const marks = createFifo<{ count: number; atMs: number }>();
  let noticed = 0;
  let settled = 0;
  let lastMarkMs = 0;
  let underWay = 0;
  let failuresInRow = 0;
  let timer: NodeJS.Timeout | null = null;
  let isWaitingToRetry = false;
  let isStopped = false;
  const idleWaiters = new Set<() => void>();
  const looking = setInterval(() => schedule(0), lookMs);
  looking.unref();

  function schedule(ms: number): void {
    if (timer !== null || isStopped) return;
    timer = setTimeout(() => {
      timer = null;
      isWaitingToRetry = false;
      sendMore();
    }, ms);
  }

  function sendMore(): void {
    while (!isWaitingToRetry && !isStopped) {
      const isShort = makesWay();
      if (underWay >= (isShort ? 1 : batchesAtOnce)) break;
      const most = isShort ? shortBatchEventsMax : batchEventsMax;
      const batch = journal.reports(most, batchBytesMax);
      if (batch.length === 0) break;
      underWay++;
      void deliver(batch).finally(() => {
        underWay--;
        sendMore();
      });
      // A second one only where it is worth it.
      if (batch.length < most) break;
    }
    if (underWay > 0 || timer !== null) return;
    while (marks.size() > 0) marks.shift();
    settled = noticed;
    for (const done of idleWaiters) done();
  }

  async function deliver(batch: StoredReport[]): Promise<void> {
    try {
      settle(batch, await send(batch));
      failuresInRow = 0;
    } catch (error) {
      failuresInRow++;
      counts.failures++;
      journal.putBack(failuresInRow === failuresBeforeCheck ? readable(batch) : batch);
      if (isStopped) return;
      if (failuresInRow === 1)
        logger.warn({ reason: messageOf(error) }, "reports wait: the control plane does not take them");
      isWaitingToRetry = true;
      if (timer !== null) clearTimeout(timer);
      timer = null;
      schedule(Math.min(retryMs.most, retryMs.least * 2 ** Math.min(failuresInRow, 10)));
    }
  }

  function settle(whole: StoredReport[], { confirmed, problems, held = [] }: ReportAnswer): void {
    const batch = held.length === 0 ? whole : whole.filter((report) => !held.includes(report));
    if (held.length > 0) journal.putBack([...held]);
    const isWhole =
      confirmed.length === batch.length && batch.every(({ key }, index) => key === confirmed[index]);
    let stored = batch;
    if (!isWhole) {
      const keys = new Set(confirmed);
      stored = batch.filter(({ key }) => keys.has(key));
      // Kept in the journal for an operator to look at, and tried again after a restart.
      counts.refused += batch.length - stored.length;
      if (stored.length < batch.length)
        logger.error({ problems: problems.slice(0, 5) }, "the control plane refused some reports");
    }
    journal.confirm(stored);
    counts.confirmed += stored.length;
    settled += batch.length;
    for (let mark = marks.peek(); mark !== undefined && mark.count <= settled; mark = marks.peek())
      marks.shift();
  }

  /** Those that are JSON at all: their parts were written where flow code runs. */
  function readable(batch: StoredReport[]): StoredReport[] {
    return batch.filter(({ key, json }) => {
      try {
        JSON.parse(json);
        return true;
      } catch (error) {
        counts.refused++;
        logger.error({ key, reason: messageOf(error) }, "a record can't be reported: it is malformed");
        return false;
      }
    });
  }

  schedule(0);
  return {
    notify() {
      noticed++;
      const nowMs = Date.now();
      const isDue = marks.size() === 0 || nowMs - lastMarkMs >= markEveryMs;
      if (isDue && marks.size() < marksMax) {
        lastMarkMs = nowMs;
        marks.push({ count: noticed, atMs: nowMs });
      }
      if (timer === null && underWay < batchesAtOnce) schedule(companyMs);
    },
    async flush(timeoutMs) {
      await new Promise<void>((resolve) => {
        const done = () => {
          clearTimeout(giveUp);
          idleWaiters.delete(done);
          resolve();
        };
        const giveUp = setTimeout(done, timeoutMs);
        idleWaiters.add(done);
        if (isWaitingToRetry) return;
        if (timer !== null) clearTimeout(timer);
        timer = null;
        sendMore();
      });
    },
    async stop() {
      isStopped = true;
      clearInterval(looking);
      if (timer !== null) clearTimeout(timer);
      timer = null;
      for (const untilMs = Date.now() + retryMs.most; underWay > 0 && Date.now() < untilMs; )
        await new Promise((resolve) => setTimeout(resolve, 10));
    },
    stats: () => ({ ...counts, lagMs: lagMs() }),
  };

  function lagMs(): number {
    const oldest = marks.peek();
    return oldest === undefined ? 0 : Date.now() - oldest.atMs;
  }
}
