/** Writes changes of the feed into a file of the replica. The caller has begun a transaction. */
import type { FeedChange, InstanceEntity, IntegrationEntity } from "../../shared/feed.ts";
import { sealedPrefix, unmarkedPrefix } from "../../shared/secrets.ts";
import type { Sqlite } from "../../shared/sqlite.ts";
import {
  checksumOf,
  decodeHead,
  decodeInstance,
  decodeIntegration,
  encodeInstance,
  encodeIntegration,
  headNumberOf,
  type InstanceHead,
  withHead,
} from "./encoding.ts";
import { instanceToken, integrationToken, kindNumber, ReplicaDamagedError } from "./file.ts";
import { type ChangedKeys, changedKeysMax, customerKey, nothingChanged } from "./state.ts";

export interface Applier {
  apply(changes: readonly FeedChange[]): void;
  /** Writes the position and what was counted; returns what the changes touched, null for too much to name. */
  finish(position: { epoch: string; version: number }): ChangedKeys | null;
  /** Writes what was counted so far, which otherwise grows with the number of changes. */
  flush(): void;
}

/** A token's row, as it is written. */
type TokenRow = [token: string, ownerId: string, head: number, flow: number];

interface Row {
  version: number;
  data: string;
  checksum: number;
  secrets: string;
  secretsChecksum: number;
}

