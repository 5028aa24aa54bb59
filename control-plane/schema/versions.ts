/** The published versions of an integration. */
import { touchIntegration } from "../store/feedVersions.ts";
import { publishDraft } from "../store/publishing.ts";
import { waitForDataPlanes } from "../waitForDataPlanes.ts";
import { builder } from "./builder.ts";
import { pageOfQuery } from "./connections.ts";
import { requiredIntegration } from "./integrationItems.ts";
import { IntegrationConnection } from "./integrations.ts";
import { InputError, mutation, wholeInput } from "./payloads.ts";
import { Integration, type IntegrationItem, User, type VersionRow } from "./refs.ts";
import { SortDirection } from "./scalars.ts";
import { loadUsers } from "./users.ts";

const VersionSortField = builder.enumType("IntegrationVersionSortField", {
  description: "What versions are sorted by.",
  values: {
    VERSION_NUMBER: { value: "number", description: "The version's number." },
    VERSION_CREATED_AT: { value: "createdAtMs", description: "When the version was published." },
  } as const,
});

const VersionSort = builder.inputType("IntegrationVersionSort", {
  description: "How versions are sorted.",
  fields: (t) => ({
    field: t.field({ type: VersionSortField, required: true, description: "What they are sorted by." }),
    direction: t.field({ type: SortDirection, required: true, description: "Which end comes first." }),
  }),
});

builder.objectFields(Integration, (t) => ({
  versionSequence: t.connection(
    {
      type: Integration,
      description: "The published versions; the newest first unless sortBy says otherwise.",
      authScopes: { organization: true },
      args: {
        versionIsAvailable: t.arg.boolean({
          description: "Only versions that are available (true), or are not (false).",
        }),
        sortBy: t.arg({
          type: [VersionSort],
          required: { list: false, items: false },
          description: "How they are sorted; the first of the list counts.",
        }),
      },
      resolve: ({ integration }, args, { store }) => {
        let query = store.config
          .selectFrom("versions")
          .selectAll()
          .where("integrationId", "=", integration.id);
        if (args.versionIsAvailable != null) {
          query = query.where("isAvailable", "=", args.versionIsAvailable ? 1 : 0);
        }
        const sort = args.sortBy?.[0];
        const field = sort?.field ?? "number";
        return pageOfQuery(
          query,
          args,
          {
            columns: [field, "id"],
            key: (row) => [row[field], row.id],
            direction: sort?.direction ?? "desc",
          },
          (version: VersionRow): IntegrationItem => ({ integration, version }),
        );
      },
    },
    IntegrationConnection,
  ),
  versionCreatedAt: t.field({
    type: "DateTime",
    nullable: true,
    description: "When the version was published; null for a draft.",
    resolve: ({ version }) => version?.createdAtMs,
  }),
  versionCreatedBy: t.loadable({
    type: User,
    nullable: true,
    description: "Who published the version; null for a draft, and where it was the first admin token.",
    authScopes: { organization: true },
    load: loadUsers,
    resolve: ({ version }) => version?.createdByUserId,
  }),
  versionComment: t.string({
    nullable: true,
    description: "What its publisher said about the version.",
    resolve: ({ version }) => version?.comment,
  }),
  versionAttributes: t.string({
    nullable: true,
    description: "JSON with facts on where the version comes from.",
    authScopes: { organization: true },
    resolve: ({ version }) => version?.attributesJson,
  }),
  versionIsAvailable: t.boolean({
    description: "Whether the version may be deployed; false for a draft.",
    resolve: ({ version }) => version?.isAvailable === 1,
  }),
}));

mutation("publishIntegration", {
  description: "Makes the draft the next version, if nothing would keep its webhooks from being routed.",
  authScopes: { admin: true },
  input: (t) => ({
    id: t.id({ required: true, description: "The integration's id." }),
    comment: t.string({ description: "What is new in this version." }),
    attributes: t.string({ description: "JSON with facts on where the version comes from." }),
  }),
  resolve: async (input, context) => {
    const { viewer, feed } = context;
    const { item, version } = await feed.transact(async (transaction) => {
      const { integration } = await requiredIntegration(transaction, input.id, "id");
      const published = await publishDraft(transaction, integration, {
        comment: input.comment ?? "",
        attributesJson: input.attributes ?? null,
        createdByUserId: viewer?.role === "ADMIN" ? viewer.userId : null,
      });
      if (!published.ok) throw new InputError(wholeInput, published.problems);
      return {
        item: { integration, version: published.version },
        version: await touchIntegration(transaction, integration.id),
      };
    });
    return { integration: item, pendingDataPlanes: await waitForDataPlanes(context, version) };
  },
  output: (t) => ({
    integration: t.expose("integration", {
      type: Integration,
      nullable: true,
      description: "The new version.",
    }),
    pendingDataPlanes: t.exposeStringList("pendingDataPlanes", {
      nullable: true,
      description: "The data planes that do not know of the organization's new keys yet.",
    }),
  }),
});

mutation("updateIntegrationVersionAvailability", {
  description: "Says whether a version may be deployed. Instances that run on it go on.",
  authScopes: { admin: true },
  input: (t) => ({
    id: t.id({ required: true, description: "The version's id." }),
    available: t.boolean({ required: true, description: "Whether it may be deployed." }),
  }),
  resolve: async (input, { feed }) => {
    const integration = await feed.transact(async (transaction) => {
      const { integration, version } = await requiredIntegration(transaction, input.id, "id");
      if (version === null) throw new InputError("id", "This is the id of a draft. Give a version's id.");
      const updated = await transaction
        .updateTable("versions")
        .set({ isAvailable: input.available ? 1 : 0 })
        .where("id", "=", version.id)
        .returningAll()
        .executeTakeFirstOrThrow();
      return { integration, version: updated };
    });
    return { integration };
  },
  output: (t) => ({
    integration: t.expose("integration", { type: Integration, nullable: true, description: "The version." }),
  }),
});
