/**
 * A flow that posts to its own URL. The cursor travels in the body; how often the flow has invoked itself travels in
 * a header, so that one which never comes to an end is ended.
 */
import { recursiveFlow as described } from "../../../shared/builtIns/recursiveFlow.ts";
import { type ActionPerform, implement, type TriggerPerform } from "./implement.ts";
import { isGiven, parsed } from "./values.ts";

const depthMax = 1000;
const depthHeader = "switchyard-recursion-depth";

interface Recursion {
  cursor: unknown;
  depth: number;
}

/** In the execution's state, out of the way of the flow's own values. */
const stateKey = "switchyard:recursion";

const begin: TriggerPerform = (context, payload, params) => {
  const { body, headers } = payload as {
    body?: { data?: unknown };
    headers?: Record<string, string>;
  };
  const sent = parsed(body?.data);
  const cursor =
    typeof sent === "object" && sent !== null ? (sent as { cursor?: unknown }).cursor : undefined;
  const depth = Number(headers?.[depthHeader] ?? 0);
  const recursion: Recursion = {
    cursor: isGiven(cursor) ? cursor : params["defaultCursor"],
    depth: Number.isSafeInteger(depth) && depth > 0 ? depth : 0,
  };
  (context["executionState"] as Record<string, unknown>)[stateKey] = recursion;
  return { payload };
};

function recursionOf(context: Record<string, unknown>): Recursion {
  const recursion = (context["executionState"] as Record<string, unknown>)[stateKey];
  if (recursion !== undefined) return recursion as Recursion;
  throw new Error('The flow has no recursive trigger: use "recursiveTrigger" as its trigger.');
}

const setCursor: ActionPerform = (context, params) => {
  recursionOf(context).cursor = params["cursor"];
  return { data: params["cursor"] };
};

const invoke: ActionPerform = async (context) => {
  const { cursor, depth } = recursionOf(context);
  if (depth >= depthMax)
    throw new Error(`The flow has invoked itself ${depthMax} times in a row, which is as often as it may.`);
  const invokeFlow = context["invokeFlow"] as (
    name: string,
    data: unknown,
    config: { headers: Record<string, string> },
  ) => Promise<{ data: unknown }>;
  const { name } = context["flow"] as { name: string };
  const { data } = await invokeFlow(name, { cursor }, { headers: { [depthHeader]: String(depth + 1) } });
  return { data };
};

export const recursiveFlow = implement(described, {
  actions: {
    getCursor: (context) => ({ data: recursionOf(context).cursor }),
    setCursor,
    invokeRecursive: invoke,
  },
  triggers: { recursiveTrigger: begin },
});
