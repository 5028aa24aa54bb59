/** The id that tells one request of a retried flow from another, as its trigger's results hold it. */
import type { Flow } from "../../shared/definition.ts";
import { parseReference, type Reference, routingText, selectFromResult } from "../../shared/references.ts";

const lengthMax = 1_000;
/** By flow; null where it names no id, or not in a way that selects anything. */
const references = new WeakMap<Flow, Reference | null>();

/** Empty where the flow names none, or the results have none. */
export function requestIdOf(flow: Flow, results: unknown): { uniqueRequestId?: string } {
  if (flow.retry === undefined || flow.retry.uniqueRequestIdReference === null) return {};
  let reference = references.get(flow);
  if (reference === undefined) {
    const parsed = parseReference(flow.retry.uniqueRequestIdReference, "result");
    reference = parsed.ok ? parsed.reference : null;
    references.set(flow, reference);
  }
  const uniqueRequestId = reference === null ? undefined : select(reference, results);
  return uniqueRequestId === undefined ? {} : { uniqueRequestId: uniqueRequestId.slice(0, lengthMax) };
}

function select(reference: Reference, results: unknown): string | undefined {
  const found = selectFromResult(reference, results);
  if (found !== undefined) return found;
  // Headers are found whatever their case.
  const [root, name] = reference.paths.at(-1)!;
  const headers = (results as { headers?: unknown } | null | undefined)?.headers;
  if (root !== "headers" || name === undefined || typeof headers !== "object" || headers === null)
    return undefined;
  const key = Object.keys(headers).find((each) => each.toLowerCase() === name.toLowerCase());
  return key === undefined ? undefined : routingText((headers as Record<string, unknown>)[key]);
}
