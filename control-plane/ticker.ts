/** Work that is done again and again: one step at a time, each of which says when the next one is wanted. */
import type { Logger } from "pino";
import { messageOf } from "../shared/errors.ts";

export interface Ticker {
  /** There may be work before its time. */
  wake(): void;
  /** Begins nothing more; resolves when the step under way has ended. */
  stop(): Promise<void>;
}

export interface TickerOptions {
  /** Resolves with the milliseconds until the next step; null: when it is woken. */
  step(): Promise<number | null>;
  log: Logger;
  /** What is logged where a step fails. */
  failure: string;
  afterFailureMs: number;
  /** Before the first step; 0 by default. */
  firstMs?: number;
  /** After a step during which it was woken; 0 by default. */
  wokenMs?: number;
}

export function startTicker(options: TickerOptions): Ticker {
  const { step, log, failure, afterFailureMs, firstMs = 0, wokenMs = 0 } = options;
  let timer: NodeJS.Timeout | undefined;
  let working: Promise<void> | null = null;
  let isWoken = false;
  let isStopped = false;

  const work = async (): Promise<void> => {
    isWoken = false;
    let nextMs: number | null;
    try {
      nextMs = await step();
    } catch (error) {
      log.warn({ reason: messageOf(error) }, failure);
      nextMs = afterFailureMs;
    }
    working = null;
    if (isWoken) schedule(wokenMs);
    else if (nextMs !== null) schedule(nextMs);
  };

  const schedule = (ms: number): void => {
    if (isStopped) return;
    clearTimeout(timer);
    timer = setTimeout(() => {
      working = work();
    }, ms);
    timer.unref();
  };
  schedule(firstMs);

  return {
    wake() {
      isWoken = true;
      if (working === null) schedule(0);
    },
    async stop() {
      isStopped = true;
      clearTimeout(timer);
      await working;
    },
  };
}
