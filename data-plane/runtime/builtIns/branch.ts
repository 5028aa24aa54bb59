/** Branches: what they return as `branch` names the steps that run next. */
import { createRequire } from "node:module";
import { branch as described } from "../../../shared/builtIns/branch.ts";
import { type ActionPerform, implement } from "./implement.ts";
import { list, textOf } from "./values.ts";

const otherwise = "Else";

interface Case {
  key?: unknown;
  value?: unknown;
}

const branchOnValue: ActionPerform = (_context, params) => {
  const value = textOf(params["inputValue"]);
  const cases = list(params, "branchValueMappings") as Case[];
  return taken(cases.find((candidate) => textOf(candidate.value) === value));
};

const branchOnExpression: ActionPerform = (_context, params) =>
  taken((list(params, "conditions") as Case[]).find(({ value }) => evaluate(value)));

const taken = (found: Case | undefined) => {
  const branch = found === undefined ? otherwise : textOf(found.key);
  return { data: branch, branch };
};

/** spectral's own evaluation, so that conditions mean what they mean in code; loaded when a flow has one. */
function evaluate(expression: unknown): boolean {
  logic ??= nodeRequire("@prismatic-io/spectral/dist/conditionalLogic") as ConditionalLogic;
  return logic.evaluate(expression);
}

interface ConditionalLogic {
  evaluate(expression: unknown): boolean;
}

const nodeRequire = createRequire(import.meta.url);
let logic: ConditionalLogic | undefined;

export const branch = implement(described, { actions: { branchOnExpression, branchOnValue }, triggers: {} });
