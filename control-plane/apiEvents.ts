/**
 * One event for each request to the API: counted in the metrics, and logged where the settings ask for it. It
 * tells what was asked for by name, never with what, and by whom in kind.
 */
import { type DocumentNode, getOperationAST, type OperationDefinitionNode } from "graphql";
import type { Plugin } from "graphql-yoga";
import type { Logger } from "pino";
import type { Config } from "../shared/config.ts";
import type { Viewer } from "./context.ts";
import type { ApiOutcome, ControlMetrics } from "./metrics.ts";

/** What is learned of a request on its way. */
export interface SeenRequest {
  kind: "query" | "mutation" | "subscription" | "none";
  operation: string | null;
  hasErrors: boolean;
  /** One of the errors is a fault of ours. */
  isOurFault: boolean;
}

export const newSeenRequest = (): SeenRequest => ({
  kind: "none",
  operation: null,
  hasErrors: false,
  isOurFault: false,
});

const operationLengthMax = 100;

/** Notes what is executed, and the errors that are answered, also those of a document that can't be executed. */
export function seeOperations(): Plugin<object, { seen: SeenRequest }> {
  const note = ({
    args,
  }: {
    args: { document: DocumentNode; operationName?: string | null | undefined; contextValue: unknown };
  }) => {
    const operation = getOperationAST(args.document, args.operationName);
    if (operation == null) return;
    const { seen } = args.contextValue as { seen: SeenRequest };
    seen.kind = operation.operation;
    seen.operation = nameOf(operation);
  };
  return {
    onExecute: note,
    onSubscribe: note,
    onResultProcess({ result, serverContext: { seen } }) {
      if (Array.isArray(result) || Symbol.asyncIterator in result) return;
      const errors = result.errors ?? [];
      seen.hasErrors ||= errors.length > 0;
      // As masked errors are marked.
      seen.isOurFault ||= errors.some(({ extensions }) => extensions?.["code"] === "INTERNAL_SERVER_ERROR");
    },
  };
}

/** The operation's own name, or that of its first field. */
function nameOf({ name, selectionSet }: OperationDefinitionNode): string {
  const [first] = selectionSet.selections;
  const text = name?.value ?? (first?.kind === "Field" ? first.name.value : "fragment");
  return text.slice(0, operationLengthMax);
}

export interface EndedRequest {
  seen: SeenRequest;
  requestId: string;
  /** Null where nobody was signed in. */
  viewer: Viewer | null;
  /** The HTTP status of the answer; null where the caller left before it was whole. */
  status: number | null;
  durationMs: number;
}

/** Called at the end of each request. */
export function createApiEvents(
  { logEvents, logSample }: Pick<Config, "logEvents" | "logSample">,
  log: Logger,
  metrics: ControlMetrics,
): (ended: EndedRequest) => void {
  let successes = 0;
  return ({ seen, requestId, viewer, status, durationMs }) => {
    const outcome = outcomeOf(seen, status);
    metrics.apiRequest(seen.kind, outcome, durationMs / 1000);
    if (logEvents === "none" || (logEvents === "failed" && outcome !== "failed")) return;
    if (outcome === "ok" && successes++ % logSample !== 0) return;
    const fields = {
      requestId,
      kind: seen.kind,
      operation: seen.operation,
      outcome,
      status,
      durationMs: Math.round(durationMs * 1000) / 1000,
      user: viewer?.role ?? "NONE",
    };
    if (outcome === "failed") log.error(fields, "api request");
    else log.info(fields, "api request");
  };
}

function outcomeOf({ hasErrors, isOurFault }: SeenRequest, status: number | null): ApiOutcome {
  if (isOurFault || (status !== null && status >= 500)) return "failed";
  return hasErrors || status === null || status >= 400 ? "refused" : "ok";
}
