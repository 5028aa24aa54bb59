/** A public component as the runtime calls it: its description, and a function for each of its keys. */
import type { BuiltIn, BuiltInInput } from "../../../shared/builtIns/description.ts";
import type { LoadedAction, LoadedComponent } from "../modules.ts";

type Params = Record<string, unknown>;

export type BuiltInContext = Record<string, unknown> & {
  logger: Record<string, (...args: unknown[]) => void>;
};
export type ActionPerform = (context: BuiltInContext, params: Params) => unknown;
export type TriggerPerform = (context: BuiltInContext, payload: Params, params: Params) => unknown;

export interface Performs<Description extends BuiltIn> {
  actions: { [Key in keyof Description["actions"]]: ActionPerform };
  triggers: { [Key in keyof Description["triggers"]]: TriggerPerform };
}

export function implement<const Description extends BuiltIn>(
  description: Description,
  performs: Performs<Description>,
): LoadedComponent {
  const actions: Record<string, LoadedAction> = {};
  for (const [key, { inputs, ...action }] of Object.entries(description.actions)) {
    const perform = performs.actions[key as keyof Description["actions"]];
    actions[key] = {
      perform: async (context, params) =>
        perform(context as BuiltInContext, withDefaults(inputs, params as Params)),
      inputs: defaultsOf(inputs),
      terminateExecution: action.terminateExecution ?? false,
      breakLoop: action.breakLoop ?? false,
      isLoop: action.isLoop ?? false,
    };
  }
  const triggers: Record<string, LoadedAction> = {};
  for (const [key, { inputs }] of Object.entries(description.triggers)) {
    const perform = performs.triggers[key as keyof Description["triggers"]];
    triggers[key] = {
      perform: async (context, payload, params) =>
        perform(context as BuiltInContext, payload as Params, params as Params),
      inputs: defaultsOf(inputs),
    };
  }
  return { key: description.key, actions, triggers };
}

/** For those who call it from code, where no step's inputs were resolved. */
function withDefaults(inputs: Readonly<Record<string, BuiltInInput>>, params: Params): Params {
  let whole = params;
  for (const [key, { default: value }] of Object.entries(inputs)) {
    if (value === undefined || whole[key] !== undefined) continue;
    if (whole === params) whole = { ...params };
    whole[key] = value;
  }
  return whole;
}

const defaultsOf = (inputs: Readonly<Record<string, BuiltInInput>>): LoadedAction["inputs"] =>
  Object.entries(inputs).map(([key, { default: value }]) => ({ key, default: value }));
