/** What a definition asks an instance to be configured with: its config variables, and the pages they stand on. */
import { z } from "zod";
import type { InputValue } from "./definition.ts";

/** An input field of a connection, as its component declares it. */
export interface DeclaredInput {
  key: string;
  /** `password`, `string`, `template` and so on. */
  type: string;
  /** Of a template: the text with `{{#otherField}}` in it. */
  default?: string;
  isRequired?: true;
}

/** A connection as its component declares it: taken into the definition when that is imported. */
export interface DeclaredConnection {
  oauth2Type?: "authorization_code" | "client_credentials";
  oauth2PkceMethod?: "plain" | "S256";
  inputs: DeclaredInput[];
}

/** A part of a component that a config variable names. */
export interface PartReference {
  componentKey: string;
  isPublic: boolean;
  key: string;
}

/** Members that are missing say nothing: most variables have few of them. */
export interface RequiredConfigVar {
  key: string;
  stableKey: string;
  dataType: string;
  description: string;
  defaultValue: string | null;
  orgOnly: boolean;
  collectionType: string | null;
  pickList: string[] | null;
  /** Of connections: the input fields' defaults, by field name. Of data sources: their inputs. */
  inputs: Record<string, InputValue>;
  /** Only for connections: the key of the connection in its component. */
  connectionKey: string | null;
  /** Of a schedule without one of its own. */
  scheduleType?: string;
  timeZone?: string;
  codeLanguage?: string;
  /** False where only the organization and its programs see and set the value. */
  isVisibleToCustomer?: false;
  /** True where each user of the customer has a value of its own. */
  isUserLevel?: true;
  connection?: PartReference & { template?: string };
  declared?: DeclaredConnection;
  dataSource?: PartReference;
  /** As written: how the wizard shows the variable. */
  meta?: Record<string, unknown>;
  /** As written, by input. */
  inputMeta?: Record<string, Record<string, unknown>>;
}

export interface ConfigPage {
  name: string;
  tagline?: string;
  /** Each user of the customer fills it in. */
  userLevelConfigured?: true;
  elements: { type: string; value: string }[];
}

const dataTypes = [
  "string",
  "date",
  "timestamp",
  "picklist",
  "schedule",
  "code",
  "boolean",
  "number",
  "objectSelection",
  "objectFieldMap",
  "jsonForm",
  "htmlElement",
  "connection",
] as const;
const collectionTypes = ["valuelist", "keyvaluelist"] as const;
export const scheduleTypes = ["none", "once", "minute", "hour", "day", "week", "custom"] as const;

const keyLengthMax = 200;
export const configVarsMax = 1_000;
const pagesMax = 100;
const elementsMax = 1_000;

const meta = z.record(z.string(), z.unknown()).nullish();
const partReference = z.object({
  key: z.string().min(1),
  template: z.string().nullish(),
  component: z.object({ key: z.string().min(1), isPublic: z.boolean().nullish() }).nullish(),
});
const emptyAsNone = (value: unknown): unknown => (value === "" ? null : value);

export const configVarSchema = z.object({
  key: z.string().min(1).max(keyLengthMax),
  stableKey: z.string().max(keyLengthMax).nullish(),
  dataType: z.enum(dataTypes, { error: `must be one of ${dataTypes.join(", ")}` }).default("string"),
  description: z.string().nullish(),
  defaultValue: z.union([z.string(), z.number(), z.boolean()]).nullish(),
  orgOnly: z.boolean().nullish(),
  collectionType: z.preprocess(emptyAsNone, z.enum(collectionTypes).nullish()),
  pickList: z.array(z.string()).nullish(),
  scheduleType: z.preprocess(emptyAsNone, z.enum(scheduleTypes).nullish()),
  timeZone: z.string().nullish(),
  codeLanguage: z.string().nullish(),
  inputs: z.record(z.string(), z.unknown()).nullish(),
  connection: partReference.nullish(),
  dataSource: partReference.nullish(),
  useScopedConfigVar: z.string().nullish(),
  meta,
});

