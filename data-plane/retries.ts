/** Whether a run that failed is run again: later, as an execution of its own, which the control plane starts. */
import { newId } from "../shared/ids.ts";
import type { ExecutionFinish, Retrying } from "../shared/reports.ts";
import { retryDelayMs } from "../shared/retries.ts";
import type { EntryHead } from "./entryHead.ts";
import type { Plan } from "./plans.ts";
import type { RunOutcome } from "./runs.ts";

type Retry = NonNullable<ExecutionFinish["retry"]>;

/**
 * The retry of a flow part's outcome; empty where there is none. Its execution's id is chosen here, so that the
 * event that says so may be told any number of times.
 */
export function retryAfter(
  plan: Plan,
  head: EntryHead,
  outcome: Pick<RunOutcome, "status" | "errorCode" | "endedAtMs">,
  answerStatus: number | null,
): { retry?: Retry } {
  const { retry } = plan.context.code.flow;
  const number = (head.retry?.number ?? 0) + 1;
  if (outcome.status !== "FAILED" || retry === undefined || number > retry.maxAttempts) return {};
  // What was canceled is not to come back, and who tests looks at the outcome.
  if (outcome.errorCode === "CANCELED") return {};
  // Who deploys or removes the instance waits for the outcome.
  if (outcome.errorCode === "HOOK_FAILED") return {};
  if (head.invokeType === "TEST" || head.invokeType === "TEST_ENDPOINT") return {};
  // Its sender was told that its trigger refused it, and so is to send it again, or not.
  if (outcome.errorCode === "TRIGGER_FAILED" && answerStatus !== null && answerStatus >= 400) return {};
  return { retry: { executionId: newId(), dueAtMs: outcome.endedAtMs + retryDelayMs(retry, number) } };
}

/** What an event says of the retries; null where there are none. */
export function retryingOf(
  plan: Plan | null,
  { retry }: EntryHead,
  uniqueRequestId: string | null,
): Retrying | null {
  const most = plan?.part === "FLOW" ? (plan.context.code.flow.retry?.maxAttempts ?? 0) : 0;
  if (most === 0 && retry === undefined) return null;
  return { of: retry?.of ?? null, number: retry?.number ?? 0, most, uniqueRequestId };
}
