/** Versions that data planes hold back, since their runs keep taking threads down: told by the data planes. */
import { z } from "zod";
import { isUuid } from "../../shared/ids.ts";
import { isOrganization } from "../context.ts";
import type { HeldBackVersion } from "../heldBack.ts";
import { builder } from "./builder.ts";
import { findIntegration, itemId, requiredIntegration } from "./integrationItems.ts";
import { InputError, mutation } from "./payloads.ts";
import { Integration } from "./refs.ts";

const heldAtOnceMax = 1_000;

const heldShape = z
  .array(
    z.object({
      integrationId: z.string().refine(isUuid),
      versionId: z.string().refine(isUuid),
      threadsLost: z.number().int().nonnegative(),
      reason: z.string().max(1_000),
      sinceMs: z.number().int().nonnegative(),
      untilMs: z.number().int().nonnegative(),
      waiting: z.number().int().nonnegative(),
    }),
  )
  .max(heldAtOnceMax);

const HeldBackVersionType = builder.objectRef<HeldBackVersion>("HeldBackVersion").implement({
  description:
    "A version, or a draft, that a data plane holds back, since its runs keep taking threads down: what comes for it " +
    "waits there until one of its runs that is tried goes well.",
  authScopes: { organization: true },
  fields: (t) => ({
    integration: t.field({
      type: Integration,
      nullable: true,
      description: "The version.",
      resolve: ({ versionId }, _args, { store }) => findIntegration(store.config, versionId),
    }),
    dataPlane: t.exposeString("dataPlane", { description: "The name of the data plane that holds it back." }),
    threadsLost: t.exposeInt("threadsLost", {
      description: "How many threads its runs took down before it was held back.",
    }),
    reason: t.exposeString("reason", { description: "How the last of them went." }),
    since: t.field({
      type: "DateTime",
      description: "Since when it is held back.",
      resolve: ({ sinceMs }) => new Date(sinceMs),
    }),
    until: t.field({
      type: "DateTime",
      description: "When one of its runs is tried.",
      resolve: ({ untilMs }) => new Date(untilMs),
    }),
    waitingExecutions: t.exposeInt("waiting", { description: "How many executions wait for it." }),
  }),
});

builder.queryField("heldBackVersions", (t) =>
  t.field({
    type: [HeldBackVersionType],
    description: "The versions that are held back now, by any data plane.",
    authScopes: { organization: true },
    resolve: (_root, _args, { heldBack }) => heldBack.held(),
  }),
);

builder.objectField(Integration, "heldBack", (t) =>
  t.field({
    type: [HeldBackVersionType],
    description: "The data planes that hold this version, or draft, back now; customers see none.",
    resolve: (item, _args, context) =>
      isOrganization(context)
        ? context.heldBack.held().filter(({ versionId }) => versionId === itemId(item))
        : [],
  }),
);

mutation("releaseHeldBackVersion", {
  description: "Has the data planes start the runs of a version that they hold back.",
  authScopes: { admin: true },
  input: (t) => ({ id: t.id({ required: true, description: "The id of the version, or draft." }) }),
  resolve: async ({ id }, { store, heldBack }) => {
    const item = await requiredIntegration(store.config, id, "id");
    heldBack.release(itemId(item));
    return { integration: item };
  },
  output: (t) => ({
    integration: t.expose("integration", { type: Integration, nullable: true, description: "The version." }),
  }),
});

mutation("reportHeldBackVersions", {
  description: "Says which versions a data plane holds back now; it is told which of them to release.",
  authScopes: { dataPlane: true },
  input: (t) => ({
    dataPlaneId: t.string({ required: true, description: "The data plane's own id." }),
    dataPlaneName: t.string({ required: true, description: "What it is called." }),
    held: t.field({
      type: "JSON",
      required: true,
      description: `A list of {integrationId, versionId, threadsLost, reason, sinceMs, untilMs, waiting}, at most ${heldAtOnceMax}.`,
    }),
  }),
  resolve: async ({ dataPlaneId, dataPlaneName, held }, { heldBack }) => {
    const checked = heldShape.safeParse(held);
    if (!checked.success)
      throw new InputError("held", `This must be a list of at most ${heldAtOnceMax} versions.`);
    const dataPlane = dataPlaneName.slice(0, 200);
    const named = checked.data.map((version) => ({ ...version, dataPlane }));
    return { released: heldBack.note(dataPlaneId.slice(0, 200), named) };
  },
  output: (t) => ({
    released: t.exposeStringList("released", {
      nullable: true,
      description: "The uuids of the versions that are to be released.",
    }),
  }),
});
