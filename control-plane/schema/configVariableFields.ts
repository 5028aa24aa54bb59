/** What an API client sees of a config variable's value: of an instance or of one of its users. */
import type { ObjectFieldBuilder } from "@pothos/core";
import type { RequiredConfigVar } from "../../shared/requiredConfigVars.ts";
import { type Context, isOrganization, maySeeCustomer } from "../context.ts";
import { authorizeUrl, callbackPath } from "../oauth/authorize.ts";
import { oauthSettings } from "../oauth/settings.ts";
import type { ConfiguredVersion } from "../store/configuredVersions.ts";
import { isConfigured } from "../store/configVariables.ts";
import { connectionStatus, isConnection } from "../store/connectionValues.ts";
import type { ConfigDatabase } from "../store/store.ts";
import { builder } from "./builder.ts";
import { pageOfList } from "./connections.ts";
import type { ConfigVariableItem } from "./instanceRefs.ts";
import { maySeeValue, RequiredConfigVariable } from "./requiredConfigVariables.ts";

type Types = typeof builder.$inferSchemaTypes;

/** Of a connection; other variables have none. */
export const statusOf = ({ variable, given }: ConfigVariableItem) =>
  isConnection(variable) ? connectionStatus(variable, given, given?.state ?? null) : null;

const ConfigVariableStatus = builder.enumType("InstanceConfigVariableStatus", {
  description: "How it stands with a connection.",
  values: {
    ACTIVE: { value: "ACTIVE", description: "It can be used." },
    ERROR: { value: "ERROR", description: "Its OAuth server refused it: it must be authorized again." },
    PENDING: { value: "PENDING", description: "Fields are missing, or nobody has authorized it yet." },
  } as const,
});

interface InputValueItem {
  name: string;
  type: string;
  value: string | null;
  hasValue: boolean;
}

const ConfigVariableInputValue = builder.objectRef<InputValueItem>("ConfigVariableInput").implement({
  description: "An input field of a connection.",
  fields: (t) => ({
    name: t.exposeString("name", { description: "The field's name." }),
    type: t.exposeString("type", { description: "How the value is given: value, reference or complex." }),
    value: t.exposeString("value", {
      nullable: true,
      description: "The value, where it is known to be no secret.",
    }),
    hasValue: t.exposeBoolean("hasValue", { description: "Whether a value was given, shown or not." }),
  }),
});

const InputValueConnection = builder.connectionObject(
  {
    type: ConfigVariableInputValue,
    name: "ConfigVariableInputConnection",
    description: "A page of input fields.",
  },
  { name: "ConfigVariableInputEdge", description: "An input field with its cursor." },
);

/** The fields that both kinds of config variables have. */
export const configVariableFields = (t: ObjectFieldBuilder<Types, ConfigVariableItem>) => ({
  value: t.string({
    nullable: true,
    description: "The value that was given, as text; null where none was, and for connections.",
    resolve: ({ variable, given }, _args, context) =>
      maySeeValue(context, variable) ? (given?.value ?? null) : null,
  }),
  status: t.field({
    type: ConfigVariableStatus,
    nullable: true,
    description: "How it stands with a connection; null for other variables.",
    resolve: statusOf,
  }),
  error: t.string({
    nullable: true,
    description: "What an OAuth server or the way to it had against the last attempt to get a token.",
    resolve: ({ given }) => given?.state?.error ?? null,
  }),
  isConfigured: t.boolean({
    description: "Whether it has a value or a default; a connection needs values of its own.",
    resolve: ({ variable, given }) => isConfigured(variable, given),
  }),
  authorizeUrl: t.string({
    nullable: true,
    description:
      "Where somebody authorizes an OAuth 2.0 connection, for an hour; null where nothing is to be authorized, fields are missing, or the viewer may not.",
    resolve: (item, _args, context) => urlToAuthorize(context, item),
  }),
  refreshAt: t.field({
    type: "DateTime",
    nullable: true,
    description: "When an OAuth 2.0 token is fetched anew; null where it is not.",
    resolve: ({ given }) => given?.state?.refreshAtMs ?? null,
  }),
  lastSuccessfulRefreshAt: t.field({
    type: "DateTime",
    nullable: true,
    description: "When an OAuth 2.0 token was last fetched anew.",
    resolve: ({ given }) => given?.state?.refreshedAtMs ?? null,
  }),
  inputs: t.connection(
    {
      type: ConfigVariableInputValue,
      description: "The input fields of a connection. Values that may be secret are null.",
      resolve: (item, args, context) => pageOfList(inputValuesOf(context, item), args),
    },
    InputValueConnection,
  ),
  requiredConfigVariable: t.field({
    type: RequiredConfigVariable,
    description: "What the version asks for.",
    resolve: ({ configured, variable }) => ({ configured, variable }),
  }),
  scheduleType: t.string({
    nullable: true,
    description: "Of a schedule: how it repeats.",
    resolve: ({ given }) => given?.scheduleType ?? null,
  }),
  timeZone: t.string({
    nullable: true,
    description: "Of a schedule: its time zone.",
    resolve: ({ given }) => given?.timeZone ?? null,
  }),
  meta: t.field({
    type: "JSONString",
    nullable: true,
    description: "Further facts about the variable; null where there are none.",
    resolve: ({ variable }) => variable.meta ?? null,
  }),
});

