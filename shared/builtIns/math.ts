import { type BuiltInAction, describeBuiltIn } from "./description.ts";

const ofNumber = (label: string, description: string): BuiltInAction => ({
  label,
  description,
  inputs: { number: { label: "Number", type: "string", required: true } },
});
const ofNumbers = (label: string, description: string): BuiltInAction => ({
  label,
  description,
  inputs: {
    numbers: { label: "Numbers", type: "string", collection: "valuelist" },
    dynamicNumbers: {
      label: "Dynamic Numbers",
      type: "data",
      comments: "A list of numbers; counts before the other input.",
    },
  },
});
const between = (label: string, description: string): BuiltInAction => ({
  label,
  description,
  inputs: {
    min: { label: "Min", type: "string", required: true },
    max: { label: "Max", type: "string", required: true },
  },
});

export const math = describeBuiltIn({
  key: "math",
  label: "Math",
  description: "Calculates with numbers.",
  category: "Helpers",
  actions: {
    add: ofNumbers("Add Numbers", "The sum of the numbers."),
    subtract: ofNumbers("Subtract Numbers", "The first number less all others."),
    multiply: ofNumbers("Multiply Numbers", "The product of the numbers."),
    divide: ofNumbers("Divide Numbers", "The first number divided by all others in turn."),
    min: ofNumbers("Minimum", "The smallest of the numbers."),
    max: ofNumbers("Maximum", "The largest of the numbers."),
    abs: ofNumber("Absolute Value", "The number without its sign."),
    ceil: ofNumber("Ceiling", "The next whole number that is not smaller."),
    floor: ofNumber("Floor", "The next whole number that is not larger."),
    round: ofNumber("Round", "The nearest whole number."),
    trunc: ofNumber("Truncate Number", "The number without its fraction."),
    sqrt: ofNumber("Square Root", "The positive square root."),
    pow: {
      label: "Power",
      description: "The base to the power of the exponent.",
      inputs: {
        base: { label: "Base", type: "string", required: true },
        exponent: { label: "Exponent", type: "string", required: true },
      },
    },
    random: between("Random Number", "A random number from min up to, but not, max."),
    randomInt: between("Random Integer", "A random whole number from min to max."),
  },
  triggers: {},
});
