/** A loop's items in turn. */
import { setImmediate as turn } from "node:timers/promises";
import type { RunCapture } from "./capture.ts";
import { RunError } from "./runError.ts";

/** What comes after a step: the next one, the end of the loop that it stands in, or the flow's. */
export type Onward = "next" | "break" | "end";

/** Runs the steps once, and says what the last of them gave. */
export type LoopBody = (index: number, currentItem: unknown) => Promise<{ onward: Onward; gave: unknown }>;

/** A loop whose steps never wait would keep the thread to itself: it lets others in after this time. */
const turnMs = 20;

/**
 * The list of what each iteration gave; one that left the loop early gives nothing. `items`: a list, or an object
 * with nothing but a length, whose items are their numbers.
 */
export async function runLoop(
  items: unknown,
  capture: RunCapture,
  body: LoopBody,
): Promise<{ results: unknown[]; onward: Onward }> {
  const list = Array.isArray(items) ? items : null;
  const { length } = items as { length: number };
  const results: unknown[] = [];
  let turnAtMs = performance.now() + turnMs;
  for (let index = 0; index < length; index++) {
    if (performance.now() > turnAtMs) {
      await turn();
      turnAtMs = performance.now() + turnMs;
    }
    // Whatever ended the run meanwhile has said why.
    if (capture.isClosed()) throw new RunError("FLOW_FAILED", "The run has ended.");
    const { onward, gave } = await body(index, list === null ? index : list[index]);
    if (onward === "break") break;
    results.push(gave);
    if (onward === "end") return { results, onward };
  }
  return { results, onward: "next" };
}
