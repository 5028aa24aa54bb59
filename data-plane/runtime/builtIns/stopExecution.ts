import { stopExecution as described } from "../../../shared/builtIns/stopExecution.ts";
import { type ActionPerform, implement } from "./implement.ts";
import { fromPairs, list, optionalNumber, text } from "./values.ts";

/** A body that is JSON is answered as what it says, not as a JSON string of it. */
const stop: ActionPerform = (_context, params) => {
  const contentType = text(params, "contentType");
  return {
    data: /\bjson\b/i.test(contentType) ? fromJson(params["jsonBody"]) : params["jsonBody"],
    statusCode: optionalNumber(params, "statusCode"),
    contentType,
    headers: fromPairs(list(params, "headers")),
  };
};

function fromJson(body: unknown): unknown {
  if (typeof body !== "string") return body;
  try {
    return JSON.parse(body);
  } catch {
    return body;
  }
}

export const stopExecution = implement(described, { actions: { stopExecution: stop }, triggers: {} });