/** `keepsSuperseded`: false for a file that no webhook was accepted on yet. */
export function createApplier(database: Sqlite, { keepsSuperseded }: { keepsSuperseded: boolean }): Applier {
  const statements = prepare(database);
  const nowMs = Date.now();
  const headNumbers = new Map<string, number>();
  const headUses = new Map<number, number>();
  const definitionUses = new Map<string, number>();
  const sealedStarts = new Set<string>();
  let changed: ChangedKeys | null = keepsSuperseded ? nothingChanged() : null;
  let changedCount = 0;

  const note = (kind: "tokens" | "instances" | "integrations" | "customers", key: string) => {
    if (changed === null) return;
    changed[kind].push(key);
    if (++changedCount > changedKeysMax) changed = null;
  };

  const headNumber = (text: string): number => {
    let number = headNumbers.get(text);
    if (number === undefined) {
      number = statements.findHead.get(text)?.head;
      number ??= Number(statements.insertHead.run(text, checksumOf("", 0, text)).lastInsertRowid);
      headNumbers.set(text, number);
    }
    return number;
  };

  const readHead = (number: number): InstanceHead => {
    const row = statements.readHead.get(number);
    if (row === undefined || row.checksum !== checksumOf("", 0, row.data))
      throw new ReplicaDamagedError(`head ${number} is not what was written`);
    return decodeHead(row.data);
  };

  const readRow = (kind: number, id: string): Row | undefined => {
    const row = statements.readEntity.get(kind, id);
    if (row === undefined) return undefined;
    const secrets = statements.readSecrets.get(kind, id);
    if (secrets === undefined || row.checksum !== checksumOf(id, row.version, row.data))
      throw new ReplicaDamagedError(`${id} is not what was written`);
    return { ...row, ...secrets };
  };

  const writeRow = (kind: number, id: string, version: number, data: string, secrets: string) => {
    statements.putEntity.run(kind, id, version, data, checksumOf(id, version, data));
    statements.putSecrets.run(kind, id, secrets, checksumOf(id, 0, secrets));
    noteSealed(secrets, sealedStarts);
  };

  /** In a snapshot nearly every row is new, which its insertion finds out by the way; false where it is there. */
  const insertRow = (kind: number, id: string, version: number, data: string, secrets: string): boolean => {
    if (statements.insertEntity.run(kind, id, version, data, checksumOf(id, version, data)).changes === 0)
      return false;
    statements.putSecrets.run(kind, id, secrets, checksumOf(id, 0, secrets));
    noteSealed(secrets, sealedStarts);
    return true;
  };

  /** Keeps the row that is replaced or removed; false where it is dropped, so that it uses nothing any more. */
  const supersede = (kind: number, id: string, row: Row): boolean => {
    if (!keepsSuperseded) return false;
    const { version, data, checksum, secrets, secretsChecksum } = row;
    statements.putSuperseded.run(kind, id, version, data, checksum, nowMs, secrets, secretsChecksum);
    return true;
  };

  const moveTokens = (id: string, before: readonly TokenRow[], after: readonly TokenRow[]) => {
    if (before.length === 0) {
      for (const row of after) {
        statements.putToken.run(...row);
        note("tokens", row[0]);
      }
      return;
    }
    const kept = new Set(after.map(String));
    for (const row of before) {
      if (kept.has(String(row))) continue;
      statements.removeToken.run(row[0], id);
      note("tokens", row[0]);
    }
    const had = new Set(before.map(String));
    for (const row of after) {
      if (had.has(String(row))) continue;
      statements.putToken.run(...row);
      note("tokens", row[0]);
    }
  };

  const putInstance = (id: string, version: number, entity: InstanceEntity | null) => {
    const kind = kindNumber.instance;
    let oldTokens: TokenRow[] = [];
    let oldCustomer: [string, string] | null = null;
    const encoded = entity === null ? null : encodeInstance(entity);
    const number = encoded === null ? 0 : headNumber(encoded.head);
    const data = encoded === null ? "" : withHead(number, encoded.own);
    const isNew = !keepsSuperseded && encoded !== null && insertRow(kind, id, version, data, encoded.secrets);
    const old = isNew ? undefined : readRow(kind, id);
    if (old !== undefined) {
      // Numbered anew and the same as before: what is pinned to the old number goes on finding it.
      if (encoded !== null && old.data === data && old.secrets === encoded.secrets) return;
      const oldNumber = headNumberOf(old.data);
      const oldHead = readHead(oldNumber);
      const before = decodeInstance(id, oldHead, old.data, null);
      oldTokens = instanceTokens(before, oldNumber);
      oldCustomer = customerOf(before);
      if (!supersede(kind, id, old)) {
        count(headUses, oldNumber, -1);
        count(definitionUses, oldHead.definitionDigest, -1);
      }
    } else if (entity === null) return;
    note("instances", id);
    moveTokens(id, oldTokens, entity === null ? [] : instanceTokens(entity, number));
    const customer = entity === null ? null : customerOf(entity);
    if (String(oldCustomer) !== String(customer)) {
      if (oldCustomer !== null) {
        statements.removeCustomer.run(...oldCustomer, id);
        note("customers", customerKey(...oldCustomer));
      }
      if (customer !== null) {
        statements.putCustomer.run(...customer, id);
        note("customers", customerKey(...customer));
      }
    }
    if (entity === null || encoded === null) {
      statements.removeEntity.run(kind, id);
      statements.removeSecrets.run(kind, id);
      return;
    }
    count(headUses, number, 1);
    count(definitionUses, entity.definitionDigest, 1);
    if (!isNew) writeRow(kind, id, version, data, encoded.secrets);
  };

  const putIntegration = (id: string, version: number, entity: IntegrationEntity | null) => {
    const kind = kindNumber.integration;
    const old = readRow(kind, id);
    const encoded = entity === null ? null : encodeIntegration(entity);
    let oldTokens: TokenRow[] = [];
    if (old !== undefined) {
      if (encoded !== null && old.data === encoded.data && old.secrets === encoded.secrets) return;
      const before = decodeIntegration(old.data, null);
      oldTokens = [[before.token, id, 0, integrationToken]];
      if (!supersede(kind, id, old) && before.shared !== null)
        count(definitionUses, before.shared.definitionDigest, -1);
    } else if (entity === null) return;
    note("integrations", id);
    moveTokens(id, oldTokens, entity === null ? [] : [[entity.token, id, 0, integrationToken]]);
    if (entity === null || encoded === null) {
      statements.removeEntity.run(kind, id);
      statements.removeSecrets.run(kind, id);
      return;
    }
    if (entity.shared !== null) count(definitionUses, entity.shared.definitionDigest, 1);
    writeRow(kind, id, version, encoded.data, encoded.secrets);
  };

  const applyOne = (change: FeedChange) => {
    const { kind, id, version } = change;
    if (kind === "instance") return putInstance(id, version, change.data);
    if (kind === "integration") return putIntegration(id, version, change.data);
    // A definition goes with the last row that names it, whatever the feed says.
    if (change.data === null && kind === "definition") return;
    if (change.data === null) {
      statements.removeEntity.run(kindNumber[kind], id);
    } else {
      const data = JSON.stringify(change.data);
      statements.putEntity.run(kindNumber[kind], id, version, data, checksumOf(id, version, data));
    }
    if (kind === "definition") count(definitionUses, id, 0);
    else if (changed !== null) changed.isSettings = true;
  };

  const flush = () => {
    for (const [head, uses] of headUses) statements.countHead.run(uses, head);
    for (const [digest, uses] of definitionUses) statements.countDefinition.run({ digest, uses, nowMs });
    for (const start of sealedStarts) statements.noteSealed.run(start);
    headUses.clear();
    definitionUses.clear();
    headNumbers.clear();
  };

  return {
    apply(changes) {
      for (const change of changes) applyOne(change);
    },
    flush,
    finish({ epoch, version }) {
      flush();
      statements.putPosition.run(epoch, version);
      return changed;
    },
  };
}

