/** Tokens by which users sign in to the API. */
import { z } from "zod";
import { newId, newSecret } from "../../shared/ids.ts";
import { tokenHash } from "../../shared/secrets.ts";
import type { ConfigTables, TokenRole } from "../store/tables.ts";
import { builder } from "./builder.ts";
import { pageOfQuery } from "./connections.ts";
import { nameCheck, notFound, requiredId } from "./inputs.ts";
import { InputError, mutation } from "./payloads.ts";
import { User } from "./refs.ts";
import { loadUsers } from "./users.ts";

/** What is kept of a token: never the token itself. */
type TokenItem = Omit<ConfigTables["tokens"], "hash">;

const UserToken = builder.objectRef<TokenItem>("UserToken");

builder.node(UserToken, {
  description:
    "A token by which a user signs in to the API. The token itself is shown once, when it is made.",
  id: { resolve: (token) => token.id },
  loadOne: async (id, { store, viewer }) =>
    viewer?.role === "ADMIN"
      ? await store.config.selectFrom("tokens").select(columns).where("id", "=", id).executeTakeFirst()
      : null,
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
  }),
});

const columns = [
  "id",
  "role",
  "userId",
  "name",
  "createdAtMs",
  "expiresAtMs",
  "revokedAtMs",
  "lastUsedAtMs",
] as const;

const UserTokenConnection = builder.connectionObject(
  { type: UserToken, name: "UserTokenConnection", description: "A page of tokens." },
  { name: "UserTokenEdge", description: "A token with its cursor." },
);

builder.objectField(User, "tokens", (t) =>
  t.connection(
    {
      type: UserToken,
      description: "The user's tokens, the newest first; revoked ones among them.",
      authScopes: { admin: true },
      resolve: (user, args, { store }) =>
        pageOfQuery(store.config.selectFrom("tokens").select(columns).where("userId", "=", user.id), args, {
          columns: ["id"],
          key: (row) => [row.id],
          direction: "desc",
        }),
    },
    UserTokenConnection,
  ),
);

mutation("createUserToken", {
  description:
    "Makes a token for a user: one of a customer sees that customer only, one of the organization is an admin.",
  authScopes: { admin: true },
  input: (t) => ({
    user: t.id({ required: true, description: "Whom it acts for." }),
    name: t.string({ description: "What it is for." }),
    expiresAt: t.field({ type: "DateTime", description: "When it ends; never where it is left out." }),
  }),
  check: z.object({ name: nameCheck.nullish() }),
  resolve: async (input, { feed }) => {
    const userId = requiredId("User", input.user, "user");
    const expiresAtMs = input.expiresAt?.getTime() ?? null;
    if (expiresAtMs !== null && expiresAtMs <= Date.now()) {
      throw new InputError("expiresAt", "This moment has passed.");
    }
    const secret = newSecret("swu_");
    const userToken = await feed.transact(async (transaction) => {
      const user = await transaction
        .selectFrom("users")
        .select("customerId")
        .where("id", "=", userId)
        .executeTakeFirst();
      if (user === undefined) throw notFound("user", "user");
      const role: TokenRole = user.customerId === null ? "ORGANIZATION" : "CUSTOMER";
      const token: TokenItem = {
        id: newId(),
        role,
        userId,
        name: input.name ?? "",
        createdAtMs: Date.now(),
        expiresAtMs,
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
  },
  output: (t) => ({
    userToken: t.expose("userToken", { type: UserToken, nullable: true, description: "What is kept of it." }),
    token: t.exposeString("token", {
      nullable: true,
      description: "The token itself. It is shown here only: nothing can show it again.",
    }),
  }),
});

mutation("revokeUserToken", {
  description: "Makes a token invalid, at once and for good.",
  authScopes: { admin: true },
  input: (t) => ({ id: t.id({ required: true, description: "The token's id." }) }),
  resolve: async (input, { feed }) => {
    const id = requiredId("UserToken", input.id, "id");
    const userToken = await feed.transact(async (transaction) => {
      await transaction
        .updateTable("tokens")
        .set({ revokedAtMs: Date.now() })
        .where("id", "=", id)
        .where("revokedAtMs", "is", null)
        .execute();
      return transaction.selectFrom("tokens").select(columns).where("id", "=", id).executeTakeFirst();
    });
    if (userToken === undefined) throw notFound("id", "token");
    return { userToken };
  },
  output: (t) => ({
    userToken: t.expose("userToken", { type: UserToken, nullable: true, description: "The token." }),
  }),
});
