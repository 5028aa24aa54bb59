/**
 * The data plane's copy of the control plane's configuration: on disk, so that it survives restarts with the
 * control plane down, and bounded in memory by caches of what is used. Disposable: an unreadable one is
 * made anew from a snapshot. Reading is synchronous, so one request that reads in one go reads one version.
 */
import { rmSync } from "node:fs";
import { LRUCache } from "lru-cache";
import type { Definition } from "../shared/definition.ts";
import { messageOf } from "../shared/errors.ts";
import type {
  FeedChange,
  FeedEntityKind,
  InstanceEntity,
  IntegrationEntity,
  SettingsEntity,
} from "../shared/feed.ts";
import { compileRouting, type RoutingRules } from "../shared/resolution.ts";
import { sha256Hex } from "../shared/secrets.ts";
import { migrate, openSqlite, type Sqlite } from "../shared/sqlite.ts";

/** What a run must find again after a restart, whatever the replica holds by then. */
export interface Pin {
  key: string;
  json: string;
}

export interface CompiledDefinition {
  digest: string;
  definition: Definition;
  rules: RoutingRules;
  pin: Pin;
}

export interface CompiledInstance {
  entity: InstanceEntity;
  pin: Pin;
}

export interface CompiledIntegration {
  entity: IntegrationEntity;
  pin: Pin;
}

/** What a URL token belongs to. */
export type TokenOwner =
  | { kind: "flow"; instanceId: string; stableKey: string }
  | { kind: "instance"; instanceId: string }
  | { kind: "integration"; integrationId: string };

export interface Replica {
  position(): { epoch: string; version: number };
  /** Applies changes as one transaction and drops what was compiled from them. */
  apply(update: { epoch: string; version: number; isSnapshot: boolean; changes: FeedChange[] }): void;
  /** What is there is asked for anew, as a snapshot; it stays on disk until that is applied. */
  forget(): void;
  settings(): SettingsEntity | null;
  tokenOwner(token: string): TokenOwner | null;
  instance(id: string): CompiledInstance | null;
  integration(id: string): CompiledIntegration | null;
  definition(digest: string): CompiledDefinition | null;
  /** The deployed instance of an integration for the customer with this external id. */
  customerInstance(integrationId: string, externalCustomerId: string): CompiledInstance | null;
  close(): void;
}

const migrations = [
  `
  CREATE TABLE position (one INTEGER PRIMARY KEY CHECK (one = 1), epoch TEXT NOT NULL, version INTEGER NOT NULL);
  INSERT INTO position VALUES (1, '', 0);
  CREATE TABLE entities (kind TEXT NOT NULL, id TEXT NOT NULL, json TEXT NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID;
  CREATE TABLE tokens (token TEXT PRIMARY KEY, kind TEXT NOT NULL, ownerId TEXT NOT NULL, stableKey TEXT) WITHOUT ROWID;
  CREATE INDEX tokensByOwner ON tokens (ownerId);
  CREATE TABLE customerInstances (
    integrationId TEXT NOT NULL, externalId TEXT NOT NULL, instanceId TEXT NOT NULL, PRIMARY KEY (integrationId, externalId, instanceId)
  ) WITHOUT ROWID;
  CREATE INDEX customerInstancesByInstance ON customerInstances (instanceId);
  `,
  // Entities have more fields than before: served as they are until a snapshot has replaced them.
  "UPDATE position SET epoch = '', version = 0",
];

const cachedMax = {
  tokens: 100_000,
  instances: 20_000,
  integrations: 5_000,
  definitions: 2_000,
  customers: 50_000,
};

/** Opens the replica, or makes it anew where the file can't be read. */
export function openReplica(file: string, warn: (message: string) => void): Replica {
  let database: Sqlite;
  try {
    database = open(file);
  } catch (error) {
    warn(`The replica could not be read and is made anew: ${messageOf(error)}`);
    for (const suffix of ["", "-wal", "-shm"]) rmSync(file + suffix, { force: true });
    database = open(file);
  }
  return replicaOn(database);
}

function open(file: string): Sqlite {
  // It can be fetched again, so it need not be synced at every change.
  const database = openSqlite(file, { synchronous: "normal", cacheMb: 64 });
  const check = database.pragma("quick_check(1)", { simple: true });
  if (check !== "ok") throw new Error(String(check));
  migrate(database, migrations);
  return database;
}

interface TokenRow {
  kind: string;
  ownerId: string;
  stableKey: string | null;
}

