/**
 * Reads the replica, in each ingress thread and on the main thread. Every read is of one version: the reader
 * holds a transaction open until `refresh`. What was read is cached within a bound of bytes.
 */
import { LRUCache } from "lru-cache";
import { messageOf } from "../../shared/errors.ts";
import type { SettingsEntity } from "../../shared/feed.ts";
import { openSqliteReader, type Sqlite } from "../../shared/sqlite.ts";
import { type Cached, createCache } from "./cache.ts";
import {
  type CompiledDefinition,
  type CompiledInstance,
  type CompiledIntegration,
  compileDefinition,
  holdDecoded,
  instanceBytes,
  StoredInstance,
} from "./compiled.ts";
import { checksumOf, decodeHead, decodeIntegration, headNumberOf, type InstanceHead } from "./encoding.ts";
import {
  generationsIn,
  instanceToken,
  integrationToken,
  isDamage,
  kindNumber,
  ReplicaDamagedError,
  replicaFile,
} from "./file.ts";
import { customerKey, type ReplicaState } from "./state.ts";

export type { CompiledDefinition, CompiledInstance, CompiledIntegration, ReplicaState };

/** What a URL token belongs to. */
export type TokenOwner =
  | { kind: "flow"; instanceId: string; stableKey: string }
  | { kind: "instance"; instanceId: string }
  | { kind: "integration"; integrationId: string };

/**
 * Reads throw `ReplicaDamagedError` where the file is broken (after `onDamaged` was told); what is cached is
 * still served.
 */
export interface ReplicaReader {
  readonly generation: number;
  position(): { epoch: string; version: number };
  /** Changes whenever anything may read differently than before. */
  readonly stamp: number;
  settings(): SettingsEntity | null;
  tokenOwner(token: string): TokenOwner | null;
  instance(id: string): CompiledInstance | null;
  integration(id: string): CompiledIntegration | null;
  definition(digest: string): CompiledDefinition | null;
  /** The deployed instance of an integration for the customer with this external id. */
  customerInstance(integrationId: string, externalCustomerId: string): CompiledInstance | null;
  /** As an entry was pinned to it: also a superseded version, also of an older file; null where it is gone. */
  instanceAt(generation: number, id: string, version: number): CompiledInstance | null;
  integrationAt(generation: number, id: string, version: number): CompiledIntegration | null;
  definitionAt(generation: number, digest: string): CompiledDefinition | null;
  /** Takes up what the writer has applied. Until then every read is of the state before. */
  refresh(state: ReplicaState): void;
  stats(): ReplicaReaderStats;
  close(): void;
}

export interface ReplicaReaderStats {
  /** Reads that the cache did not answer. */
  misses: number;
  cachedInstances: number;
  cachedTokens: number;
  cachedBytes: number;
}

export interface ReplicaReaderOptions {
  folder: string;
  state: ReplicaState;
  /** False where nothing sealed is ever needed: those fields are empty, and cost no memory. */
  withSecrets: boolean;
  /** Told once for each file that turns out to be broken: whoever hears it asks for a snapshot. */
  onDamaged: (generation: number, reason: string) => void;
  bounds?: Partial<CacheBounds>;
}

/** What a reader may hold in memory. */
export interface CacheBounds {
  instanceBytesMax: number;
  tokenBytesMax: number;
  customerBytesMax: number;
  integrationBytesMax: number;
  definitionBytesMax: number;
  decodedInstancesMax: number;
  pagesMb: number;
}

/** What endpoints.ts has compiled stands in front of it: this is for what goes the long way. */
const ingressBounds: CacheBounds = {
  instanceBytesMax: 16 * 1024 * 1024,
  tokenBytesMax: 2 * 1024 * 1024,
  customerBytesMax: 2 * 1024 * 1024,
  integrationBytesMax: 16 * 1024 * 1024,
  definitionBytesMax: 32 * 1024 * 1024,
  decodedInstancesMax: 250,
  pagesMb: 8,
};
/** The main thread reads for runs, which cost so much more that a read from the file does not matter. */
const mainBounds: CacheBounds = {
  ...ingressBounds,
  tokenBytesMax: 1024 * 1024,
  customerBytesMax: 1024 * 1024,
};

const headsMax = 10_000;
/** Older files open at a time. */
const oldFilesMax = 4;

