/** Functions that stand in inputs as JavaScript: `(item, index) => item.total > 10`. */
import { messageOf } from "../../../shared/errors.ts";
import type { Perform } from "../modules.ts";

const compiledMax = 500;
const compiled = new Map<string, Perform>();

/** Compiled once for each text and thread. */
export function compileFunction(text: string, input: string): Perform {
  const source = text.trim().replace(/;$/, "");
  const known = compiled.get(source);
  if (known !== undefined) return known;
  let made: unknown;
  try {
    made = new Function(`return (${source}\n);\n//# sourceURL=${input}.js`)();
  } catch (error) {
    throw new Error(`The input "${input}" can't be compiled: ${messageOf(error)}`, { cause: error });
  }
  if (typeof made !== "function") throw new Error(`The input "${input}" is not a function.`);
  if (compiled.size >= compiledMax) compiled.delete(compiled.keys().next().value!);
  compiled.set(source, made as Perform);
  return made as Perform;
}
