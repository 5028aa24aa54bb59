/** Tokens by which users sign in to the API. */
import type { ObjectFieldBuilder } from "@pothos/core";
import { z } from "zod";
import { newId, newSecret } from "../../shared/ids.ts";
import { tokenHash } from "../../shared/secrets.ts";
import { type Context, isAdmin, viewerUserId } from "../context.ts";
import type { ConfigDatabase, ConfigTransaction } from "../store/store.ts";
import type { ConfigTables } from "../store/tables.ts";
import { builder } from "./builder.ts";
import { emptyPage, type PageArguments, pageOfQuery } from "./connections.ts";
import { nameCheck, notFound, requiredId } from "./inputs.ts";
import { AuthenticatedUserType, Organization } from "./organization.ts";
import { type FieldError, InputError, mutation, wholeInput } from "./payloads.ts";
import { User } from "./refs.ts";
import { loadUsers } from "./users.ts";

type Types = typeof builder.$inferSchemaTypes;

/** What is kept of a token: never the token itself. */
type TokenItem = Omit<ConfigTables["tokens"], "hash">;

const UserToken = builder.objectRef<TokenItem>("UserToken");

builder.node(UserToken, {
  description:
    "A token by which a user signs in to the API. The token itself is shown once, when it is made.",
  authScopes: (token, context) => maySeeTokens(context, token.userId),
  id: { resolve: (token) => token.id },
  loadOne: async (id, context) => {
    const token = await tokensOf(context.store.config).where("id", "=", id).executeTakeFirst();
    return token !== undefined && maySeeTokens(context, token.userId) ? token : null;
  },
  fields: (t) => ({
    name: t.exposeString("name", { description: "What the token is for." }),
    user: t.loadable({
      type: User,
      nullable: true,
      description: "Whom it acts for.",
      load: loadUsers,
      resolve: (token) => token.userId,
    }),
    createdAt: t.field({
      type: "DateTime",
      description: "When it was made.",
      resolve: (token) => token.createdAtMs,
    }),
    expiresAt: t.field({
      type: "DateTime",
      nullable: true,
      description: "When it ends; null for one that does not.",
      resolve: (token) => token.expiresAtMs,
    }),
    revokedAt: t.field({
      type: "DateTime",
      nullable: true,
      description: "When it was revoked; null for one that was not.",
      resolve: (token) => token.revokedAtMs,
    }),
    lastUsedAt: t.field({
      type: "DateTime",
      nullable: true,
      description: "When it was last used, at most a minute behind; null for one that never was.",
      resolve: (token) => token.lastUsedAtMs,
    }),
  }),
});

const tokensOf = (database: ConfigDatabase | ConfigTransaction) =>
  database
    .selectFrom("tokens")
    .select(["id", "role", "userId", "name", "createdAtMs", "expiresAtMs", "revokedAtMs", "lastUsedAtMs"]);

/** A user sees its own tokens; the organization's admins see all. */
const maySeeTokens = (context: Context, userId: string | null): boolean =>
  isAdmin(context) || (userId !== null && viewerUserId(context.viewer) === userId);

const UserTokenConnection = builder.connectionObject(
  { type: UserToken, name: "UserTokenConnection", description: "A page of tokens." },
  { name: "UserTokenEdge", description: "A token with its cursor." },
);

const pageOfTokens = (context: Context, userId: string | null, args: PageArguments) =>
  pageOfQuery(tokensOf(context.store.config).where("userId", userId === null ? "is" : "=", userId), args, {
    columns: ["id"],
    key: (row) => [row.id],
    direction: "desc",
  });

builder.objectField(User, "tokens", (t) =>
  t.connection(
    {
      type: UserToken,
      description:
        "The user's tokens, the newest first; revoked ones among them. For the user itself, and for admins.",
      authScopes: (user, _args, context) => maySeeTokens(context, user.id),
      resolve: (user, args, context) => pageOfTokens(context, user.id, args),
    },
    UserTokenConnection,
  ),
);

builder.objectField(AuthenticatedUserType, "tokens", (t) =>
  t.connection(
    {
      type: UserToken,
      description: "The user's own tokens, the newest first; revoked ones among them.",
      resolve: ({ user }, args, context) =>
        user === null ? emptyPage<TokenItem>() : pageOfTokens(context, user.id, args),
    },
    UserTokenConnection,
  ),
);

builder.objectField(Organization, "tokens", (t) =>
  t.connection(
    {
      type: UserToken,
      description: "The tokens that belong to no user: the first admin token, and the data planes' own.",
      authScopes: { admin: true },
      resolve: (_organization, args, context) => pageOfTokens(context, null, args),
    },
    UserTokenConnection,
  ),
);

const tokenCheck = z.object({
  name: nameCheck.nullish(),
  expiresAt: z
    .date()
    .refine((date) => date.getTime() > Date.now(), "This moment has passed.")
    .nullish(),
});

