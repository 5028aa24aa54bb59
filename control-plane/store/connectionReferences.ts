/** Fields of connections that a definition takes from other config variables, by name or in a template. */
import type { Definition, InputValue } from "../../shared/definition.ts";
import type { RequiredConfigVar } from "../../shared/requiredConfigVars.ts";
import { type GivenValue, typedValue } from "./configVarTypes.ts";
import { isConnection } from "./connectionValues.ts";

/** The definition with such fields as the values that they stand for now. */
export function withReferences(definition: Definition, stored: ReadonlyMap<string, GivenValue>): Definition {
  const requiredConfigVars = resolveReferences(definition.requiredConfigVars, stored);
  return requiredConfigVars === definition.requiredConfigVars
    ? definition
    : { ...definition, requiredConfigVars };
}

/** The same for variables alone; the list itself where nothing is taken from others, as usual. */
export function resolveReferences(
  variables: RequiredConfigVar[],
  stored: ReadonlyMap<string, GivenValue>,
): RequiredConfigVar[] {
  if (!variables.some(hasReferences)) return variables;
  const textOf = (key: string): string => {
    const variable = variables.find((candidate) => candidate.key === key);
    if (variable === undefined || isConnection(variable)) return "";
    const value = typedValue(variable, stored.get(key)) ?? "";
    return typeof value === "string" ? value : JSON.stringify(value);
  };
  return variables.map((variable) => {
    if (!hasReferences(variable)) return variable;
    const inputs = Object.entries(variable.inputs).map(
      ([name, input]) => [name, resolved(input, textOf)] as const,
    );
    return { ...variable, inputs: Object.fromEntries(inputs) };
  });
}

const hasReferences = (variable: RequiredConfigVar): boolean =>
  isConnection(variable) &&
  Object.values(variable.inputs).some(({ type }) => type === "configVar" || type === "template");

const slot = /\{\{\s*#([^{}]{1,1024}?)\s*\}\}/g;

function resolved(input: InputValue, textOf: (key: string) => string): InputValue {
  if (input.type === "configVar") return { type: "value", value: textOf(input.value) };
  if (input.type !== "template") return input;
  return { type: "value", value: input.value.replace(slot, (_whole, key: string) => textOf(key.trim())) };
}
