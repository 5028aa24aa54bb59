/** A step's inputs, resolved from values, references to earlier steps, config variables and templates. */
import type { InputValue } from "../../shared/definition.ts";
import { parseReference } from "../../shared/references.ts";

/** What earlier steps gave, by the step's name in camel case. */
export type StepResults = Record<string, { results: unknown }>;

export interface InputScope {
  stepResults: StepResults;
  configVars: Record<string, unknown>;
}

export function resolveInputs(
  inputs: Record<string, InputValue>,
  defaults: readonly { key: string; default?: unknown }[],
  scope: InputScope,
): Record<string, unknown> {
  const resolved = new Map<string, unknown>();
  for (const input of defaults) {
    if (input.default !== undefined && input.default !== "") resolved.set(input.key, input.default);
  }
  for (const [name, input] of Object.entries(inputs)) resolved.set(name, resolveInput(input, scope));
  return Object.fromEntries(resolved);
}

function resolveInput(input: InputValue, scope: InputScope): unknown {
  switch (input.type) {
    case "value":
      return input.value;
    case "reference":
      return readReference(input.value, scope.stepResults);
    case "configVar":
      return scope.configVars[input.value];
    case "template":
      return fillTemplate(input.value, scope);
    case "complex":
      return typeof input.value === "string" ? input.value : resolveList(input.value, scope);
  }
}

/** A list of values, or of `{key, value}` where the members have names. */
function resolveList(members: InputValue[], scope: InputScope): unknown[] {
  return members.map((member) => {
    const value = resolveInput(member, scope);
    if (member.name === undefined) return value;
    const key =
      typeof member.name === "string" ? member.name : String(resolveInput(member.name, scope) ?? "");
    return { key, value };
  });
}

/** `stepName.results.path`: own data of plain results only, so that a reference never reaches a prototype. */
export function readReference(text: string, stepResults: StepResults): unknown {
  const stepName = /^[^.[\]]+/.exec(text)?.[0] ?? "";
  if (!Object.hasOwn(stepResults, stepName)) {
    throw new Error(`The reference "${text.slice(0, 200)}" names no step that ran before.`);
  }
  const parsed = parseReference(text, "result");
  if (!parsed.ok) throw new Error(parsed.message);
  const path = parsed.reference.paths[0]!;
  const { results } = stepResults[stepName]!;
  // What is left of "step" and of "step.results" is the text itself: both mean the whole results.
  if (path[0] === stepName && path.length <= 2 && (path.length === 1 || path[1] === "results"))
    return results;
  return walk(results, path);
}

function walk(start: unknown, path: readonly string[]): unknown {
  let value = start;
  for (const key of path) {
    if (typeof value !== "object" || value === null) return undefined;
    const own = Object.getOwnPropertyDescriptor(value, key) ?? headerDescriptor(value, key);
    if (own === undefined || !("value" in own)) return undefined;
    value = own.value;
  }
  return value;
}

/** The payload's headers are readable in any case, from references too. */
function headerDescriptor(value: object, key: string): PropertyDescriptor | undefined {
  if (Array.isArray(value)) return undefined;
  const name = Object.keys(value).find((candidate) => candidate.toLowerCase() === key.toLowerCase());
  const isHeaders = name !== undefined && Object.getPrototypeOf(value) !== Object.prototype;
  return isHeaders ? Object.getOwnPropertyDescriptor(value, name) : undefined;
}

const templatePattern = /\{\{\s*(#?)([^{}]{1,1024}?)\s*\}\}/g;

/** `{{#Config Variable}}` and `{{step.results.path}}`; what is not there leaves nothing. */
function fillTemplate(template: string, scope: InputScope): string {
  return template.replace(templatePattern, (_whole, hash: string, name: string) => {
    const value = hash === "#" ? scope.configVars[name] : readReference(name, scope.stepResults);
    if (value === undefined || value === null) return "";
    return typeof value === "string" ? value : JSON.stringify(value);
  });
}

/** "Get Customer by Acme ID" → "getCustomerByAcmeId": how step results are named. */
export function camelCase(name: string): string {
  const words = name.match(/\p{Lu}+(?!\p{Ll})|\p{Lu}?\p{Ll}+|\p{Lo}+|\d+/gu) ?? [name];
  return words
    .map((word, index) => {
      const lower = word.toLowerCase();
      return index === 0 ? lower : lower.charAt(0).toUpperCase() + lower.slice(1);
    })
    .join("");
}
