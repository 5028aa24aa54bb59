/** Reading a builder's YAML for an import: its shape, its components, its keys. Problems are errors of `definition`. */
import { builtInCatalogue } from "../../shared/builtIns/catalogue.ts";
import { allSteps, DefinitionError, type Step } from "../../shared/definition.ts";
import { type ImportedDefinition, importDefinition } from "../../shared/importDefinition.ts";
import { isAcceptableKey } from "../../shared/secrets.ts";
import { builtInComponents } from "../store/builtInComponents.ts";
import type { ComponentParts } from "../store/componentParts.ts";
import { findAction, newestPackage, partsOf } from "../store/components.ts";
import type { Draft } from "../store/drafts.ts";
import type { ConfigTransaction } from "../store/store.ts";
import { declareParts } from "./importedParts.ts";
import { InputError } from "./payloads.ts";

const field = "definition";

/** Throws an `InputError` where the text is not a definition. */
export function readYaml(yaml: string): ImportedDefinition {
  try {
    return importDefinition(yaml);
  } catch (error) {
    if (error instanceof DefinitionError) throw new InputError(field, error.message);
    throw error;
  }
}

/** The definition with the digests of the packages that it runs on from now on. */
export async function compileDraft(transaction: ConfigTransaction, yaml: string): Promise<Draft> {
  const imported = readYaml(yaml);
  const problems = keyProblems(imported);
  const bundles: Record<string, string> = {};
  const componentIds = new Map<string, string>();
  for (const key of imported.privateComponentKeys) {
    const found = await newestPackage(transaction, key);
    if (found.ok) {
      bundles[key] = found.digest;
      componentIds.set(key, found.id);
    } else {
      problems.push(found.problem);
    }
  }
  problems.push(...(await stepProblems(transaction, imported, componentIds)));
  const parts = await declareParts(transaction, imported.definition, componentIds);
  problems.push(...parts.problems);
  if (problems.length > 0) throw new InputError(field, problems);
  return {
    yaml,
    definition: { ...imported.definition, requiredConfigVars: parts.requiredConfigVars, bundles },
    organizationApiKeys: imported.organizationApiKeys,
  };
}

function keyProblems({ definition, organizationApiKeys }: ImportedDefinition): string[] {
  return definition.flows
    .filter((flow) => organizationApiKeys[flow.stableKey]?.some((key) => !isAcceptableKey(key)))
    .map(
      (flow) =>
        `Flow "${flow.name}": each of its organizationApiKeys must be 16 to 256 visible ASCII characters without a comma.`,
    );
}

/** Steps that name a trigger or action which its component does not have. */
async function stepProblems(
  transaction: ConfigTransaction,
  { definition }: ImportedDefinition,
  componentIds: ReadonlyMap<string, string>,
): Promise<string[]> {
  const problems: string[] = [];
  const partsById = new Map<string, Awaited<ReturnType<typeof partsOf>>>();
  for (const flow of definition.flows) {
    for (const { name, action, isTrigger, steps } of allSteps(flow.steps)) {
      const place = `Flow "${flow.name}", step "${name}"`;
      const builtIn = builtInComponents.find(({ key }) => key === action.componentKey);
      if (action.isPublic && builtIn === undefined) {
        problems.push(
          `${place}: the component "${action.componentKey}" is not part of Switchyard. Publish it as a private component and set isPublic: false, or use one of ${builtInKeys}.`,
        );
        continue;
      }
      const id = componentIds.get(action.componentKey);
      if (!action.isPublic && id === undefined) continue;
      let parts = action.isPublic ? builtIn?.parts : partsById.get(id ?? "");
      if (parts === undefined) {
        parts = await partsOf(transaction, { id: id ?? "", isBuiltIn: false });
        partsById.set(id ?? "", parts);
      }
      if (findAction(parts, action.key, isTrigger) === undefined) {
        problems.push(
          `${place}: component "${action.componentKey}" has no ${kindOf(isTrigger)} "${action.key}".${hasInstead(parts, isTrigger)}`,
        );
      } else if (steps !== undefined && !isLoop(action)) {
        problems.push(
          `${place}: it has steps in it, but "${action.key}" is no loop. Use one of the component "loop".`,
        );
      }
    }
  }
  return problems.slice(0, problemsMax);
}

/** Few are named; the rest is what `components` is for. */
function hasInstead({ triggers, actions }: Pick<ComponentParts, "triggers" | "actions">, isTrigger: boolean) {
  const keys = (isTrigger ? triggers : actions).map(({ key }) => `"${key}"`);
  if (keys.length === 0 || keys.length > namedMax) return "";
  return ` It has ${keys.join(", ")}.`;
}

const namedMax = 20;

const isLoop = ({ isPublic, componentKey, key }: Step["action"]): boolean =>
  isPublic &&
  builtInCatalogue.find((component) => component.key === componentKey)?.actions[key]?.isLoop === true;

const problemsMax = 50;
const kindOf = (isTrigger: Step["isTrigger"]): string => (isTrigger ? "trigger" : "action");
const builtInKeys = builtInComponents.map(({ key }) => `"${key}"`).join(", ");