function replicaOn(database: Sqlite): Replica {
  const readPosition = database.prepare<[], { epoch: string; version: number }>(
    "SELECT epoch, version FROM position",
  );
  const readEntity = database.prepare<[string, string], { json: string }>(
    "SELECT json FROM entities WHERE kind = ? AND id = ?",
  );
  const readToken = database.prepare<[string], TokenRow>(
    "SELECT kind, ownerId, stableKey FROM tokens WHERE token = ?",
  );
  const readCustomer = database.prepare<[string, string], { instanceId: string }>(
    "SELECT instanceId FROM customerInstances WHERE integrationId = ? AND externalId = ? ORDER BY instanceId LIMIT 1",
  );
  let position = readPosition.get()!;

  const tokens = new LRUCache<string, { owner: TokenOwner | null }>({ max: cachedMax.tokens });
  const instances = new LRUCache<string, CompiledInstance>({ max: cachedMax.instances });
  const integrations = new LRUCache<string, CompiledIntegration>({ max: cachedMax.integrations });
  const definitions = new LRUCache<string, CompiledDefinition>({ max: cachedMax.definitions });
  const customers = new LRUCache<string, { instanceId: string | null }>({ max: cachedMax.customers });
  let settings: SettingsEntity | null | undefined;

  const jsonOf = (kind: FeedEntityKind, id: string): string | undefined => readEntity.get(kind, id)?.json;
  const dropCompiled = (all: boolean, changes: FeedChange[]) => {
    settings = undefined;
    // Tokens and customers may have moved from any entity to any other; they are cheap to read again.
    tokens.clear();
    customers.clear();
    if (all) {
      for (const cache of [instances, integrations, definitions]) cache.clear();
    }
    for (const { kind, id } of changes) {
      if (kind === "instance") instances.delete(id);
      else if (kind === "integration") integrations.delete(id);
    }
  };

  const replica: Replica = {
    position: () => position,
    apply(update) {
      applyChanges(database, update);
      position = { epoch: update.epoch, version: update.version };
      dropCompiled(update.isSnapshot, update.changes);
    },
    forget() {
      position = { epoch: "", version: 0 };
    },
    settings() {
      if (settings === undefined) {
        const json = jsonOf("settings", "settings");
        settings = json === undefined ? null : (JSON.parse(json) as SettingsEntity);
      }
      return settings;
    },
    tokenOwner(token) {
      let cached = tokens.get(token);
      if (cached === undefined) {
        cached = { owner: ownerOf(readToken.get(token)) };
        tokens.set(token, cached);
      }
      return cached.owner;
    },
    instance(id) {
      return cachedOr(instances, id, () => {
        const json = jsonOf("instance", id);
        return json === undefined
          ? null
          : { entity: JSON.parse(json) as InstanceEntity, pin: pinOf("instance", id, json) };
      });
    },
    integration(id) {
      return cachedOr(integrations, id, () => {
        const json = jsonOf("integration", id);
        return json === undefined
          ? null
          : { entity: JSON.parse(json) as IntegrationEntity, pin: pinOf("integration", id, json) };
      });
    },
    definition(digest) {
      return cachedOr(definitions, digest, () => {
        const json = jsonOf("definition", digest);
        return json === undefined ? null : compileDefinition(digest, json);
      });
    },
    customerInstance(integrationId, externalCustomerId) {
      const key = `${integrationId}/${externalCustomerId}`;
      let cached = customers.get(key);
      if (cached === undefined) {
        cached = { instanceId: readCustomer.get(integrationId, externalCustomerId)?.instanceId ?? null };
        customers.set(key, cached);
      }
      return cached.instanceId === null ? null : replica.instance(cached.instanceId);
    },
    close: () => database.close(),
  };
  return replica;
}

export function compileDefinition(digest: string, json: string): CompiledDefinition {
  const definition = JSON.parse(json) as Definition;
  return {
    digest,
    definition,
    rules: compileRouting(definition),
    pin: { key: `definition:${digest}`, json },
  };
}

const pinOf = (kind: string, id: string, json: string): Pin => ({
  key: `${kind}:${id}:${sha256Hex(json).slice(0, 32)}`,
  json,
});

function cachedOr<Value extends object>(
  cache: LRUCache<string, Value>,
  key: string,
  read: () => Value | null,
): Value | null {
  const cached = cache.get(key);
  if (cached !== undefined) return cached;
  const value = read();
  if (value !== null) cache.set(key, value);
  return value;
}

function ownerOf(row: TokenRow | undefined): TokenOwner | null {
  if (row === undefined) return null;
  if (row.kind === "flow") return { kind: "flow", instanceId: row.ownerId, stableKey: row.stableKey! };
  if (row.kind === "instance") return { kind: "instance", instanceId: row.ownerId };
  return { kind: "integration", integrationId: row.ownerId };
}

function applyChanges(
  database: Sqlite,
  update: { epoch: string; version: number; isSnapshot: boolean; changes: FeedChange[] },
): void {
  const removeEntity = database.prepare("DELETE FROM entities WHERE kind = ? AND id = ?");
  const putEntity = database.prepare(
    "INSERT INTO entities (kind, id, json) VALUES (?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET json = excluded.json",
  );
  const removeTokens = database.prepare("DELETE FROM tokens WHERE ownerId = ?");
  const putToken = database.prepare(
    "INSERT OR REPLACE INTO tokens (token, kind, ownerId, stableKey) VALUES (?, ?, ?, ?)",
  );
  const removeCustomer = database.prepare("DELETE FROM customerInstances WHERE instanceId = ?");
  const putCustomer = database.prepare(
    "INSERT INTO customerInstances (integrationId, externalId, instanceId) VALUES (?, ?, ?)",
  );
  const putPosition = database.prepare("UPDATE position SET epoch = ?, version = ?");

  database.transaction(() => {
    if (update.isSnapshot)
      database.exec("DELETE FROM entities; DELETE FROM tokens; DELETE FROM customerInstances;");
    for (const change of update.changes) {
      if (change.kind === "instance" || change.kind === "integration") removeTokens.run(change.id);
      if (change.kind === "instance") removeCustomer.run(change.id);
      if (change.data === null) {
        removeEntity.run(change.kind, change.id);
        continue;
      }
      putEntity.run(change.kind, change.id, JSON.stringify(change.data));
      if (change.kind === "integration") putToken.run(change.data.token, "integration", change.id, null);
      if (change.kind === "instance") {
        const instance = change.data;
        putToken.run(instance.token, "instance", change.id, null);
        for (const [stableKey, flow] of Object.entries(instance.flows))
          putToken.run(flow.token, "flow", change.id, stableKey);
        if (!instance.isSystem)
          putCustomer.run(instance.integrationId, instance.customer.externalId, change.id);
      }
    }
    putPosition.run(update.epoch, update.version);
  })();
}
