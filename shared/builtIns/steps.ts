/** What a definition's steps say of public components, read by the catalogue. */
import type { ActionReference, Step } from "../definition.ts";
import { builtInCatalogue } from "./catalogue.ts";

/** Whether an answer has to wait for a trigger step: it runs code, or was given an answer of its own. */
export function hasTriggerCode({ action, inputs }: Pick<Step, "action" | "inputs">): boolean {
  if (!action.isPublic) return true;
  const component = builtInCatalogue.find(({ key }) => key === action.componentKey);
  if (component?.triggers[action.key]?.hasCode === true) return true;
  // Exported integrations name all inputs, with nothing in them.
  return Object.values(inputs).some(({ value }) => value.length > 0);
}

/** The key as the catalogue writes it: definitions of elsewhere may have its letters in another case. */
export function builtInKey({ componentKey, isPublic, key }: ActionReference, isTrigger: boolean): string {
  const component = isPublic
    ? builtInCatalogue.find((candidate) => candidate.key === componentKey)
    : undefined;
  if (component === undefined) return key;
  const keys = Object.keys(isTrigger ? component.triggers : component.actions);
  return keys.find((known) => known.toLowerCase() === key.toLowerCase()) ?? key;
}
