/** Whether an answer has to wait for a trigger step: it runs code, or was given an answer of its own. */
import type { Step } from "../definition.ts";
import { builtInCatalogue } from "./catalogue.ts";

export function hasTriggerCode({ action, inputs }: Pick<Step, "action" | "inputs">): boolean {
  if (!action.isPublic) return true;
  const component = builtInCatalogue.find(({ key }) => key === action.componentKey);
  if (component?.triggers[action.key]?.hasCode === true) return true;
  // Exported integrations name all inputs, with nothing in them.
  return Object.values(inputs).some(({ value }) => value.length > 0);
}
