import { isDeepStrictEqual } from "node:util";
import { collectionTools as described } from "../../../shared/builtIns/collectionTools.ts";
import { compileFunction } from "./compileFunction.ts";
import { type ActionPerform, implement } from "./implement.ts";
import { clip, fromPairs, list, numberOf, object, requiredNumber, requiredText, text } from "./values.ts";

type Params = Record<string, unknown>;
type Item = (item: unknown, index: number, contextData?: unknown) => unknown;

const ofList =
  (change: (list: unknown[], params: Params) => unknown): ActionPerform =>
  (_context, params) => ({ data: change(list(params, "listInput"), params) });

function wholeNumber(params: Params, key: string, least: number): number {
  const number = requiredNumber(params, key);
  if (Number.isInteger(number) && number >= least) return number;
  throw new Error(`The input "${key}" is not a whole number from ${least} on: ${clip(number)}.`);
}

function chunksOf(items: unknown[], params: Params): unknown[][] {
  const size = wholeNumber(params, "numberInput", 1);
  const chunks: unknown[][] = [];
  for (let at = 0; at < items.length; at += size) chunks.push(items.slice(at, at + size));
  return chunks;
}

/** Equal is what JSON says in the same way, whatever the order of keys: one look at each, however long the list. */
function deduplicated(items: unknown[]): unknown[] {
  const seen = new Set<string>();
  return items.filter((item) => {
    const key = typeof item === "object" && item !== null ? sortedJson(item) : `${typeof item} ${item}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

const sortedJson = (value: unknown): string =>
  JSON.stringify(value, (_key, member: unknown) =>
    typeof member === "object" && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );

function filtered(items: unknown[], params: Params): unknown[] {
  const filter = compileFunction(text(params, "filterFunction"), "filterFunction") as Item;
  return items.filter((item, index) => filter(item, index, params["contextData"]) === true);
}

function mapped(items: unknown[], params: Params): unknown[] {
  const map = compileFunction(text(params, "mapFunction"), "mapFunction") as Item;
  return filtered(items, params).map((item, index) => map(item, index, params["contextData"]));
}

const aggregates: Record<string, (numbers: number[]) => number> = {
  AVERAGE: (numbers) => numbers.reduce((sum, number) => sum + number, 0) / numbers.length,
  COUNT: (numbers) => numbers.length,
  MAX: (numbers) => numbers.reduce((most, number) => Math.max(most, number)),
  MIN: (numbers) => numbers.reduce((least, number) => Math.min(least, number)),
  SUM: (numbers) => numbers.reduce((sum, number) => sum + number, 0),
  PRODUCT: (numbers) => numbers.reduce((product, number) => product * number, 1),
  MEDIAN(numbers) {
    const sorted = [...numbers].sort((a, b) => a - b);
    const middle = sorted.length / 2;
    return sorted.length % 2 === 1
      ? sorted[Math.floor(middle)]!
      : (sorted[middle - 1]! + sorted[middle]!) / 2;
  },
};

function aggregated(items: unknown[], params: Params): number | null {
  const name = requiredText(params, "aggregateFunction").toUpperCase();
  if (!Object.hasOwn(aggregates, name))
    throw new Error(
      `There is no aggregate function ${clip(name)}: take ${Object.keys(aggregates).join(", ")}.`,
    );
  const left = filtered(items, params);
  if (name === "COUNT") return left.length;
  // There is no largest one of none.
  if (left.length === 0 && name !== "SUM" && name !== "PRODUCT") return null;
  return aggregates[name]!(left.map((item) => numberOf(item, "listInput")));
}

const addKey: ActionPerform = (_context, params) => {
  const data = structuredClone(object(params, "object"));
  let place = data;
  for (const key of text(params, "objectPath")
    .split(".")
    .filter((part) => part !== "")) {
    const inner = Object.hasOwn(place, key) ? place[key] : undefined;
    if (inner === undefined || inner === null) setOwn(place, key, {});
    else if (typeof inner !== "object") throw new Error(`At ${clip(key)} of the path there is no object.`);
    place = place[key] as Record<string, unknown>;
  }
  setOwn(place, requiredText(params, "key"), params["value"]);
  return { data };
};

/** As a member of its own, whatever the key. */
const setOwn = (place: Record<string, unknown>, key: string, value: unknown) =>
  Object.defineProperty(place, key, { value, writable: true, enumerable: true, configurable: true });

export const collectionTools = implement(described, {
  actions: {
    first: ofList((items) => items[0]),
    last: ofList((items) => items.at(-1)),
    length: ofList((items) => items.length),
    flatten: ofList((items) => items.flat()),
    deduplicate: ofList(deduplicated),
    append: ofList((items, { element }) => [...items, element]),
    remove: ofList((items, { element }) => items.filter((item) => !isDeepStrictEqual(item, element))),
    count: ofList((items, { element }) => items.filter((item) => isDeepStrictEqual(item, element)).length),
    takeFirst: ofList((items, params) => items.slice(0, wholeNumber(params, "numberInput", 0))),
    takeLast: ofList((items, params) =>
      items.slice(Math.max(0, items.length - wholeNumber(params, "numberInput", 0))),
    ),
    chunks: ofList(chunksOf),
    concatenate: ofList((items, params) => [...items, ...list(params, "secondListInput")]),
    selectItemFromList: ofList((items, params) => items.at(requiredNumber(params, "index"))),
    filter: ofList(filtered),
    map: ofList(mapped),
    sort: ofList((items, params) =>
      [...items].sort(compileFunction(requiredText(params, "sortFunction"), "sortFunction") as () => number),
    ),
    aggregate: ofList(aggregated),
    create: (_context, params) => ({ data: list(params, "items") }),
    createObject: (_context, params) => ({ data: fromPairs(list(params, "keyValueInput")) }),
    addKey,
    toObject: (_context, params) => ({ data: fromPairs(list(params, "keyValueList")) }),
    fromObject: (_context, params) => ({
      data: Object.entries(object(params, "object")).map(([key, value]) => ({ key, value })),
    }),
  },
  triggers: {},
});
