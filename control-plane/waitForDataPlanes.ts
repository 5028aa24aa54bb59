/** Bounded waits for what data planes do: serve a change, finish a command. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Services } from "./context.ts";
import { type CommandOutcome, commandOutcome } from "./store/commandQueue.ts";

/**
 * Waits until every live data plane serves the version, for `deployWaitMs` at most. Returns the names of those
 * that do not serve it yet.
 */
export function waitForDataPlanes({ feed, config }: Services, version: number): Promise<string[]> {
  return feed.waitForAcknowledgement(version, config.deployWaitMs);
}

/** Asking the table again and again also sees what another control plane of the same store has noted. */
const pollMs = 20;

/** The command's outcome, or null where it has not ended in time. */
export async function waitForCommand(
  { store }: Services,
  id: string,
  timeoutMs: number,
): Promise<CommandOutcome | null> {
  const untilMs = Date.now() + timeoutMs;
  while (true) {
    const outcome = await commandOutcome(store, id);
    if (outcome.isEnded) return outcome;
    if (Date.now() >= untilMs) return null;
    await sleep(pollMs);
  }
}
