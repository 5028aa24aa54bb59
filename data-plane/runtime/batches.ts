/** What a batched trigger gave, split into what the executions to come are to work on. */
import type { Flow } from "../../shared/definition.ts";
import type { Invocation } from "../../shared/invocations.ts";
import type { ResolvedBatches } from "./messages.ts";
import { functionOf, type LoadedAction } from "./modules.ts";
import { RunError } from "./runError.ts";

export interface Batching {
  batchSize: number;
  concurrentBatchLimit: number | null;
}

/** Of one page. */
export const batchesMax = 10_000;
/** Of the items of one page: they are written in one record. */
const pageBytesMax = 8 * 1024 * 1024;
/** Of one call of a trigger, by request or schedule. */
export const pagesMax = 10_000;

/** As the flow is configured; a trigger that gives nothing but lists is batched where nobody says so, too. Null for others. */
export function batchingOf(flow: Flow, trigger: LoadedAction): Batching | null {
  if (flow.batch !== undefined) return flow.batch;
  const wire = trigger as WireTrigger;
  if (wire.triggerResolverSupport !== "required") return null;
  return {
    batchSize: wholeOr(wire.triggerResolverDefaultBatchSize, 1),
    concurrentBatchLimit: wholeOr(wire.triggerResolverDefaultConcurrentBatchLimit, 0) || null,
  };
}

interface WireTrigger {
  triggerResolverSupport?: unknown;
  triggerResolverDefaultBatchSize?: unknown;
  triggerResolverDefaultConcurrentBatchLimit?: unknown;
}

const wholeOr = (value: unknown, fallback: number): number =>
  Number.isInteger(value) && (value as number) >= 1 ? (value as number) : fallback;

export interface Returned {
  trigger: LoadedAction;
  context: Record<string, unknown>;
  /** What the trigger returned, with its payload. */
  result: object;
  bytesMax: number;
}

/** Null where the trigger has no function that finds its items. Throws where they are none, or too many. */
export async function resolveBatches(
  { batchSize, concurrentBatchLimit }: Batching,
  invocation: Invocation | undefined,
  { trigger, context, result, bytesMax }: Returned,
): Promise<ResolvedBatches | null> {
  const isDeploy = isFirstSync(invocation, trigger);
  const resolveItems = functionOf(trigger, isDeploy ? "resolveOnDeployItems" : "resolveTriggerItems");
  if (resolveItems === null) return null;
  const items = await resolveItems(context, result);
  if (!Array.isArray(items)) throw limitError("The trigger's resolveItems returned no list.");
  const nextState = await functionOf(
    trigger,
    isDeploy ? "getOnDeployNextPaginationState" : "getNextPaginationState",
  )?.(context, result);
  const page = invocation?.kind === "page" ? invocation.page : 0;
  if (nextState != null && page + 1 >= pagesMax)
    throw limitError(`The trigger has more than ${pagesMax} pages: it seems to give a next one for ever.`);
  const { branch } = result as { branch?: unknown };
  return {
    batchJsons: split(items, batchSize, Math.min(bytesMax, pageBytesMax)),
    paginationStateJson: nextState == null ? null : JSON.stringify(nextState),
    isDeploy,
    concurrentBatchLimit,
    branch: typeof branch === "string" ? branch : null,
  };
}

/** Whether the call is one of `onDeployPerform`. */
export function isFirstSync(invocation: Invocation | undefined, trigger: LoadedAction): boolean {
  const isAsked = invocation?.kind === "deploy" || (invocation?.kind === "page" && invocation.isDeploy);
  return isAsked && functionOf(trigger, "onDeployPerform") !== null;
}

/** One by one where a batch has one item, as its flow expects it. */
function split(items: readonly unknown[], batchSize: number, bytesMax: number): string[] {
  const count = Math.ceil(items.length / batchSize);
  if (count > batchesMax)
    throw limitError(
      `The trigger gave ${items.length} items, which are ${count} batches of ${batchSize}: ${batchesMax} are the most that one page may have.`,
    );
  const texts: string[] = [];
  let bytes = 0;
  for (let at = 0; at < items.length; at += batchSize) {
    const batch = batchSize === 1 ? items[at] : items.slice(at, at + batchSize);
    const text = JSON.stringify(batch) ?? "null";
    bytes += Buffer.byteLength(text);
    if (bytes > bytesMax)
      throw limitError(
        `The items of the trigger's page are larger than ${bytesMax} bytes together: give fewer at once, and a next page.`,
      );
    texts.push(text);
  }
  return texts;
}

const limitError = (message: string): RunError => new RunError("BATCH_INVALID", message);
