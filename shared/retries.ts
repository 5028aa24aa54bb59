/** When a run that failed is run again. */
import type { RetryConfig } from "./definition.ts";

const minuteMs = 60_000;
/** Where a doubled delay would be longer, it is this long. */
export const retryDelayMaxMs = 24 * 60 * minuteMs;

/** How long after the failure the retry of this number (from 1) is due. */
export function retryDelayMs(
  { delayMinutes, usesExponentialBackoff }: Pick<RetryConfig, "delayMinutes" | "usesExponentialBackoff">,
  number: number,
): number {
  const factor = usesExponentialBackoff ? 2 ** (number - 1) : 1;
  return Math.min(retryDelayMaxMs, delayMinutes * minuteMs * factor);
}
