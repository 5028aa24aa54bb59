/** What a step's error handling makes of what it throws: tried again, gone past, or the end of the run. */
import { setTimeout as wait } from "node:timers/promises";
import type { StepErrorConfig } from "../../shared/definition.ts";
import type { RunCapture } from "./capture.ts";
import { BundleError } from "./modules.ts";
import { RunError } from "./runError.ts";

export type Tried<Result> = { ok: true; result: Result } | { ok: false; error: unknown; isIgnored: boolean };

/** Calls as often as the handling says; each failure that is followed by another call stands in the log. */
export async function tryStep<Result>(
  config: StepErrorConfig | undefined,
  capture: RunCapture,
  call: () => Promise<Result>,
): Promise<Tried<Result>> {
  const retries = config?.errorHandlerType === "retry" ? config.maxAttempts : 0;
  for (let retry = 0; ; retry++) {
    try {
      return { ok: true, result: await call() };
    } catch (error) {
      if (retry >= retries || isForGood(error) || capture.isClosed())
        return { ok: false, error, isIgnored: isIgnored(config, error) };
      const seconds = delaySeconds(config!, retry);
      const what = `Try ${retry + 1} of ${retries + 1} failed, the next one is in ${seconds} s: ${thrownText(error)}`;
      capture.log("WARN", [what]);
      if (seconds > 0) await wait(seconds * 1000);
      // Its time was over while it waited: nothing may run any more.
      if (capture.isClosed()) return { ok: false, error, isIgnored: false };
    }
  }
}

/** Flow code may throw anything: a text, a plain object, an error whose message is no text. */
export function thrownText(error: unknown): string {
  try {
    const message = (error as { message?: unknown } | null | undefined)?.message;
    if (typeof message === "string" && message !== "") return message;
    if (error instanceof Error) return error.name;
    const text = typeof error === "object" && error !== null ? JSON.stringify(error) : String(error);
    return text.slice(0, thrownCharactersMax);
  } catch {
    return "something that cannot be shown was thrown";
  }
}

const thrownCharactersMax = 4096;

const delaySeconds = (config: StepErrorConfig, retry: number): number =>
  config.delaySeconds * (config.usesExponentialBackoff ? 2 ** retry : 1);

/** A component that is not there, and a bound that was passed, stay what they are. */
const isForGood = (error: unknown): boolean =>
  error instanceof BundleError || (error instanceof RunError && boundCodes.has(error.code));

const boundCodes: ReadonlySet<string> = new Set(["BUNDLE_INVALID", "RESULT_TOO_LARGE"]);

const isIgnored = (config: StepErrorConfig | undefined, error: unknown): boolean =>
  !isForGood(error) &&
  (config?.errorHandlerType === "ignore" ||
    (config?.errorHandlerType === "retry" && config.ignoreFinalError));