export function openReplicaReader(options: ReplicaReaderOptions): ReplicaReader {
  const { folder, withSecrets, onDamaged } = options;
  const bounds = { ...(withSecrets ? mainBounds : ingressBounds), ...options.bounds };
  const decoded = holdDecoded(bounds.decodedInstancesMax);
  const caches = createCaches(bounds);
  const older = new Map<number, ReplicaFile>();
  let current = openFile(folder, options.state.generation, bounds.pagesMb);
  let settings: SettingsEntity | null | undefined;
  let stamp = 1;
  let misses = 0;
  let damagedGeneration = -1;

  /** All reads of a file pass here: damage is told, and known to the caller for what it is. */
  const read = <Result>(file: ReplicaFile, work: (file: ReplicaFile) => Result): Result => {
    misses++;
    try {
      return work(file);
    } catch (error) {
      if (!isDamage(error) && !(error instanceof SyntaxError)) throw error;
      if (file === current && damagedGeneration !== file.generation) {
        damagedGeneration = file.generation;
        onDamaged(file.generation, messageOf(error));
      }
      throw new ReplicaDamagedError(`The replica is damaged: ${messageOf(error)}`, { cause: error });
    }
  };

  const fileOf = (generation: number): ReplicaFile | null => {
    if (generation === current.generation) return current;
    let file = older.get(generation);
    if (file === undefined) {
      if (!generationsIn(folder).includes(generation)) return null;
      try {
        file = openFile(folder, generation, 1);
      } catch {
        return null;
      }
      if (older.size >= oldFilesMax) {
        const [first] = older.keys();
        older.get(first!)!.close();
        older.delete(first!);
      }
      older.set(generation, file);
    }
    return file;
  };

  /** What is gone from an older file, or broken there, is no longer there: that file is never made anew. */
  const readAt = <Result>(generation: number, work: (file: ReplicaFile) => Result | null): Result | null => {
    const file = fileOf(generation);
    if (file === null) return null;
    if (file === current) return read(file, work);
    try {
      return read(file, work);
    } catch {
      return null;
    }
  };

  const storedInstance = (file: ReplicaFile, id: string, row: EntityRow): StoredInstance => {
    const data = checked(id, row);
    const secrets = withSecrets ? checkedSecrets(id, row) : null;
    return new StoredInstance(id, row.version, file.head(headNumberOf(data)), data, secrets, decoded);
  };
  const storedIntegration = (id: string, row: EntityRow): CachedIntegration => ({
    entity: decodeIntegration(checked(id, row), withSecrets ? checkedSecrets(id, row) : null),
    version: row.version,
    bytes: objectBytes(row),
    isUsed: false,
  });
  const { instance: instanceKind, integration: integrationKind } = kindNumber;

  const reader: ReplicaReader = {
    get generation() {
      return current.generation;
    },
    get stamp() {
      return stamp;
    },
    position: () => current.position,
    settings() {
      if (settings === undefined) {
        settings = read(current, (file) => {
          const row = file.entity(kindNumber.settings, "settings", false);
          return row === null ? null : (JSON.parse(checked("settings", row)) as SettingsEntity);
        });
      }
      return settings;
    },
    tokenOwner(token) {
      const cached = caches.tokens.get(token);
      if (cached !== undefined) return cached;
      const owner = read(current, (file) => file.tokenOwner(token));
      // A token that is not there is not remembered: anyone can send any number of them.
      if (owner !== null) caches.tokens.set(token, owner);
      return owner;
    },
    instance(id) {
      const cached = caches.instances.get(id);
      if (cached !== undefined) return cached;
      const instance = read(current, (file) => {
        const row = file.entity(instanceKind, id, withSecrets);
        return row === null ? null : storedInstance(file, id, row);
      });
      if (instance !== null) caches.instances.set(id, instance);
      return instance;
    },
    integration(id) {
      const cached = caches.integrations.get(id);
      if (cached !== undefined) return cached;
      const row = read(current, (file) => file.entity(integrationKind, id, withSecrets));
      if (row === null) return null;
      const integration = read(current, () => storedIntegration(id, row));
      caches.integrations.set(id, integration);
      return integration;
    },
    definition: (digest) => definitionOf(current, digest),
    customerInstance(integrationId, externalCustomerId) {
      const key = customerKey(integrationId, externalCustomerId);
      let id = caches.customers.get(key);
      if (id === undefined) {
        const found = read(current, (file) => file.customerInstance(integrationId, externalCustomerId));
        if (found === null) return null;
        id = { instanceId: found, isUsed: false };
        caches.customers.set(key, id);
      }
      return reader.instance(id.instanceId);
    },
    instanceAt(generation, id, version) {
      if (generation === current.generation) {
        const now = reader.instance(id);
        if (now !== null && now.version === version) return now;
      }
      const key = `${generation}/${id}/${version}`;
      const cached = caches.instances.get(key);
      if (cached !== undefined) return cached;
      const instance = readAt(generation, (file) => {
        const row = file.entityAt(instanceKind, id, version);
        return row === null ? null : storedInstance(file, id, row);
      });
      if (instance !== null) caches.instances.set(key, instance);
      return instance;
    },
    integrationAt(generation, id, version) {
      if (generation === current.generation) {
        const now = reader.integration(id);
        if (now !== null && now.version === version) return now;
      }
      const key = `${generation}/${id}/${version}`;
      const cached = caches.integrations.get(key);
      if (cached !== undefined) return cached;
      return readAt(generation, (file) => {
        const row = file.entityAt(integrationKind, id, version);
        if (row === null) return null;
        const integration = storedIntegration(id, row);
        caches.integrations.set(key, integration);
        return integration;
      });
    },
    definitionAt: (generation, digest) =>
      caches.definitions.get(digest)?.compiled ??
      (generation === current.generation
        ? definitionOf(current, digest)
        : // A definition is the same in every file that has it.
          (readAt(generation, (file) => compiledDefinition(file, digest)) ?? definitionOf(current, digest))),
    refresh(state) {
      if (state.generation === current.generation) current.refresh();
      else {
        current.close();
        current = openFile(folder, state.generation, bounds.pagesMb);
        closeRemoved();
      }
      stamp++;
      const { changed } = state;
      if (changed === null || changed.isSettings) settings = undefined;
      if (changed === null) {
        caches.tokens.clear();
        caches.instances.clear();
        caches.integrations.clear();
        caches.customers.clear();
        return;
      }
      for (const token of changed.tokens) caches.tokens.delete(token);
      for (const id of changed.instances) caches.instances.delete(id);
      for (const id of changed.integrations) caches.integrations.delete(id);
      for (const key of changed.customers) caches.customers.delete(key);
    },
    stats: () => ({
      misses,
      cachedInstances: caches.instances.size,
      cachedTokens: caches.tokens.size,
      cachedBytes: Object.values(caches).reduce((sum, cache) => sum + cache.bytes, 0),
    }),
    close() {
      for (const file of [current, ...older.values()]) file.close();
    },
  };

  function definitionOf(file: ReplicaFile, digest: string): CompiledDefinition | null {
    return caches.definitions.get(digest)?.compiled ?? read(file, () => compiledDefinition(file, digest));
  }

  function compiledDefinition(file: ReplicaFile, digest: string): CompiledDefinition | null {
    const row = file.entity(kindNumber.definition, digest, false);
    if (row === null) return null;
    const compiled = compileDefinition(digest, checked(digest, row));
    caches.definitions.set(digest, { compiled, bytes: objectBytes(row), isUsed: false });
    return compiled;
  }

  function closeRemoved(): void {
    const there = generationsIn(folder);
    for (const [generation, file] of older) {
      if (there.includes(generation)) continue;
      file.close();
      older.delete(generation);
    }
  }
  return reader;
}

