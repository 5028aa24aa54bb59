/**
 * The master key and its rotation, as `npm run rotate-master-key` goes through it: who holds which keys (by
 * their fingerprints), reading the file anew, and sealing everything under the first key.
 */
import { GraphQLError } from "graphql";
import { messageOf } from "../../shared/errors.ts";
import { keyFingerprint, masterKeyFile, readMasterKeys } from "../../shared/secrets.ts";
import type { Services } from "../context.ts";
import { dataPlanesSeenSince } from "../store/feedVersions.ts";
import { countSealedUnderOthers, dropReplacedPages, opensStore, resealBatch } from "../store/resealing.ts";
import { builder } from "./builder.ts";
import { InputError, mutation, wholeInput } from "./payloads.ts";

/** A data plane that was away for longer is taken for gone. */
const goneAfterMs = 7 * 24 * 3_600_000;
const fingerprintsMax = 20;
const nameLengthMax = 200;

interface Holder {
  id: string;
  name: string;
  isLive: boolean;
  fingerprints: string[];
  inUse: string[];
  servedVersion: number | null;
}

const HolderType = builder.objectRef<Holder>("MasterKeyHolder").implement({
  description: "A data plane and the master keys that it holds.",
  fields: (t) => ({
    id: t.exposeString("id", { description: "The data plane's own id." }),
    name: t.exposeString("name", { description: "The data plane's name." }),
    isLive: t.exposeBoolean("isLive", {
      description: "Whether it is connected now; one that is not was seen within the last week.",
    }),
    fingerprints: t.exposeStringList("fingerprints", {
      description: "The keys that it has said it holds; empty until it has.",
    }),
    inUse: t.exposeStringList("inUse", {
      description: "Of them the keys that webhooks which it accepted and has not finished may need.",
    }),
    servedVersion: t.exposeFloat("servedVersion", {
      nullable: true,
      description: "The version of the feed that it served when it said so.",
    }),
  }),
});

const MasterKeysType = builder.objectRef<Services>("MasterKeys").implement({
  description: "The master keys by their fingerprints. There are several only while the key is rotated.",
  fields: (t) => ({
    fingerprints: t.stringList({
      description: "The control plane's keys; the first one seals, all of them unseal.",
      resolve: ({ store }) => store.masterKey.keys.map(keyFingerprint),
    }),
    dataPlanes: t.field({
      type: [HolderType],
      description: "The data planes that were seen within the last week.",
      resolve: (services) => holders(services),
    }),
  }),
});

builder.queryField("masterKeys", (t) =>
  t.field({
    type: MasterKeysType,
    description: "Which master keys the control plane and its data planes hold.",
    authScopes: { admin: true },
    resolve: (_root, _args, context) => context,
  }),
);

async function holders({ store, feed }: Services): Promise<Holder[]> {
  const live = feed.masterKeyHolders();
  const seen = await dataPlanesSeenSince(store, Date.now() - goneAfterMs);
  const away = seen.filter(({ id }) => !live.some((holder) => holder.id === id));
  return [
    ...live.map(({ id, name, held }) => ({
      id,
      name,
      isLive: true,
      fingerprints: held?.fingerprints ?? [],
      inUse: held?.inUse ?? [],
      servedVersion: held?.servedVersion ?? null,
    })),
    ...away.map(({ id, name }) => ({
      id,
      name,
      isLive: false,
      fingerprints: [],
      inUse: [],
      servedVersion: null,
    })),
  ];
}

mutation("reloadMasterKeys", {
  description:
    "Reads the control plane's file of master keys anew. Refused where a key is missing that is needed.",
  authScopes: { admin: true },
  input: () => ({}),
  resolve: async (_input, context) => {
    const { store, config } = context;
    if (config.masterKey !== undefined) {
      throw new InputError(
        wholeInput,
        "The control plane has its master key from SWITCHYARD_MASTER_KEY: set that to the keys, comma-separated, and restart it.",
      );
    }
    const keys = readOrRefuse(config.dataDir);
    const missing = await countSealedUnderOthers(store, keys);
    if (missing > 0 || !(await opensStore(store, keys))) {
      throw new InputError(
        wholeInput,
        `Not all that is stored can be opened with the keys of the file (${missing} values can't): put the key that is missing back.`,
      );
    }
    store.masterKey.keys = keys;
    return { masterKeys: context };
  },
  output: (t) => ({
    masterKeys: t.expose("masterKeys", {
      type: MasterKeysType,
      nullable: true,
      description: "The keys as they are now.",
    }),
  }),
});

mutation("resealSecrets", {
  description:
    "Seals a batch of what is stored anew under the first master key. Refused while a live data plane does not " +
    "hold that key. To be called until it is done.",
  authScopes: { admin: true },
  input: () => ({}),
  resolve: async (_input, context) => {
    const { store, feed } = context;
    const first = keyFingerprint(store.masterKey.keys[0]!);
    const without = feed.masterKeyHolders().filter(({ held }) => !held?.fingerprints.includes(first));
    if (without.length > 0) {
      const names = without.map(({ name }) => name).join(", ");
      throw new InputError(wholeInput, `These data planes do not hold the key ${first} yet: ${names}.`);
    }
    const { resealed, version } = await feed.transact((transaction) => resealBatch(transaction, store));
    if (resealed === 0) await dropReplacedPages(store);
    return { resealedCount: resealed, isDone: resealed === 0, feedVersion: version };
  },
  output: (t) => ({
    resealedCount: t.exposeInt("resealedCount", {
      nullable: true,
      description: "How many values were sealed anew.",
    }),
    isDone: t.exposeBoolean("isDone", {
      nullable: true,
      description: "Whether there is nothing left that is sealed under another key.",
    }),
    feedVersion: t.exposeFloat("feedVersion", {
      nullable: true,
      description: "The feed's version from which on data planes have all that was sealed anew so far.",
    }),
  }),
});

mutation("confirmMasterKeys", {
  description: "Says which master keys a data plane holds.",
  authScopes: { dataPlane: true },
  input: (t) => ({
    dataPlaneId: t.string({ required: true, description: "The data plane's own id." }),
    fingerprints: t.stringList({ required: true, description: "The keys that it holds." }),
    inUse: t.stringList({
      required: true,
      description: "Of them the keys that webhooks which it accepted and has not finished may need.",
    }),
    servedVersion: t.float({
      required: true,
      description: "The version of the feed that it served when it looked.",
    }),
  }),
  resolve: async ({ dataPlaneId, fingerprints, inUse, servedVersion }, { feed }) => {
    if (fingerprints.length > fingerprintsMax || inUse.length > fingerprintsMax) {
      throw new InputError("fingerprints", `At most ${fingerprintsMax} keys.`);
    }
    if (dataPlaneId.length > nameLengthMax || [...fingerprints, ...inUse].some((text) => text.length > 64)) {
      throw new GraphQLError("A data plane's id has at most 200 characters, a fingerprint 16.");
    }
    feed.noteMasterKeys(dataPlaneId, { fingerprints, inUse, servedVersion });
    return {};
  },
  output: () => ({}),
});

function readOrRefuse(dataDir: string): Buffer[] {
  try {
    return readMasterKeys({ given: undefined, file: masterKeyFile(dataDir) });
  } catch (error) {
    throw new InputError(wholeInput, messageOf(error));
  }
}