/** Only connections in one of these states, in any case. */
export function withStatus(
  items: ConfigVariableItem[],
  {
    status,
    status_In,
  }: { status?: string | null | undefined; status_In?: (string | null | undefined)[] | null | undefined },
): ConfigVariableItem[] {
  return items.filter((item) => {
    if (status != null && statusOf(item) !== status.toUpperCase()) return false;
    return status_In == null || status_In.some((wanted) => wanted?.toUpperCase() === statusOf(item));
  });
}

/** Organization's admins, the customer's, and a user for its own. */
export function mayAuthorize(context: Context, { instance, owner, variable }: ConfigVariableItem): boolean {
  const { viewer } = context;
  if (viewer?.role === "ADMIN") return true;
  if (viewer?.role !== "CUSTOMER_ADMIN" && viewer?.role !== "CUSTOMER_MEMBER") return false;
  if (!maySeeCustomer(context, instance.customerId) || !maySeeValue(context, variable)) return false;
  return owner.userId === null ? viewer.role === "CUSTOMER_ADMIN" : owner.userId === viewer.userId;
}

function urlToAuthorize(context: Context, item: ConfigVariableItem): string | null {
  const { variable, given, owner } = item;
  if (variable.declared?.oauth2Type !== "authorization_code" || !mayAuthorize(context, item)) return null;
  const read = oauthSettings(variable, given, context.config.oauthHttp === "everywhere");
  if (!read.ok || read.settings.authorizeUrl === null) return null;
  const settings = { ...read.settings, authorizeUrl: read.settings.authorizeUrl };
  const redirectUri = context.urls.control(callbackPath);
  return authorizeUrl(context.store.pepper, settings, owner, variable.key, redirectUri);
}

function inputValuesOf(
  context: Context,
  { variable, given, shownInputs }: ConfigVariableItem,
): InputValueItem[] {
  if (!isConnection(variable)) return [];
  const names = new Set([
    ...Object.keys(variable.inputs),
    ...(given?.inputs ?? []).map((field) => field.name),
  ]);
  const isSeen = maySeeValue(context, variable);
  return [...names].map((name) => {
    const field = given?.inputs?.find((candidate) => candidate.name === name);
    const isShown = isSeen && shownInputs.has(name) && maySeeInput(context, variable.inputMeta?.[name]);
    const value = field === undefined || !isShown ? null : field.value;
    return {
      name,
      type: field?.type ?? "value",
      value: value === null ? null : typeof value === "string" ? value : JSON.stringify(value),
      hasValue: (field?.value ?? "") !== "",
    };
  });
}

const maySeeInput = (context: Context, meta: Record<string, unknown> | undefined): boolean =>
  meta?.["writeOnly"] !== true &&
  (isOrganization(context) || (meta?.["orgOnly"] !== true && meta?.["visibleToCustomerDeployer"] !== false));

/**
 * The fields of each connection that its component declares as something else than a password. What no
 * component of the definition declares counts as secret.
 */
export async function shownConnectionInputs(
  database: ConfigDatabase,
  { definition }: ConfiguredVersion,
): Promise<Map<string, Set<string>>> {
  const shown = new Map<string, Set<string>>();
  for (const { connectionKey, declared } of definition.requiredConfigVars) {
    if (connectionKey !== null && declared !== undefined)
      shown.set(connectionKey, openInputs(declared.inputs));
  }
  const digests = Object.values(definition.bundles);
  if (digests.length === 0 || !definition.requiredConfigVars.some(isOldConnection)) return shown;
  const rows = await database
    .selectFrom("components")
    .select("definitionJson")
    .where("digest", "in", digests)
    .execute();
  for (const row of rows) {
    const { connections } = JSON.parse(row.definitionJson) as { connections?: DeclaredConnection[] };
    for (const { key, inputs } of connections ?? []) {
      if (!shown.has(key)) shown.set(key, openInputs(inputs ?? []));
    }
  }
  return shown;
}

/** Of a definition that was imported before connections' declarations were taken into definitions. */
const isOldConnection = (variable: RequiredConfigVar): boolean =>
  isConnection(variable) && variable.declared === undefined;

const openInputs = (inputs: readonly { key: string; type: string }[]): Set<string> =>
  new Set(inputs.filter(({ key, type }) => type !== "password" && !isSecretName(key)).map(({ key }) => key));

interface DeclaredConnection {
  key: string;
  inputs?: { key: string; type: string }[];
}

const isSecretName = (name: string): boolean =>
  // A tokenUrl is no token.
  !/ur[il]$/i.test(name) &&
  /pass|secret|token|credential|private|api[-_]?key|client[-_]?key|access[-_]?key/i.test(name);
