/** The components that come with Switchyard: the two triggers that pass the request on, and the code step. */

import type { ActionReference } from "../../shared/definition.ts";
import { messageOf } from "../../shared/errors.ts";
import { builtinRequire, type LoadedAction, type LoadedComponent, type Perform } from "./modules.ts";

const passOn: LoadedAction = { perform: async (_context, payload) => ({ payload }) };

const builtIns: Record<string, LoadedComponent> = {
  "webhook-triggers": { actions: {}, triggers: { webhook: passOn } },
  "schedule-triggers": { actions: {}, triggers: { schedule: passOn } },
  code: { actions: { runCode: { perform: runCode } }, triggers: {} },
};

export const builtIn = (componentKey: string): LoadedComponent | undefined =>
  Object.hasOwn(builtIns, componentKey) ? builtIns[componentKey] : undefined;

/** True for a trigger that has no code of its own, so that no answer waits for it. */
export const isPassOnTrigger = (action: ActionReference): boolean =>
  action.isPublic && builtIn(action.componentKey)?.triggers[action.key] === passOn;

/** The code step's second argument; the flow's results so far are handed to it beside its inputs. */
export const stepResultsInput = Symbol("stepResults");

async function runCode(context: unknown, params: unknown): Promise<unknown> {
  const { code, [stepResultsInput]: stepResults } = params as {
    code?: unknown;
    [stepResultsInput]?: unknown;
  };
  if (typeof code !== "string" || code.trim() === "") throw new Error('The code step has no "code" input.');
  return compile(code)(context, stepResults);
}

const compiledMax = 500;
const compiled = new Map<string, Perform>();

/** Compiled once per text and thread; `module.exports` is the step's function. */
function compile(code: string): Perform {
  const known = compiled.get(code);
  if (known !== undefined) return known;
  const module: { exports: unknown } = { exports: {} };
  try {
    const evaluate = new Function("module", "exports", "require", `${code}\n//# sourceURL=runCode.js`);
    evaluate(module, module.exports, builtinRequire);
  } catch (error) {
    throw new Error(`The step's code can't be compiled: ${messageOf(error)}`, { cause: error });
  }
  const perform = (module.exports as { default?: unknown })?.default ?? module.exports;
  if (typeof perform !== "function")
    throw new Error("The step's code must set module.exports to a function.");
  if (compiled.size >= compiledMax) compiled.delete(compiled.keys().next().value!);
  compiled.set(code, perform as Perform);
  return perform as Perform;
}
