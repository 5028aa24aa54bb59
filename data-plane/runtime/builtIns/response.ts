/** The answer that a trigger's inputs give to the sender, where they say something. */
import { fromPairs, isGiven, list, optionalNumber, text } from "./values.ts";

export function givenResponse(params: Record<string, unknown>): { response?: object } {
  const headers = fromPairs(list(params, "headers"));
  const isSaid = ["statusCode", "contentType", "body"].some((key) => isGiven(params[key]));
  if (!isSaid && Object.keys(headers).length === 0) return {};
  return {
    response: {
      statusCode: optionalNumber(params, "statusCode") ?? 200,
      contentType: text(params, "contentType") || "application/json",
      headers,
      body: text(params, "body"),
    },
  };
}