type CachedOwner = TokenOwner & Cached;
type CachedIntegration = CompiledIntegration & Cached & { bytes: number };
type CachedDefinition = Cached & { compiled: CompiledDefinition; bytes: number };
type CachedCustomer = Cached & { instanceId: string };

/** Estimates, checked by test/bench/endpoints.ts. */
const tokenBytes = 200;
const customerBytes = 260;
const objectBytes = ({ data }: EntityRow): number => 1000 + 3 * data.length;

const createCaches = (bounds: CacheBounds) => ({
  tokens: createCache<CachedOwner>(bounds.tokenBytesMax, () => tokenBytes),
  instances: createCache<StoredInstance>(bounds.instanceBytesMax, instanceBytes),
  integrations: createCache<CachedIntegration>(bounds.integrationBytesMax, ({ bytes }) => bytes),
  definitions: createCache<CachedDefinition>(bounds.definitionBytesMax, ({ bytes }) => bytes),
  customers: createCache<CachedCustomer>(bounds.customerBytesMax, () => customerBytes),
});

interface EntityRow {
  version: number;
  data: string;
  checksum: number;
  secrets: string | null;
  secretsChecksum: number | null;
}

function checked(id: string, { version, data, checksum }: EntityRow): string {
  if (checksum !== checksumOf(id, version, data))
    throw new ReplicaDamagedError(`${id} is not what was written`);
  return data;
}

function checkedSecrets(id: string, { secrets, secretsChecksum }: EntityRow): string {
  if (secrets === null || secretsChecksum !== checksumOf(id, 0, secrets))
    throw new ReplicaDamagedError(`the secrets of ${id} are not what was written`);
  return secrets;
}