const prepare = (database: Sqlite) => ({
  findHead: database.prepare<[string], { head: number }>("SELECT head FROM heads WHERE data = ?"),
  readHead: database.prepare<[number], { data: string; checksum: number }>(
    "SELECT data, checksum FROM heads WHERE head = ?",
  ),
  insertHead: database.prepare("INSERT INTO heads (data, uses, checksum) VALUES (?, 0, ?)"),
  countHead: database.prepare("UPDATE heads SET uses = uses + ? WHERE head = ?"),
  countDefinition: database.prepare(
    `INSERT INTO definitionUses (digest, uses, changedAtMs) VALUES (@digest, @uses, @nowMs)
     ON CONFLICT (digest) DO UPDATE SET uses = uses + excluded.uses, changedAtMs = excluded.changedAtMs`,
  ),
  noteSealed: database.prepare("INSERT OR IGNORE INTO masterKeys (sealedStart) VALUES (?)"),
  // Not joined: SQLite would compile such a statement again whenever it is bound to other values.
  readEntity: database.prepare<[number, string], Pick<Row, "version" | "data" | "checksum">>(
    "SELECT version, data, checksum FROM entities WHERE kind = ? AND id = ?",
  ),
  readSecrets: database.prepare<[number, string], Pick<Row, "secrets" | "secretsChecksum">>(
    "SELECT data AS secrets, checksum AS secretsChecksum FROM secrets WHERE kind = ? AND id = ?",
  ),
  insertEntity: database.prepare(
    "INSERT OR IGNORE INTO entities (kind, id, version, data, checksum) VALUES (?, ?, ?, ?, ?)",
  ),
  putEntity: database.prepare(
    "INSERT OR REPLACE INTO entities (kind, id, version, data, checksum) VALUES (?, ?, ?, ?, ?)",
  ),
  removeEntity: database.prepare("DELETE FROM entities WHERE kind = ? AND id = ?"),
  putSecrets: database.prepare(
    "INSERT OR REPLACE INTO secrets (kind, id, data, checksum) VALUES (?, ?, ?, ?)",
  ),
  removeSecrets: database.prepare("DELETE FROM secrets WHERE kind = ? AND id = ?"),
  putSuperseded: database.prepare(
    `INSERT OR REPLACE INTO superseded (kind, id, version, data, checksum, supersededAtMs, secrets, secretsChecksum)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
  ),
  removeToken: database.prepare("DELETE FROM tokens WHERE token = ? AND ownerId = ?"),
  putToken: database.prepare(
    "INSERT OR REPLACE INTO tokens (token, ownerId, head, flow) VALUES (?, ?, ?, ?)",
  ),
  removeCustomer: database.prepare(
    "DELETE FROM customerInstances WHERE integrationId = ? AND externalId = ? AND instanceId = ?",
  ),
  putCustomer: database.prepare(
    "INSERT OR REPLACE INTO customerInstances (integrationId, externalId, instanceId) VALUES (?, ?, ?)",
  ),
  putPosition: database.prepare("UPDATE position SET epoch = ?, version = ?"),
});

const count = <Key>(uses: Map<Key, number>, key: Key, by: number): void => {
  uses.set(key, (uses.get(key) ?? 0) + by);
};

const instanceTokens = (instance: InstanceEntity, head: number): TokenRow[] => [
  [instance.token, instance.id, 0, instanceToken],
  ...Object.values(instance.flows).map((flow, place): TokenRow => [flow.token, instance.id, head, place]),
];

/** A system instance is nobody's deployment. */
const customerOf = ({ isSystem, integrationId, customer }: InstanceEntity): [string, string] | null =>
  isSystem ? null : [integrationId, customer.externalId];

const emptySecrets = "[]";
const sealedStartLength = sealedPrefix("0".repeat(16)).length;

/** Notes which master keys the sealed texts (JSON of an array) name. */
function noteSealed(secrets: string, starts: Set<string>): void {
  if (secrets === emptySecrets) return;
  for (let at = secrets.indexOf('"'); at !== -1; ) {
    const isUnmarked = secrets.startsWith(unmarkedPrefix, at + 1);
    starts.add(isUnmarked ? unmarkedPrefix : secrets.slice(at + 1, at + 1 + sealedStartLength));
    const end = secrets.indexOf('"', at + 1);
    at = secrets.indexOf('"', end + 1);
  }
}
