/** Values in the states that flow code has: changed in place, and kept as those are. */
import { isDeepStrictEqual } from "node:util";
import {
  persistData as described,
  type StateScope,
  stateScopes,
} from "../../../shared/builtIns/persistData.ts";
import type { RunStates } from "../context.ts";
import { type ActionPerform, implement, type Performs } from "./implement.ts";
import { clip, fromPairs, isGiven, list, numberOf, requiredText } from "./values.ts";

type Params = Record<string, unknown>;
type State = Record<string, unknown>;
type Operation = (state: State, params: Params) => unknown;

const stateOf: Record<StateScope, keyof RunStates> = {
  Execution: "executionState",
  Instance: "instanceState",
  CrossFlow: "crossFlowState",
  Integration: "integrationState",
};

const read = (state: State, key: string): unknown => (Object.hasOwn(state, key) ? state[key] : undefined);

/** As a member of its own, whatever the key. */
const write = (state: State, key: string, value: unknown) =>
  Object.defineProperty(state, key, { value, writable: true, enumerable: true, configurable: true });

function readList(state: State, key: string): unknown[] {
  const value = read(state, key);
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value;
  throw new Error(`What is stored under ${clip(key)} is not a list.`);
}

const get: Operation = (state, params) =>
  read(state, requiredText(params, "keyInput")) ?? params["defaultValueInput"];

const save: Operation = (state, params) => {
  const pairs = Object.entries(fromPairs(list(params, "keyValueInput")));
  if (pairs.length > 0) {
    for (const [key, value] of pairs) write(state, key, value);
    return Object.fromEntries(pairs);
  }
  const key = requiredText(params, "keyInput");
  const { valueInput: value } = params;
  write(state, key, value);
  return { key, value };
};

const saveCurrentTime: Operation = (state, params) => {
  const [key, value] = [requiredText(params, "keyInput"), new Date().toISOString()];
  write(state, key, value);
  return { key, value };
};

/** Gives what was there. */
const remove: Operation = (state, params) => {
  const key = requiredText(params, "keyInput");
  const value = read(state, key);
  delete state[key];
  return value;
};

const changeList =
  (change: (before: unknown[], value: unknown) => unknown[]): Operation =>
  (state, params) => {
    const key = requiredText(params, "keyInput");
    const changed = change(readList(state, key), params["valueInput"]);
    write(state, key, changed);
    return changed;
  };

const has = (before: unknown[], value: unknown) => before.some((member) => isDeepStrictEqual(member, value));
const without = (before: unknown[], value: unknown) =>
  before.filter((member) => !isDeepStrictEqual(member, value));

const count =
  (sign: 1 | -1): Operation =>
  (state, params) => {
    const key = requiredText(params, "keyInput");
    const before = numberOf(read(state, key) ?? 0, key);
    const { amountInput } = params;
    const value = before + sign * (isGiven(amountInput) ? numberOf(amountInput, "amountInput") : 1);
    write(state, key, value);
    return value;
  };

const clear: Operation = (state) => {
  for (const key of Object.keys(state)) delete state[key];
  return null;
};

const scoped = (scope: StateScope) => {
  const on =
    (operation: Operation): ActionPerform =>
    (context, params) => ({ data: operation(context[stateOf[scope]] as State, params) });
  return {
    [`get${scope}Value`]: on(get),
    [`save${scope}Value`]: on(save),
    [`save${scope}CurrentTime`]: on(saveCurrentTime),
    [`remove${scope}Value`]: on(remove),
    // In place: a list that many runs of a loop append to is not copied each time.
    [`append${scope}ValueToList`]: on(
      changeList((before, value) => {
        before.push(value);
        return before;
      }),
    ),
    [`remove${scope}ValueFromList`]: on(changeList(without)),
    [`add${scope}ValueToSet`]: on(
      changeList((before, value) => (has(before, value) ? before : [...before, value])),
    ),
    [`remove${scope}ValueFromSet`]: on(changeList(without)),
    [`increment${scope}Value`]: on(count(1)),
    [`decrement${scope}Value`]: on(count(-1)),
    [`list${scope}Keys`]: on((state) => Object.keys(state)),
    [`remove${scope}State`]: on(clear),
  };
};

const scopes = Object.keys(stateScopes) as StateScope[];

export const persistData = implement(described, {
  actions: Object.assign({}, ...scopes.map(scoped)) as Performs<typeof described>["actions"],
  triggers: {},
});
