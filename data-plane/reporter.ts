/**
 * Sends what the journal has to report to the control plane, oldest first, in batches, and drops from the
 * journal what was confirmed. Reads from the journal only, so its memory does not grow with the backlog.
 */
import type { Logger } from "pino";
import { messageOf } from "../shared/errors.ts";
import { type ReportEvent, reportKey } from "../shared/reports.ts";
import type { Journal } from "./journal.ts";

export interface ReportAnswer {
  /** Keys of the events that are stored. */
  confirmed: string[];
  /** Sentences about those that were refused as malformed. */
  problems: string[];
}

export interface Reporter {
  /** Something new is in the journal. */
  notify(): void;
  /** Resolves when all that can be reported is, or after `timeoutMs`. */
  flush(timeoutMs: number): Promise<void>;
  stop(): Promise<void>;
  stats(): { confirmed: number; refused: number; failures: number };
}

export interface ReporterOptions {
  journal: Journal;
  send(events: ReportEvent[]): Promise<ReportAnswer>;
  logger: Logger;
}

const batchEventsMax = 500;
const batchBytesMax = 8 * 1024 * 1024;
const retryMs = { least: 100, most: 5_000 };

export function startReporter({ journal, send, logger }: ReporterOptions): Reporter {
  const stats = { confirmed: 0, refused: 0, failures: 0 };
  let after = 0;
  let isStopped = false;
  let isIdle = true;
  let hasNews = true;
  let wake: (() => void) | null = null;
  const idleWaiters = new Set<() => void>();

  const sleep = (ms: number | null) =>
    new Promise<void>((resolve) => {
      const timer = ms === null ? null : setTimeout(resolve, ms);
      wake = () => {
        if (timer !== null) clearTimeout(timer);
        resolve();
      };
    });

  const sendBatch = async (): Promise<boolean> => {
    const stored = await journal.reports(after, batchEventsMax, batchBytesMax);
    if (stored.length === 0) return false;
    const answer = await send(stored.map(({ event }) => event));
    const confirmedKeys = new Set(answer.confirmed);
    const confirmed = stored.filter(({ event }) => confirmedKeys.has(reportKey(event)));
    if (confirmed.length < stored.length) {
      // Kept in the journal for an operator to look at, and tried again after a restart.
      stats.refused += stored.length - confirmed.length;
      logger.error({ problems: answer.problems.slice(0, 5) }, "the control plane refused some reports");
    }
    await journal.confirm(confirmed.map(({ position }) => position));
    stats.confirmed += confirmed.length;
    after = stored.at(-1)!.position;
    return true;
  };

  const run = async () => {
    let failures = 0;
    while (!isStopped) {
      hasNews = false;
      try {
        isIdle = false;
        while (!isStopped && (await sendBatch())) failures = 0;
        isIdle = true;
        for (const done of idleWaiters) done();
        if (!hasNews && !isStopped) await sleep(null);
      } catch (error) {
        if (isStopped) return;
        failures++;
        stats.failures++;
        if (failures === 1)
          logger.warn({ reason: messageOf(error) }, "reports wait: the control plane does not take them");
        await sleep(Math.min(retryMs.most, retryMs.least * 2 ** Math.min(failures, 10)));
      }
    }
  };
  const running = run();

  return {
    notify() {
      hasNews = true;
      if (isIdle) wake?.();
    },
    async flush(timeoutMs) {
      if (isIdle && !hasNews) return;
      await new Promise<void>((resolve) => {
        const done = () => {
          clearTimeout(timer);
          idleWaiters.delete(done);
          resolve();
        };
        const timer = setTimeout(done, timeoutMs);
        idleWaiters.add(done);
        wake?.();
      });
    },
    async stop() {
      isStopped = true;
      wake?.();
      await running.catch(() => {});
    },
    stats: () => ({ ...stats }),
  };
}
