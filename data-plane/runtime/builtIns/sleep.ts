import { setTimeout as wait } from "node:timers/promises";
import { sleep as described } from "../../../shared/builtIns/sleep.ts";
import { type ActionPerform, implement } from "./implement.ts";
import { clip, requiredNumber } from "./values.ts";

/** What a timer can hold, about 24 days: a run's time is over long before. */
const msMax = 2 ** 31 - 1;

const pause: ActionPerform = async (_context, params) => {
  const ms = requiredNumber(params, "ms");
  if (ms < 0 || ms > msMax) throw new Error(`The input "ms" must be 0 to ${msMax}: ${clip(ms)}.`);
  await wait(ms);
  return { data: null };
};

export const sleep = implement(described, { actions: { sleep: pause }, triggers: {} });
