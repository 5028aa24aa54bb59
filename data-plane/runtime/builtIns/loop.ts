/** Loops: the items that they return as `data` are what the runtime goes over. */
import { loop as described } from "../../../shared/builtIns/loop.ts";
import { type ActionPerform, implement } from "./implement.ts";
import { clip, isGiven, parsed, requiredNumber } from "./values.ts";

const loopOverItems: ActionPerform = (_context, params) => {
  const items = parsed(params["items"]);
  if (Array.isArray(items)) return { data: items };
  if (!isGiven(items)) throw new Error('The input "items" is empty: a loop needs a list or an object.');
  if (typeof items !== "object")
    throw new Error(`The input "items" is neither a list nor an object: ${clip(items)}.`);
  return { data: Object.entries(items as object).map(([key, value]) => ({ key, value })) };
};

const loopNTimes: ActionPerform = (_context, params) => {
  const count = requiredNumber(params, "iterationCount");
  if (!Number.isInteger(count) || count < 0)
    throw new Error(`The input "iterationCount" is not a whole number: ${clip(count)}.`);
  return { data: { length: count } };
};

export const loop = implement(described, {
  actions: { loopOverItems, loopNTimes, breakLoop: () => ({ data: null }) },
  triggers: {},
});
