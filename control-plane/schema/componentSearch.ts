/** The search expressions that clients send for components: nested lists with an operator at their head. */
import { GraphQLError } from "graphql";
import type { ComponentHead } from "../store/components.ts";

type Test = (component: ComponentHead) => boolean;

const fields = new Set(["key", "label", "description", "category"] as const);
type Field = "key" | "label" | "description" | "category";

const depthMax = 8;
const widthMax = 50;

/** Finds everything where nothing is searched for. */
export function searchFilter(expression: unknown): Test {
  return expression == null ? () => true : compile(expression, 0);
}

function compile(expression: unknown, depth: number): Test {
  if (!Array.isArray(expression) || depth > depthMax || expression.length > widthMax) throw notUnderstood();
  const [operator, ...operands] = expression as unknown[];
  switch (operator) {
    case "or": {
      const tests = operands.map((operand) => compile(operand, depth + 1));
      return (component) => tests.some((test) => test(component));
    }
    case "and": {
      const tests = operands.map((operand) => compile(operand, depth + 1));
      return (component) => tests.every((test) => test(component));
    }
    case "in":
    case "eq": {
      const [field, text] = operands;
      if (!isField(field) || typeof text !== "string") throw notUnderstood();
      const wanted = text.toLowerCase();
      return operator === "eq"
        ? (component) => component[field].toLowerCase() === wanted
        : (component) => component[field].toLowerCase().includes(wanted);
    }
    default:
      throw notUnderstood();
  }
}

const isField = (value: unknown): value is Field => fields.has(value as Field);

const notUnderstood = (): GraphQLError =>
  new GraphQLError(
    'filterQuery must be like ["or", ["in", "key", "text"], ["in", "label", "text"]], with the fields key, label, description and category.',
  );