mutation("createUserToken", {
  description: "Makes a token for a user. It does what the user's role allows at the time of each request.",
  authScopes: { admin: true },
  input: (t) => ({
    user: t.id({ required: true, description: "Whom it acts for." }),
    name: t.string({ description: "What it is for." }),
    expiresAt: t.field({ type: "DateTime", description: "When it ends; never where it is left out." }),
  }),
  check: tokenCheck,
  resolve: (input, context) => makeToken(context, requiredId("User", input.user, "user"), input),
  output: (t) => newTokenFields(t),
});

mutation("createAccessToken", {
  description:
    "Makes a token for the user who asks. Who signed in with an embedded customer's short-lived token can't make one.",
  authScopes: { signedIn: true },
  input: (t) => ({
    name: t.string({ required: true, description: "What it is for." }),
    expiresAt: t.field({ type: "DateTime", description: "When it ends; never where it is left out." }),
  }),
  check: tokenCheck,
  resolve: (input, context) => makeToken(context, ownUserId(context), input),
  output: (t) => newTokenFields(t),
});

mutation("revokeUserToken", {
  description: "Makes a token invalid, at once and for good.",
  authScopes: { admin: true },
  input: (t) => ({ id: t.id({ required: true, description: "The token's id." }) }),
  resolve: (input, context) => revokeToken(context, input.id, () => true),
  output: (t) => ({
    userToken: t.expose("userToken", { type: UserToken, nullable: true, description: "The token." }),
  }),
});

mutation("revokeAccessToken", {
  description: "Makes one of the own tokens invalid, at once and for good.",
  authScopes: { signedIn: true },
  input: (t) => ({ id: t.id({ required: true, description: "The token's id." }) }),
  resolve: (input, context) =>
    revokeToken(
      context,
      input.id,
      ({ userId }) => userId !== null && userId === viewerUserId(context.viewer),
    ),
  output: (t) => ({
    userToken: t.expose("userToken", { type: UserToken, nullable: true, description: "The token." }),
  }),
});

interface NewToken {
  userToken: TokenItem;
  token: string;
}

const newTokenFields = (t: ObjectFieldBuilder<Types, Partial<NewToken> & { errors: FieldError[] }>) => ({
  userToken: t.expose("userToken", { type: UserToken, nullable: true, description: "What is kept of it." }),
  token: t.exposeString("token", {
    nullable: true,
    description: "The token itself. It is shown here only: nothing can show it again.",
  }),
});

/** Valid ones of one user: more than this are rather forgotten than needed. */
const tokensPerUserMax = 100;

async function makeToken(
  { feed }: Context,
  userId: string,
  { name, expiresAt }: { name?: string | null | undefined; expiresAt?: Date | null | undefined },
): Promise<NewToken> {
  const secret = newSecret("swu_");
  const userToken = await feed.transact(async (transaction) => {
    const user = await transaction
      .selectFrom("users")
      .select("customerId")
      .where("id", "=", userId)
      .executeTakeFirst();
    if (user === undefined) throw notFound("user", "user");
    const now = Date.now();
    const valid = await tokensOf(transaction)
      .where("userId", "=", userId)
      .where("revokedAtMs", "is", null)
      .where((eb) => eb.or([eb("expiresAtMs", "is", null), eb("expiresAtMs", ">", now)]))
      .limit(tokensPerUserMax)
      .execute();
    if (valid.length >= tokensPerUserMax) {
      throw new InputError(wholeInput, `A user has at most ${tokensPerUserMax} tokens. Revoke one first.`);
    }
    const token: TokenItem = {
      id: newId(),
      role: user.customerId === null ? "ORGANIZATION" : "CUSTOMER",
      userId,
      name: name?.trim() ?? "",
      createdAtMs: now,
      expiresAtMs: expiresAt?.getTime() ?? null,
      revokedAtMs: null,
      lastUsedAtMs: null,
    };
    await transaction
      .insertInto("tokens")
      .values({ ...token, hash: tokenHash(secret) })
      .execute();
    return token;
  });
  return { userToken, token: secret };
}

/** The user whose lasting token was shown: a short-lived one must not be turned into one that lasts. */
function ownUserId({ viewer }: Context): string {
  const userId = viewerUserId(viewer);
  if (userId === null) {
    throw new InputError(wholeInput, "This token belongs to no user. Make tokens by createUserToken.");
  }
  if (viewer?.tokenId == null) {
    throw new InputError(
      wholeInput,
      "Who signed in with a signed, short-lived token can't make a lasting one.",
    );
  }
  return userId;
}

async function revokeToken(
  { feed }: Context,
  nodeId: string,
  mayRevoke: (token: TokenItem) => boolean,
): Promise<{ userToken: TokenItem }> {
  const id = requiredId("UserToken", nodeId, "id");
  const userToken = await feed.transact(async (transaction) => {
    const token = await tokensOf(transaction).where("id", "=", id).executeTakeFirst();
    if (token === undefined || !mayRevoke(token)) throw notFound("id", "token");
    const revokedAtMs = token.revokedAtMs ?? Date.now();
    await transaction.updateTable("tokens").set({ revokedAtMs }).where("id", "=", id).execute();
    return { ...token, revokedAtMs };
  });
  return { userToken };
}