/** One file, opened for reading and held at one version. */
interface ReplicaFile {
  generation: number;
  position: { epoch: string; version: number };
  refresh(): void;
  entity(kind: number, id: string, withSecrets: boolean): EntityRow | null;
  /** Superseded or not. */
  entityAt(kind: number, id: string, version: number): EntityRow | null;
  head(number: number): InstanceHead;
  tokenOwner(token: string): CachedOwner | null;
  customerInstance(integrationId: string, externalId: string): string | null;
  close(): void;
}

type PlainRow = [version: number, data: string, checksum: number];
type SecretsRow = [secrets: string, secretsChecksum: number];
type SecretRow = [...PlainRow, ...SecretsRow];

function openFile(folder: string, generation: number, pagesMb: number): ReplicaFile {
  const database = openSqliteReader(replicaFile(folder, generation), pagesMb);
  const statements = prepare(database);
  const heads = new LRUCache<number, InstanceHead>({ max: headsMax });
  const readHead = (number: number): InstanceHead => {
    let head = heads.get(number);
    if (head === undefined) {
      const row = statements.head.get(number) as [string, number] | undefined;
      if (row === undefined || row[1] !== checksumOf("", 0, row[0]))
        throw new ReplicaDamagedError(`head ${number} is not what was written`);
      head = decodeHead(row[0]);
      heads.set(number, head);
    }
    return head;
  };
  const file: ReplicaFile = {
    generation,
    position: { epoch: "", version: 0 },
    refresh() {
      if (database.inTransaction) statements.end.run();
      statements.begin.run();
      // The transaction's version is that of its first read.
      const [epoch, version] = statements.position.get() as [string, number];
      file.position = { epoch, version };
    },
    entity(kind, id, withSecrets) {
      const row = statements.entity.get(kind, id) as PlainRow | undefined;
      if (row === undefined || !withSecrets) return rowOf(row);
      const secrets = statements.secrets.get(kind, id) as SecretsRow | undefined;
      return rowOf(secrets === undefined ? row : [...row, ...secrets]);
    },
    entityAt(kind, id, version) {
      const now = file.entity(kind, id, true);
      if (now !== null && now.version === version) return now;
      return rowOf(statements.superseded.get(kind, id, version) as SecretRow | undefined);
    },
    head: readHead,
    tokenOwner(token) {
      const row = statements.token.get(token) as [string, number, number] | undefined;
      if (row === undefined) return null;
      const [ownerId, head, flow] = row;
      if (flow === integrationToken) return { kind: "integration", integrationId: ownerId, isUsed: false };
      if (flow === instanceToken) return { kind: "instance", instanceId: ownerId, isUsed: false };
      const stableKey = readHead(head).flows[flow]?.stableKey;
      if (stableKey === undefined) throw new ReplicaDamagedError(`a token of ${ownerId} names no flow`);
      return { kind: "flow", instanceId: ownerId, stableKey, isUsed: false };
    },
    customerInstance(integrationId, externalId) {
      const row = statements.customer.get(integrationId, externalId) as [string] | undefined;
      return row === undefined ? null : row[0];
    },
    close: () => database.close(),
  };
  file.refresh();
  return file;
}

const prepare = (database: Sqlite) => ({
  begin: database.prepare("BEGIN"),
  end: database.prepare("COMMIT"),
  position: database.prepare("SELECT epoch, version FROM position").raw(),
  entity: database.prepare("SELECT version, data, checksum FROM entities WHERE kind = ? AND id = ?").raw(),
  // Not joined: SQLite would compile such a statement again whenever it is bound to other values.
  secrets: database.prepare("SELECT data, checksum FROM secrets WHERE kind = ? AND id = ?").raw(),
  superseded: database
    .prepare(
      "SELECT version, data, checksum, secrets, secretsChecksum FROM superseded WHERE kind = ? AND id = ? AND version = ?",
    )
    .raw(),
  head: database.prepare("SELECT data, checksum FROM heads WHERE head = ?").raw(),
  token: database.prepare("SELECT ownerId, head, flow FROM tokens WHERE token = ?").raw(),
  customer: database
    .prepare(
      "SELECT instanceId FROM customerInstances WHERE integrationId = ? AND externalId = ? ORDER BY instanceId LIMIT 1",
    )
    .raw(),
});

const rowOf = (row: PlainRow | SecretRow | undefined): EntityRow | null =>
  row === undefined
    ? null
    : {
        version: row[0],
        data: row[1],
        checksum: row[2],
        secrets: row[3] ?? null,
        secretsChecksum: row[4] ?? null,
      };
