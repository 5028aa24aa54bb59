import { math as described } from "../../../shared/builtIns/math.ts";
import { type ActionPerform, implement } from "./implement.ts";
import { isGiven, list, numberOf, requiredNumber } from "./values.ts";

/** A result that is no number is the mistake of an input, and would be null in the record. */
const given = (data: number) => {
  if (!Number.isFinite(data)) throw new Error("The result is not a number: an input is out of range.");
  return { data };
};

const ofNumber =
  (calculate: (number: number) => number): ActionPerform =>
  (_context, params) =>
    given(calculate(requiredNumber(params, "number")));

const ofNumbers =
  (calculate: (numbers: number[]) => number): ActionPerform =>
  (_context, params) => {
    const key = isGiven(params["dynamicNumbers"]) ? "dynamicNumbers" : "numbers";
    const numbers = list(params, key).map((member) => numberOf(member, key));
    if (numbers.length === 0) throw new Error(`The input "${key}" has no numbers.`);
    return given(calculate(numbers));
  };

const between =
  (calculate: (min: number, max: number) => number): ActionPerform =>
  (_context, params) => {
    const [min, max] = [requiredNumber(params, "min"), requiredNumber(params, "max")];
    if (min > max) throw new Error('The input "min" is larger than "max".');
    return given(calculate(min, max));
  };

const folded = (fold: (before: number, next: number) => number) =>
  ofNumbers((numbers) => numbers.slice(1).reduce(fold, numbers[0]!));

export const math = implement(described, {
  actions: {
    add: folded((a, b) => a + b),
    subtract: folded((a, b) => a - b),
    multiply: folded((a, b) => a * b),
    divide: folded((a, b) => a / b),
    min: folded((a, b) => Math.min(a, b)),
    max: folded((a, b) => Math.max(a, b)),
    abs: ofNumber(Math.abs),
    ceil: ofNumber(Math.ceil),
    floor: ofNumber(Math.floor),
    round: ofNumber(Math.round),
    trunc: ofNumber(Math.trunc),
    sqrt: ofNumber(Math.sqrt),
    pow: (_context, params) => given(requiredNumber(params, "base") ** requiredNumber(params, "exponent")),
    random: between((min, max) => min + Math.random() * (max - min)),
    randomInt: between((min, max) => {
      const low = Math.ceil(min);
      return low + Math.floor(Math.random() * (Math.floor(max) - low + 1));
    }),
  },
  triggers: {},
});
