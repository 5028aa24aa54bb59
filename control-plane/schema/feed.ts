/** The change feed as data planes read it. */
import { GraphQLError } from "graphql";
import type { FeedChange, FeedEntityKind, FeedPage } from "../../shared/feed.ts";
import type { Context } from "../context.ts";
import { readEntities } from "../store/feedEntities.ts";
import type { FeedState } from "../store/feedVersions.ts";
import { builder } from "./builder.ts";
import { mutation } from "./payloads.ts";

/** The settings and one change: with less, a snapshot's first page would lead nowhere. */
const pageCountMin = 2;
const pageCountMax = 1000;
const pageBytesMax = 4 * 1024 * 1024;
/** Entities are computed in steps of so many, so that a page of large or slow ones is cut before all are read. */
const stepCount = 200;
/**
 * A page is computed in one go, and nobody else is answered meanwhile: past this it is cut. A batch of reports takes as
 * long. CPU time: on a busy machine the clock runs on while this process waits for its turn, and pages of a few
 * entities each would take for ever.
 */
const pageCpuMs = 25;
const nameLengthMax = 200;

const FeedStateType = builder.objectRef<FeedState>("FeedState").implement({
  description: "How far the change feed is.",
  fields: (t) => ({
    epoch: t.exposeString("epoch", { description: "The store's id: another epoch means another store." }),
    version: t.exposeFloat("version", { description: "The version of the newest change." }),
    commandsWaiting: t.exposeBoolean("commandsWaiting", {
      description: "Whether there are commands to lease.",
    }),
  }),
});

builder.subscriptionField("feed", (t) =>
  t.field({
    type: FeedStateType,
    description: "The state of the change feed: at once, after every change, and every ten seconds.",
    authScopes: { dataPlane: true },
    args: {
      dataPlaneId: t.arg.string({ required: true, description: "The data plane's own id." }),
      name: t.arg.string({ required: true, description: "The data plane's name, for people." }),
      url: t.arg.string({
        description: "Where it takes webhooks: what their URLs start with where no setting says it.",
      }),
    },
    subscribe: (_root, { dataPlaneId, name, url }, { feed }) =>
      feed.follow(boundedName(dataPlaneId), boundedName(name), url == null ? null : boundedName(url)),
    resolve: (state) => state,
  }),
);

builder.queryField("feedChanges", (t) =>
  t.field({
    type: "JSON",
    description:
      "A page of changes since a version; everything there is where the version is 0 or of another epoch.",
    authScopes: { dataPlane: true },
    args: {
      epoch: t.arg.string({ required: true, description: "The epoch of the version." }),
      since: t.arg.float({ required: true, description: "The version that the data plane has." }),
      first: t.arg.int({ required: true, description: "How many changes at most, from 2 to 1,000." }),
    },
    resolve: (_root, args, context) => {
      if (args.first < pageCountMin || args.first > pageCountMax) {
        throw new GraphQLError(`first must be from ${pageCountMin} to ${pageCountMax}.`);
      }
      return readPage(context, args);
    },
  }),
);

mutation("acknowledgeFeed", {
  description: "Says which version of the feed a data plane serves.",
  authScopes: { dataPlane: true },
  input: (t) => ({
    dataPlaneId: t.string({ required: true, description: "The data plane's own id." }),
    name: t.string({ required: true, description: "The data plane's name, for people." }),
    epoch: t.string({ required: true, description: "The epoch of the version." }),
    version: t.float({ required: true, description: "The version that it serves." }),
  }),
  resolve: async ({ dataPlaneId, name, epoch, version }, { feed }) => {
    await feed.acknowledge(boundedName(dataPlaneId), boundedName(name), epoch, version);
    return {};
  },
  output: () => ({}),
});

async function readPage(
  { store }: Context,
  { epoch, since, first }: { epoch: string; since: number; first: number },
): Promise<FeedPage> {
  const isSnapshot = since === 0 || epoch !== store.epoch;
  return store.config.transaction().execute(async (transaction) => {
    const cpuAtStart = process.cpuUsage();
    const meta = await transaction
      .selectFrom("meta")
      .select("value")
      .where("key", "=", "feedVersion")
      .executeTakeFirstOrThrow();
    const version = Number(meta.value);
    const changes: FeedChange[] = [];
    let bytes = 0;
    // The settings are not touched by any mutation: they stand at the head of every snapshot.
    if (isSnapshot) {
      const settings = await readEntities(transaction, store, [{ kind: "settings", id: "settings" }]);
      changes.push({
        version: 0,
        kind: "settings",
        id: "settings",
        data: settings.get("settings/settings") ?? null,
      } as FeedChange);
    }
    let from = isSnapshot ? 0 : since;
    for (;;) {
      const room = Math.min(stepCount, first - changes.length);
      const rows = await transaction
        .selectFrom("feedEntities")
        .selectAll()
        .where("version", ">", from)
        .orderBy("version")
        .limit(room + 1)
        .execute();
      const step = rows.slice(0, room).map((row) => ({ ...row, kind: row.kind as FeedEntityKind }));
      const entities = await readEntities(transaction, store, step);
      for (const { kind, id, version } of step) {
        const data = entities.get(`${kind}/${id}`) ?? null;
        const size = data === null ? 0 : JSON.stringify(data).length;
        if (bytes + size > pageBytesMax && changes.length > 0) {
          return { epoch: store.epoch, isSnapshot, changes, version: from, hasMore: true };
        }
        bytes += size;
        changes.push({ kind, id, version, data } as FeedChange);
        from = version;
      }
      if (rows.length <= room) return { epoch: store.epoch, isSnapshot, changes, version, hasMore: false };
      if (changes.length >= first || cpuMsSince(cpuAtStart) > pageCpuMs) {
        return { epoch: store.epoch, isSnapshot, changes, version: from, hasMore: true };
      }
    }
  });
}

function cpuMsSince(start: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}

function boundedName(text: string): string {
  if (text.length > 0 && text.length <= nameLengthMax) return text;
  throw new GraphQLError(`A data plane's id, name and URL must have 1 to ${nameLengthMax} characters.`);
}