export const configPageSchema = z.object({
  name: z.string().max(keyLengthMax),
  tagline: z.string().nullish(),
  userLevelConfigured: z.boolean().nullish(),
  elements: z
    .array(z.object({ type: z.string(), value: z.string() }))
    .max(elementsMax)
    .nullish(),
});
export const configPagesSchema = z.array(configPageSchema).max(pagesMax).nullish();

type RawConfigVar = z.infer<typeof configVarSchema>;

/** `readInput` gives null for what is no input. */
export function compileConfigVar(
  raw: RawConfigVar,
  pages: readonly ConfigPage[],
  readInput: (input: unknown) => InputValue | null,
): RequiredConfigVar {
  const inputs: [string, InputValue][] = [];
  const inputMeta: [string, Record<string, unknown>][] = [];
  for (const [name, input] of Object.entries(raw.inputs ?? {})) {
    const read = readInput(input);
    if (read !== null) inputs.push([name, read]);
    const given = (input as { meta?: unknown } | null)?.meta;
    if (typeof given === "object" && given !== null) inputMeta.push([name, given as Record<string, unknown>]);
  }
  const variable: RequiredConfigVar = {
    key: raw.key,
    stableKey: raw.stableKey || raw.key,
    dataType: raw.dataType,
    description: raw.description ?? "",
    defaultValue: raw.defaultValue == null ? null : String(raw.defaultValue),
    orgOnly: raw.orgOnly ?? false,
    collectionType: raw.collectionType ?? null,
    pickList: raw.pickList ?? null,
    inputs: Object.fromEntries(inputs),
    connectionKey: raw.connection?.key ?? null,
  };
  if (raw.scheduleType != null) variable.scheduleType = raw.scheduleType;
  if (raw.timeZone) variable.timeZone = raw.timeZone;
  if (raw.codeLanguage) variable.codeLanguage = raw.codeLanguage;
  if (raw.meta?.["visibleToCustomerDeployer"] === false) variable.isVisibleToCustomer = false;
  if (isOnUserPage(raw.key, pages)) variable.isUserLevel = true;
  const connection = referenceOf(raw.connection);
  if (connection !== null) {
    variable.connection = raw.connection?.template
      ? { ...connection, template: raw.connection.template }
      : connection;
  }
  const dataSource = referenceOf(raw.dataSource);
  if (dataSource !== null) variable.dataSource = dataSource;
  if (raw.meta != null && Object.keys(raw.meta).length > 0) variable.meta = raw.meta;
  if (inputMeta.length > 0) variable.inputMeta = Object.fromEntries(inputMeta);
  return variable;
}

export const compileConfigPages = (raw: z.infer<typeof configPagesSchema>): ConfigPage[] =>
  (raw ?? []).map(({ name, tagline, userLevelConfigured, elements }) => {
    const page: ConfigPage = { name, elements: elements ?? [] };
    if (tagline) page.tagline = tagline;
    if (userLevelConfigured === true) page.userLevelConfigured = true;
    return page;
  });

/** A sentence for each thing that is wrong with the variables as a whole. */
export function configVarProblems(raw: readonly RawConfigVar[]): string[] {
  const problems: string[] = [];
  const seen = new Set<string>();
  for (const { key, useScopedConfigVar } of raw) {
    if (seen.has(key)) problems.push(`requiredConfigVars: two config variables have the key "${key}".`);
    seen.add(key);
    if (useScopedConfigVar) {
      problems.push(
        `requiredConfigVars: "${key}" uses the scoped connection "${useScopedConfigVar}", and Switchyard has no connections that instances share. Declare a connection of the instance instead.`,
      );
    }
  }
  return problems;
}

const isOnUserPage = (key: string, pages: readonly ConfigPage[]): boolean =>
  pages.some(
    ({ userLevelConfigured, elements }) =>
      userLevelConfigured === true &&
      elements.some(({ type, value }) => type === "configVar" && value === key),
  );

const referenceOf = (raw: z.infer<typeof partReference> | null | undefined): PartReference | null =>
  raw?.component == null
    ? null
    : { componentKey: raw.component.key, isPublic: raw.component.isPublic ?? true, key: raw.key };
