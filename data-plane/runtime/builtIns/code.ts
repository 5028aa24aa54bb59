/** The code step: JavaScript that stands in the definition itself. */
import { code as described } from "../../../shared/builtIns/code.ts";
import { messageOf } from "../../../shared/errors.ts";
import { builtinRequire, type Perform } from "../modules.ts";
import { implement } from "./implement.ts";

/** The code step's second argument; the flow's results so far are handed to it beside its inputs. */
export const stepResultsInput = Symbol("stepResults");

export const code = implement(described, { actions: { runCode }, triggers: {} });

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
