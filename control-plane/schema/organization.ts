/** The organization whose integrations these are, and who is asking. */
import { z } from "zod";
import { toNodeId } from "../../shared/ids.ts";
import { type Context, type Viewer, viewerUserId } from "../context.ts";
import { customerAdmin, customerMember, organizationAdmin, type Role, roleOf } from "../roles.ts";
import { touch } from "../store/feedVersions.ts";
import type { Store } from "../store/store.ts";
import { builder } from "./builder.ts";
import { pageOfQuery } from "./connections.ts";
import { customerById } from "./customers.ts";
import { nameCheck } from "./inputs.ts";
import { mutation } from "./payloads.ts";
import { Customer, User, type UserRow } from "./refs.ts";
import { RoleType, UserConnection } from "./users.ts";

export const Organization = builder.objectRef<Store["organization"]>("Organization").implement({
  description: "The organization whose integrations these are.",
  fields: (t) => ({
    id: t.id({
      description: "The global id of the object.",
      resolve: (organization) => toNodeId("Organization", organization.id),
    }),
    name: t.exposeString("name", { description: "The organization's name." }),
    avatarUrl: t.string({
      nullable: true,
      description: "Where the organization's icon is.",
      resolve: async (_organization, _args, { store }) => {
        const row = await store.config
          .selectFrom("meta")
          .select("value")
          .where("key", "=", avatarKey)
          .executeTakeFirst();
        return row?.value;
      },
    }),
    users: t.connection(
      {
        type: User,
        description: "The organization's users, by email address.",
        authScopes: { organization: true },
        resolve: (_organization, args, { store }) =>
          pageOfQuery(store.config.selectFrom("users").selectAll().where("customerId", "is", null), args, {
            columns: ["email"],
            key: (row) => [row.email],
          }),
      },
      UserConnection,
    ),
  }),
});

const avatarKey = "organizationAvatarUrl";

interface AuthenticatedUser {
  viewer: Viewer;
  user: UserRow | null;
}

export const AuthenticatedUserType = builder.objectRef<AuthenticatedUser>("AuthenticatedUser").implement({
  description: "Who is asking.",
  fields: (t) => ({
    id: t.id({
      nullable: true,
      description: "The user's global id; null for the first admin token, which belongs to nobody.",
      resolve: ({ user }) => (user === null ? null : toNodeId("User", user.id)),
    }),
    name: t.string({
      description: "The user's name.",
      resolve: ({ user }) => user?.name || user?.email || "Administrator",
    }),
    email: t.string({
      description: "The user's email address.",
      resolve: ({ user }) => user?.email ?? "admin@localhost",
    }),
    tenantId: t.string({
      description: "The id of the organization, as one of possibly many of a host.",
      resolve: (_user, _args, { store }) => store.organization.id,
    }),
    role: t.field({
      type: RoleType,
      description: "What the user may do.",
      resolve: ({ viewer, user }): Role => {
        // What counts is what this request may do: a signed token may say another role than the user's.
        if (viewer.role === "CUSTOMER_ADMIN") return customerAdmin;
        if (viewer.role === "CUSTOMER_MEMBER") return customerMember;
        return user === null ? organizationAdmin : roleOf(user);
      },
    }),
    org: t.field({
      type: Organization,
      description: "The organization.",
      resolve: (_user, _args, { store }) => store.organization,
    }),
    customer: t.field({
      type: Customer,
      nullable: true,
      description: "The customer that the user belongs to; null for users of the organization.",
      resolve: ({ viewer }, _args, context) =>
        "customerId" in viewer ? customerById(viewer.customerId, context) : null,
    }),
  }),
});

interface Tenant {
  tenantId: string;
  url: string;
  orgName: string;
}

const TenantType = builder.objectRef<Tenant>("UserTenant").implement({
  description: "An organization that the user can sign in to.",
  fields: (t) => ({
    tenantId: t.exposeString("tenantId", { description: "The organization's id." }),
    url: t.exposeString("url", { description: "Where its API is." }),
    orgName: t.exposeString("orgName", { description: "The organization's name." }),
    awsRegion: t.string({
      description: "Always empty: this is a server of your own.",
      resolve: () => "",
    }),
    systemSuspended: t.boolean({ description: "Always false.", resolve: () => false }),
  }),
});

const TenantList = builder.objectRef<Tenant[]>("UserTenantList").implement({
  description: "The organizations that the user can sign in to.",
  fields: (t) => ({
    nodes: t.field({ type: [TenantType], description: "The organizations.", resolve: (tenants) => tenants }),
  }),
});

builder.queryFields((t) => ({
  authenticatedUser: t.field({
    type: AuthenticatedUserType,
    description: "Who is asking.",
    authScopes: { signedIn: true },
    resolve: (_root, _args, context) => authenticatedUser(context),
  }),
  organization: t.field({
    type: Organization,
    description: "The organization whose integrations these are.",
    authScopes: { signedIn: true },
    resolve: (_root, _args, { store }) => store.organization,
  }),
  listUserTenants: t.field({
    type: TenantList,
    description: "The organizations that the user can sign in to: this one.",
    authScopes: { signedIn: true },
    resolve: (_root, _args, { store, urls }) => [
      { tenantId: store.organization.id, url: urls.control(""), orgName: store.organization.name },
    ],
  }),
}));

mutation("updateOrganization", {
  description: "Changes the organization; what is left out stays as it is.",
  authScopes: { admin: true },
  input: (t) => ({
    id: t.id({ description: "The organization's id; there is only one." }),
    name: t.string({ description: "The new name." }),
    avatarUrl: t.string({ description: "Where the icon is: the objectUrl of an upload." }),
  }),
  check: z.object({ name: nameCheck.nullish(), avatarUrl: z.string().max(2000).nullish() }),
  resolve: async (input, { store, feed }) => {
    const name = input.name?.trim();
    await feed.transact(async (transaction) => {
      const values = { organizationName: name, [avatarKey]: input.avatarUrl };
      for (const [key, value] of Object.entries(values)) {
        if (value == null) continue;
        await transaction
          .insertInto("meta")
          .values({ key, value })
          .onConflict((conflict) => conflict.column("key").doUpdateSet({ value }))
          .execute();
      }
      await touch(transaction, [{ kind: "settings", id: "settings" }]);
    });
    if (name !== undefined) store.organization.name = name;
    return { organization: store.organization };
  },
  output: (t) => ({
    organization: t.expose("organization", {
      type: Organization,
      nullable: true,
      description: "The organization.",
    }),
  }),
});

async function authenticatedUser(context: Context): Promise<AuthenticatedUser> {
  const viewer = context.viewer!;
  const userId = viewerUserId(viewer);
  if (userId === null) return { viewer, user: null };
  const user = await context.store.config
    .selectFrom("users")
    .selectAll()
    .where("id", "=", userId)
    .executeTakeFirst();
  return { viewer, user: user ?? null };
}
