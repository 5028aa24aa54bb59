/** OAuth 2.0 connections of instances: disconnecting them, and bringing tokens along from elsewhere. */
import { z } from "zod";
import { idFromNodeId } from "../../shared/ids.ts";
import type { Context } from "../context.ts";
import { tokenTimes } from "../oauth/tokenTimes.ts";
import { nothingGiven } from "../store/configVariables.ts";
import { connectionValue } from "../store/connectionValues.ts";
import { keepToken, pendingTokens, type TokenState } from "../store/oauthTokens.ts";
import { mayAuthorize } from "./configVariableFields.ts";
import { loadConfigVariable } from "./configVariables.ts";
import { notFound } from "./inputs.ts";
import { type ConfigVariableItem, InstanceConfigVariable } from "./instanceRefs.ts";
import { InputError, mutation } from "./payloads.ts";

const tokenLengthMax = 64 * 1024;
const tokenCheck = z.string().max(tokenLengthMax, `At most ${tokenLengthMax} characters.`).nullish();

mutation("disconnectConnection", {
  description:
    "Takes the tokens away from an OAuth 2.0 connection, also from what is deployed. Its fields stay, so that it can be authorized again.",
  authScopes: { admin: true, customer: true },
  input: (t) => ({ id: t.id({ required: true, description: "The config variable's id." }) }),
  resolve: async (input, context) => {
    const item = oauthConnection(context, await foundVariable(context, input.id));
    await replaceToken(context, item, null, pendingTokens(null));
    return { instanceConfigVariable: await foundVariable(context, input.id) };
  },
  output: (t) => ({
    instanceConfigVariable: t.expose("instanceConfigVariable", {
      type: InstanceConfigVariable,
      nullable: true,
      description: "The connection as it is now.",
    }),
  }),
});

mutation("updateOAuth2Connection", {
  description:
    "Gives an OAuth 2.0 connection tokens that were obtained elsewhere. They count at once, and are renewed like others.",
  authScopes: { admin: true },
  input: (t) => ({
    id: t.id({ required: true, description: "The config variable's id." }),
    accessToken: t.string({ description: "The access token; the present one where it is left out." }),
    refreshToken: t.string({ description: "What the access token is renewed with." }),
    tokenType: t.string({ description: "The token's type, such as bearer." }),
    expiresIn: t.int({ description: "Seconds until the access token ends." }),
    refreshAt: t.field({
      type: "DateTime",
      description: "When it is renewed; by default well before its end.",
    }),
    additionalTokenFields: t.field({
      type: "JSONString",
      description: "Further fields of the token, as JSON.",
    }),
    context: t.field({
      type: "JSONString",
      description: "The connection's context, as JSON; replaces the present one.",
    }),
  }),
  check: z.object({
    accessToken: tokenCheck,
    refreshToken: tokenCheck,
    expiresIn: z.number().min(1, "At least 1.").nullish(),
  }),
  resolve: async (input, context) => {
    const item = oauthConnection(context, await foundVariable(context, input.id));
    const present = connectionValue(item.variable, item.given);
    const token: Record<string, unknown> = {
      ...present.token,
      ...fieldsOf(input.additionalTokenFields, "additionalTokenFields"),
      ...(input.accessToken == null ? {} : { access_token: input.accessToken }),
      ...(input.refreshToken == null ? {} : { refresh_token: input.refreshToken }),
      ...(input.tokenType == null ? {} : { token_type: input.tokenType }),
      ...(input.expiresIn == null ? {} : { expires_in: input.expiresIn }),
    };
    if (typeof token["access_token"] !== "string") {
      throw new InputError("accessToken", "The connection has no token yet: give it an accessToken.");
    }
    const times = tokenTimes(token, Date.now());
    const refreshAtMs = input.refreshAt?.getTime() ?? times.refreshAtMs;
    const state: TokenState = { status: "ACTIVE", error: null, failures: 0, ...times, refreshAtMs };
    const given = fieldsOf(input.context, "context") ?? present.context;
    await replaceToken(context, item, given === undefined ? { token } : { token, context: given }, state);
    return { instanceConfigVariable: await foundVariable(context, input.id) };
  },
  output: (t) => ({
    instanceConfigVariable: t.expose("instanceConfigVariable", {
      type: InstanceConfigVariable,
      nullable: true,
      description: "The connection as it is now.",
    }),
  }),
});

const foundVariable = async (context: Context, nodeId: string): Promise<ConfigVariableItem | null> => {
  const id = idFromNodeId("InstanceConfigVariable", nodeId);
  return id === null ? null : loadConfigVariable(context, id);
};

/** The same, where the viewer may authorize it. */
export function oauthConnection(context: Context, item: ConfigVariableItem | null): ConfigVariableItem {
  if (item === null || !mayAuthorize(context, item)) throw notFound("id", "connection");
  if (item.variable.declared?.oauth2Type === undefined) {
    throw new InputError("id", `"${item.variable.key}" is no OAuth 2.0 connection.`);
  }
  return item;
}

export async function replaceToken(
  { feed, store }: Context,
  { owner, variable, given }: ConfigVariableItem,
  next: Parameters<typeof keepToken>[5],
  state: TokenState,
): Promise<void> {
  const version = await feed.transact((transaction) =>
    keepToken(transaction, store, owner, variable, given ?? nothingGiven, next, state),
  );
  if (version === null) throw new InputError("id", "The connection was changed meanwhile: try again.");
}

function fieldsOf(value: unknown, field: string): Record<string, unknown> | undefined {
  if (value == null) return undefined;
  if (typeof value === "object" && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new InputError(field, "Give a JSON object.");
}
