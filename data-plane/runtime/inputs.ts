/** A step's inputs, resolved from values, references to earlier steps, config variables and templates. */
import type { ComplexMember, InputValue } from "../../shared/definition.ts";
import { parsePath } from "../../shared/references.ts";

/** What a step left for the steps after it. */
export interface StepOutcome {
  results: unknown;
  /** Of a loop, for the steps in it. */
  currentItem?: unknown;
  index?: number;
  /** Of a step that failed where the run goes on. */
  failed?: true;
  error?: { name: string; message: string };
}

/** By the step's name in camel case; a step of the flow that did not run has no results. */
export type StepResults = Record<string, StepOutcome>;

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
      // Inputs that were left open name no variable; where none may be read, naming none is no reading.
      return input.value === "" ? undefined : scope.configVars[input.value];
    case "template":
      return fillTemplate(input.value, scope);
    case "complex":
      return typeof input.value === "string" ? input.value : resolveList(input.value, scope);
  }
}

/** A list of values, or of `{key, value}` where the members have names; lists in it as lists, bare texts as texts. */
function resolveList(members: ComplexMember[], scope: InputScope): unknown[] {
  return members.map((member) => {
    if (typeof member === "string") return member;
    if (Array.isArray(member)) return resolveList(member, scope);
    const value = resolveInput(member, scope);
    // The terms of conditions are exported with an empty name.
    if (member.name === undefined || member.name === "") return value;
    const key =
      typeof member.name === "string" ? member.name : String(resolveInput(member.name, scope) ?? "");
    return { key, value };
  });
}

/**
 * `stepName.results.path`, in a loop `loopName.currentItem.path` and `loopName.index`: own data of plain results
 * only, so that a reference never reaches a prototype.
 */
export function readReference(text: string, stepResults: StepResults): unknown {
  const [stepName = "", ...path] = pathOf(text);
  if (!Object.hasOwn(stepResults, stepName)) {
    throw new Error(`The reference "${text.slice(0, 200)}" names no step that ran before.`);
  }
  const outcome = stepResults[stepName]!;
  return path.length === 0 ? outcome.results : walk(outcome, path);
}

const pathsMax = 2000;
const paths = new Map<string, readonly string[]>();

/** Parsed once for each text and thread. */
function pathOf(text: string): readonly string[] {
  const known = paths.get(text);
  if (known !== undefined) return known;
  const parsed = parsePath(text);
  if (!parsed.ok) throw new Error(parsed.message);
  if (paths.size >= pathsMax) paths.delete(paths.keys().next().value!);
  paths.set(text, parsed.path);
  return parsed.path;
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

const templatePattern = /\{\{\s*([#$]?)([^{}]{1,1024}?)\s*\}\}/g;

/** `{{#Config Variable}}` and `{{$step.results.path}}`, the latter also without its sign; what is not there leaves nothing. */
function fillTemplate(template: string, scope: InputScope): string {
  return template.replace(templatePattern, (_whole, sign: string, name: string) => {
    const value = sign === "#" ? scope.configVars[name] : readReference(name, scope.stepResults);
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

/** "Create AcmeERP Payload" → "createAcmeerpPayload": what older definitions call the same step. */
export function plainCamelCase(name: string): string {
  const words = name.match(/[\p{L}\p{N}]+/gu) ?? [name];
  return words
    .map((word, index) => {
      const lower = word.toLowerCase();
      return index === 0 ? lower : lower.charAt(0).toUpperCase() + lower.slice(1);
    })
    .join("");
}
