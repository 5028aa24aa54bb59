/** The public components, which data planes bring along: they are listed, and named by definitions. */
import { builtInCatalogue } from "../../shared/builtIns/catalogue.ts";
import type { BuiltIn, BuiltInInput } from "../../shared/builtIns/description.ts";
import type { ComponentParts } from "./componentParts.ts";

export interface BuiltInComponent {
  /** Stands where other components have a row's id. */
  id: string;
  key: string;
  label: string;
  description: string;
  category: string;
  parts: ComponentParts;
}

export const builtInComponents: readonly BuiltInComponent[] = builtInCatalogue.map((component) => ({
  id: `built-in-${component.key}`,
  key: component.key,
  label: component.label,
  description: component.description,
  category: component.category,
  parts: partsOf(component),
}));

function partsOf({ actions, triggers }: BuiltIn): ComponentParts {
  return {
    actions: Object.entries(actions).map(([key, { inputs, dynamicBranchInput, isLoop: _, ...action }]) => ({
      key,
      ...action,
      ...(dynamicBranchInput === undefined ? {} : { allowsBranching: true, dynamicBranchInput }),
      inputs: inputsOf(inputs),
    })),
    triggers: Object.entries(triggers).map(([key, { inputs, hasCode: _, ...trigger }]) => ({
      key,
      ...trigger,
      isPollingTrigger: false,
      inputs: inputsOf(inputs),
    })),
    dataSources: [],
    connections: [],
  };
}

/** In the form that published components have theirs. */
function inputsOf(inputs: Readonly<Record<string, BuiltInInput>>) {
  return Object.entries(inputs).map(([key, { choices, ...input }]) => ({
    key,
    ...input,
    ...(choices === undefined ? {} : { model: choices.map((choice) => ({ label: choice, value: choice })) }),
  }));
}
