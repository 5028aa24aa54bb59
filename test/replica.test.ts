/** The replica: what readers see of deltas and snapshots, pinned versions, pruning, and files that are broken. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { createCache } from "../data-plane/replica/cache.ts";
import { decodeHead, decodeInstance, encodeInstance, withHead } from "../data-plane/replica/encoding.ts";
import { openForWriting, ReplicaDamagedError, replicaMigrations } from "../data-plane/replica/file.ts";
import {
  openReplicaReader,
  type ReplicaReader,
  type ReplicaReaderOptions,
} from "../data-plane/replica/reader.ts";
import type { ReplicaState } from "../data-plane/replica/state.ts";
import { openReplicaWriter, type ReplicaWriter } from "../data-plane/replica/writer.ts";
import type { FeedChange, InstanceEntity } from "../shared/feed.ts";
import {
  definitionOf,
  digestOf,
  externalIdOf,
  instanceEntityOf,
  instanceIdOf,
  instanceTokenOf,
  integrationEntityOf,
  integrationIdOf,
  snapshotPages,
} from "./support/syntheticFeed.ts";
import { temporaryFolder } from "./support/temporaryFolder.ts";

const fingerprint = "0123456789abcdef";
const idle = { oldestUnfinishedMs: null, generations: new Set<number>() };

interface Opened {
  folder: string;
  writer: ReplicaWriter;
  warnings: string[];
}

function openWriter(folder = temporaryFolder()): Opened {
  const warnings: string[] = [];
  const writer = openReplicaWriter({ folder, warn: (message) => warnings.push(message) });
  onTestFinished(() => writer.close());
  return { folder, writer, warnings };
}

function openReader(
  { folder, writer }: Opened,
  options: Partial<ReplicaReaderOptions> = {},
): ReplicaReader & { damaged: number[] } {
  const damaged: number[] = [];
  const reader = openReplicaReader({
    folder,
    state: writer.state(),
    withSecrets: true,
    onDamaged: (generation) => damaged.push(generation),
    ...options,
  });
  onTestFinished(() => reader.close());
  return Object.assign(reader, { damaged });
}

async function applySnapshot(writer: ReplicaWriter, instances: number, epoch = "one"): Promise<ReplicaState> {
  const snapshot = writer.beginSnapshot();
  for (const page of snapshotPages(instances)) snapshot.add(page);
  return snapshot.commit({ epoch, version: 10_000 });
}

let nextVersion = 10_001;

async function applyDelta(writer: ReplicaWriter, changes: FeedChange[]): Promise<ReplicaState> {
  const delta = writer.beginDelta();
  delta.add(changes);
  return delta.commit({ epoch: "one", version: nextVersion });
}

const changed = (number: number, change: Partial<InstanceEntity>): FeedChange => ({
  kind: "instance",
  id: instanceIdOf(number),
  version: ++nextVersion,
  data: { ...instanceEntityOf(number), ...change },
});
const removed = (number: number): FeedChange => ({
  kind: "instance",
  id: instanceIdOf(number),
  version: ++nextVersion,
  data: null,
});

/** A replica of some instances, with a reader of everything. */
async function replicaOf(instances: number) {
  const opened = openWriter();
  await applySnapshot(opened.writer, instances);
  return { ...opened, reader: openReader(opened) };
}

const files = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith(".db"))
    .sort();

describe("what is applied", () => {
  test("a snapshot is read as it was fed, with secrets and without", async () => {
    const { folder, writer, warnings, reader } = await replicaOf(2_500);
    for (const number of [0, 1, 999, 1_000, 2_499]) {
      const entity = instanceEntityOf(number);
      expect(reader.instance(entity.id)?.entity).toEqual(entity);
      expect(reader.tokenOwner(entity.token)).toMatchObject({ kind: "instance", instanceId: entity.id });
      for (const [stableKey, flow] of Object.entries(entity.flows)) {
        expect(reader.tokenOwner(flow.token)).toMatchObject({
          kind: "flow",
          instanceId: entity.id,
          stableKey,
        });
      }
      const found = reader.customerInstance(entity.integrationId, entity.customer.externalId);
      expect(found?.entity.id).toBe(entity.id);
      expect(reader.integration(entity.integrationId)?.entity.id).toBe(entity.integrationId);
      expect(reader.definition(entity.definitionDigest)?.definition).toEqual(
        definitionOf(Math.floor(number / 1_000)),
      );
    }
    expect(reader.settings()?.organization.name).toBe("Acme");
    expect(reader.position()).toEqual({ epoch: "one", version: 10_000 });
    const bare = openReader({ folder, writer, warnings }, { withSecrets: false });
    const seen = bare.instance(instanceIdOf(7))!.entity;
    expect(seen.sealedConfigVars).toBe("");
    expect(Object.values(seen.flows).flatMap(({ keys }) => keys.map((key) => key.sealed))).toEqual([""]);
    expect(seen.flows[Object.keys(seen.flows)[0]!]!.keys[0]!.hmac).toBe(
      Object.values(instanceEntityOf(7).flows)[0]!.keys[0]!.hmac,
    );
  });

  test("what is not there is null", async () => {
    const { reader } = await replicaOf(1);
    expect([
      reader.tokenOwner("no-such-token"),
      reader.instance("no"),
      reader.integration("no"),
      reader.definition("no"),
      reader.customerInstance(integrationIdOf(0), "nobody"),
      reader.instanceAt(reader.generation, instanceIdOf(0), 1),
      reader.instanceAt(reader.generation - 1, instanceIdOf(0), 3),
    ]).toEqual([null, null, null, null, null, null, null]);
  });

  test("a delta is seen as a whole from the refresh on, and not before", async () => {
    const { writer, reader } = await replicaOf(10);
    const before = reader.stamp;
    reader.instance(instanceIdOf(1));
    const delta = writer.beginDelta();
    delta.add([changed(1, { name: "new name" }), removed(2)]);
    expect(reader.instance(instanceIdOf(3))?.entity.name).toBe(instanceEntityOf(3).name);
    delta.add([
      changed(3, {
        token: "a-new-token",
        customer: { ...instanceEntityOf(3).customer, externalId: "moved" },
      }),
    ]);
    const state = await delta.commit({ epoch: "one", version: nextVersion });
    const look = () => [
      reader.instance(instanceIdOf(1))?.entity.name,
      reader.instance(instanceIdOf(2))?.entity.name,
      reader.tokenOwner(instanceTokenOf(2))?.kind,
      reader.tokenOwner(instanceTokenOf(3))?.kind,
      reader.tokenOwner("a-new-token")?.kind,
      reader.customerInstance(integrationIdOf(3), externalIdOf(3))?.entity.id,
      reader.customerInstance(integrationIdOf(3), "moved")?.entity.id,
    ];
    const [one, two, three] = [1, 2, 3].map(instanceEntityOf);
    expect(look()).toEqual([one!.name, two!.name, "instance", "instance", undefined, three!.id, undefined]);
    expect(reader.stamp).toBe(before);
    reader.refresh(state);
    expect(look()).toEqual(["new name", undefined, undefined, undefined, "instance", undefined, three!.id]);
    expect(reader.stamp).not.toBe(before);
    expect(reader.position()).toEqual({ epoch: "one", version: state.version });
  });

  test("a delta drops from the caches what it touched and nothing else", async () => {
    const { writer, reader } = await replicaOf(10);
    const [one, two] = [reader.instance(instanceIdOf(1)), reader.instance(instanceIdOf(2))];
    const state = await applyDelta(writer, [changed(1, { isEnabled: false })]);
    expect(state.changed).toEqual({
      tokens: [],
      instances: [instanceIdOf(1)],
      integrations: [],
      customers: [],
      isSettings: false,
    });
    reader.refresh(state);
    expect(reader.instance(instanceIdOf(1))).not.toBe(one);
    expect(reader.instance(instanceIdOf(2))).toBe(two);
  });

  test("an entity that is numbered anew and is the same keeps its version", async () => {
    const { writer, reader } = await replicaOf(3);
    const before = reader.instance(instanceIdOf(1));
    reader.refresh(await applyDelta(writer, [changed(1, {})]));
    expect(reader.instance(instanceIdOf(1))).toBe(before);
  });

  test("more changes than can be named drop everything", async () => {
    const { writer, reader } = await replicaOf(3_000);
    reader.instance(instanceIdOf(2_999));
    const all = Array.from({ length: 2_999 }, (_, number) =>
      changed(number, {
        token: `token-${number}`,
        customer: { ...instanceEntityOf(number).customer, externalId: `c${number}` },
      }),
    );
    const state = await applyDelta(writer, all);
    expect(state.changed).toBeNull();
    reader.refresh(state);
    expect(reader.stats().cachedInstances).toBe(0);
    expect(reader.tokenOwner("token-1500")).toMatchObject({ instanceId: instanceIdOf(1_500) });
  });

  test("the later one of two changes in one snapshot counts, and leaves no trace of the first", async () => {
    const opened = openWriter();
    const snapshot = opened.writer.beginSnapshot();
    for (const page of snapshotPages(5)) snapshot.add(page);
    snapshot.add([changed(1, { token: "second", versionId: "another-version" }), removed(2)]);
    await snapshot.commit({ epoch: "one", version: 10 });
    const reader = openReader(opened);
    expect(reader.tokenOwner("second")).toMatchObject({ instanceId: instanceIdOf(1) });
    expect(reader.tokenOwner(instanceTokenOf(1))).toBeNull();
    expect(reader.instance(instanceIdOf(1))?.entity.versionId).toBe("another-version");
    expect(reader.instance(instanceIdOf(2))).toBeNull();
    const flow = Object.values(instanceEntityOf(1).flows)[1]!;
    expect(reader.tokenOwner(flow.token)).toMatchObject({ kind: "flow", instanceId: instanceIdOf(1) });
  });

  test("an abandoned delta or snapshot leaves everything as it was", async () => {
    const { folder, writer, reader } = await replicaOf(3);
    const before = files(folder);
    const delta = writer.beginDelta();
    delta.add([removed(1)]);
    delta.abandon();
    const snapshot = writer.beginSnapshot();
    snapshot.add([...snapshotPages(1)][0]!);
    snapshot.abandon();
    expect(files(folder)).toEqual(before);
    reader.refresh(writer.state());
    expect(reader.instance(instanceIdOf(1))).not.toBeNull();
    expect(writer.state()).toMatchObject({ epoch: "one", version: 10_000 });
  });

  test("a snapshot takes away what it does not hold; reading goes on in the old file until the refresh", async () => {
    const { writer, reader } = await replicaOf(10);
    const state = await applySnapshot(writer, 4, "two");
    expect(state.generation).toBeGreaterThan(reader.generation);
    expect(reader.instance(instanceIdOf(9))?.entity.name).toBe(instanceEntityOf(9).name);
    reader.refresh(state);
    expect(reader.instance(instanceIdOf(9))).toBeNull();
    expect(reader.instance(instanceIdOf(3))).not.toBeNull();
    expect(reader.position().epoch).toBe("two");
  });

  test("all of it is there after a restart; what was forgotten is served until a snapshot has come", async () => {
    const folder = temporaryFolder();
    const first = openReplicaWriter({ folder, warn: () => {} });
    await applySnapshot(first, 5);
    const state = await applyDelta(first, [changed(1, { name: "after" })]);
    first.close();
    const second = openWriter(folder);
    expect(second.writer.state()).toEqual({ ...state, changed: null });
    second.writer.forget();
    expect(second.writer.state()).toMatchObject({ epoch: "", version: 0 });
    expect(openReader(second).instance(instanceIdOf(1))?.entity.name).toBe("after");
    await applySnapshot(second.writer, 1, "two");
    expect(second.writer.state().epoch).toBe("two");
    expect(second.warnings).toEqual([]);
  });

  test("the write-ahead log does not grow for ever under readers that hold it", async () => {
    const { writer, reader, folder } = await replicaOf(200);
    const walBytes = () => statSync(join(folder, `replica-${reader.generation}.db-wal`)).size;
    let mostBytes = 0;
    let restarts = 0;
    for (let round = 0; round < 150; round++) {
      const names = Array.from({ length: 60 }, (_, number) =>
        changed(number, { name: `${round}`.repeat(200) }),
      );
      reader.refresh(await applyDelta(writer, names));
      const again = writer.refreshed();
      if (again !== null) {
        reader.refresh(again);
        restarts++;
      }
      mostBytes = Math.max(mostBytes, walBytes());
    }
    expect(restarts).toBeGreaterThan(1);
    expect(mostBytes).toBeLessThan(16 * 1024 * 1024);
    expect(reader.instance(instanceIdOf(5))?.entity.name).toBe("149".repeat(200));
  });
});

describe("pinned versions", () => {
  const passTime = (ms: number) => vi.setSystemTime(Date.now() + ms);
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["Date"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test("a superseded and a removed instance are found at their version while an entry of that time is unfinished", async () => {
    const { writer, reader } = await replicaOf(5);
    const { generation } = reader;
    const [one, two] = [1, 2].map((number) => reader.instance(instanceIdOf(number))!.version);
    const acceptedAtMs = Date.now();
    reader.refresh(await applyDelta(writer, [changed(1, { name: "later", versionId: "v2" }), removed(2)]));
    writer.refreshed();
    const found = () => [
      reader.instanceAt(generation, instanceIdOf(1), one!)?.entity,
      reader.instanceAt(generation, instanceIdOf(2), two!)?.entity,
    ];
    expect(found()).toEqual([instanceEntityOf(1), instanceEntityOf(2)]);
    passTime(60_000);
    writer.prune({ oldestUnfinishedMs: acceptedAtMs, generations: new Set([generation]) });
    reader.refresh(writer.state());
    expect(found()).toEqual([instanceEntityOf(1), instanceEntityOf(2)]);
    writer.prune({ oldestUnfinishedMs: Date.now(), generations: new Set([generation]) });
    reader.refresh(writer.state());
    expect(found()).toEqual([undefined, undefined]);
    expect(reader.instance(instanceIdOf(1))?.entity.name).toBe("later");
    expect(
      reader.instanceAt(generation, instanceIdOf(1), reader.instance(instanceIdOf(1))!.version),
    ).not.toBeNull();
  });

  test("nothing is pruned that a reader which is not refreshed yet may still accept on", async () => {
    const { writer, reader } = await replicaOf(5);
    const version = reader.instance(instanceIdOf(1))!.version;
    const state = await applyDelta(writer, [changed(1, { name: "later" })]);
    passTime(60_000);
    writer.prune(idle);
    reader.refresh(state);
    expect(reader.instanceAt(reader.generation, instanceIdOf(1), version)).not.toBeNull();
    writer.refreshed();
    writer.prune(idle);
    reader.refresh(writer.state());
    expect(reader.instanceAt(reader.generation, instanceIdOf(1), version)).toBeNull();
  });

  test("an integration is found at its version, too", async () => {
    const { writer, reader } = await replicaOf(5);
    const id = integrationIdOf(0);
    const before = reader.integration(id)!;
    reader.refresh(
      await applyDelta(writer, [
        {
          kind: "integration",
          id,
          version: ++nextVersion,
          data: { ...integrationEntityOf(0), name: "renamed" },
        },
      ]),
    );
    expect(reader.integration(id)?.entity.name).toBe("renamed");
    expect(reader.integrationAt(reader.generation, id, before.version)?.entity).toEqual(before.entity);
  });

  test("a definition stays while a version of an instance names it, and goes with the last one", async () => {
    const { writer, reader } = await replicaOf(2);
    const acceptedAtMs = Date.now();
    const digest = digestOf(0);
    const next = "f".repeat(64);
    const refresh = (state: ReplicaState) => {
      reader.refresh(state);
      writer.refreshed();
    };
    refresh(
      await applyDelta(writer, [
        { kind: "definition", id: next, version: ++nextVersion, data: definitionOf(7) },
        changed(0, { definitionDigest: next }),
        changed(1, { definitionDigest: next }),
        { kind: "definition", id: digest, version: ++nextVersion, data: null },
      ]),
    );
    passTime(60_000);
    writer.prune({ oldestUnfinishedMs: acceptedAtMs, generations: new Set() });
    const fresh = () =>
      openReader({ folder: "", writer, warnings: [] }, { folder: join(writer.state().file, "..") });
    expect(fresh().definitionAt(reader.generation, digest)?.definition).toEqual(definitionOf(0));
    writer.prune(idle);
    passTime(60_000);
    writer.prune(idle);
    expect(fresh().definition(digest)).toBeNull();
    expect(fresh().definition(next)?.definition).toEqual(definitionOf(7));
  });

  test("an older file is read until no entry of it is unfinished, then it is gone", async () => {
    const { folder, writer, reader } = await replicaOf(5);
    const old = reader.generation;
    const version = reader.instance(instanceIdOf(3))!.version;
    const digest = digestOf(0);
    const state = await applySnapshot(writer, 1, "two");
    reader.refresh(state);
    writer.refreshed();
    passTime(60_000);
    writer.prune({ oldestUnfinishedMs: 0, generations: new Set([old]) });
    expect(reader.instanceAt(old, instanceIdOf(3), version)?.entity).toEqual(instanceEntityOf(3));
    expect(reader.definitionAt(old, digest)?.definition).toEqual(definitionOf(0));
    expect(reader.instanceAt(state.generation, instanceIdOf(3), version)).toBeNull();
    writer.prune(idle);
    expect(files(folder)).toEqual([`replica-${state.generation}.db`]);
    const later = openReader({ folder, writer, warnings: [] });
    expect(later.instanceAt(old, instanceIdOf(3), version)).toBeNull();
  });

  test("an older file's last deltas are found after a restart, too", async () => {
    const folder = temporaryFolder();
    const first = openReplicaWriter({ folder, warn: () => {} });
    const old = await applySnapshot(first, 5);
    const reader = openReader({ folder, writer: first, warnings: [] });
    reader.refresh(await applyDelta(first, [changed(3, { name: "by a delta" })]));
    const version = reader.instance(instanceIdOf(3))!.version;
    const state = await applySnapshot(first, 1, "two");
    const look = (from: ReplicaReader) =>
      from.instanceAt(old.generation, instanceIdOf(3), version)?.entity.name;
    reader.refresh(state);
    expect(look(reader)).toBe("by a delta");
    first.close();
    reader.close();
    const again = openWriter(folder);
    again.writer.prune({ oldestUnfinishedMs: 0, generations: new Set([old.generation]) });
    expect(look(openReader(again))).toBe("by a delta");
  });

  test("at most three older files are kept, whatever is unfinished", async () => {
    const { folder, writer, reader } = await replicaOf(1);
    const generations = new Set([reader.generation]);
    for (let round = 0; round < 5; round++) {
      passTime(1);
      generations.add((await applySnapshot(writer, 1, `epoch-${round}`)).generation);
    }
    writer.prune({ oldestUnfinishedMs: 0, generations });
    expect(files(folder)).toHaveLength(4);
    expect(files(folder)).not.toContain(`replica-${reader.generation}.db`);
  });

  test("a master key is needed while something superseded is sealed under it, or an older file", async () => {
    const { writer, reader } = await replicaOf(2);
    const other = "fedcba9876543210";
    const resealed = (number: number): FeedChange => {
      const text = JSON.stringify(instanceEntityOf(number)).replaceAll(fingerprint, other);
      return { kind: "instance", id: instanceIdOf(number), version: ++nextVersion, data: JSON.parse(text) };
    };
    const acceptedAtMs = Date.now();
    expect(writer.sealedUnder([fingerprint, other])).toEqual([]);
    reader.refresh(await applyDelta(writer, [resealed(0), resealed(1)]));
    writer.refreshed();
    expect(writer.servedVersion()).toBe(writer.state().version);
    passTime(60_000);
    writer.prune({ oldestUnfinishedMs: acceptedAtMs, generations: new Set() });
    expect(writer.sealedUnder([fingerprint, other])).toEqual([fingerprint]);
    writer.prune(idle);
    expect(writer.sealedUnder([fingerprint, other])).toEqual([]);
    await applySnapshot(writer, 1, "two");
    expect(writer.sealedUnder([fingerprint, other, "0000000000000000"])).toEqual([fingerprint, other]);
  });

  test("what was sealed before there were fingerprints needs every key", async () => {
    const { writer, reader } = await replicaOf(1);
    reader.refresh(await applyDelta(writer, [changed(0, { sealedConfigVars: "v1.abc" })]));
    reader.refresh(await applyDelta(writer, [changed(0, { sealedConfigVars: `v2.${fingerprint}.abc` })]));
    expect(writer.sealedUnder(["1111111111111111"])).toEqual(["1111111111111111"]);
  });
});

describe("broken files", () => {
  /** Overwrites some bytes of a file at these parts of its length. */
  function flip(file: string, from: number, to: number): void {
    const descriptor = openSync(file, "r+");
    const { size } = statSync(file);
    const bytes = Buffer.alloc(1);
    for (let at = Math.floor(size * from); at < size * to; at += 97) {
      readSync(descriptor, bytes, 0, 1, at);
      bytes[0] = bytes[0]! ^ 0x5a;
      writeSync(descriptor, bytes, 0, 1, at);
    }
    closeSync(descriptor);
  }

  async function closedReplica(instances: number): Promise<{ folder: string; file: string }> {
    const folder = temporaryFolder();
    const writer = openReplicaWriter({ folder, warn: () => {} });
    const { file } = await applySnapshot(writer, instances);
    writer.close();
    return { folder, file };
  }

  /** Opened anew: empty, the broken one kept aside and reported, and usable from a snapshot on. */
  async function expectRebuilt(folder: string): Promise<void> {
    const opened = openWriter(folder);
    expect(opened.writer.state()).toMatchObject({ epoch: "", version: 0 });
    expect(opened.warnings).toHaveLength(1);
    expect(files(folder).filter((name) => name.startsWith("damaged-"))).toHaveLength(1);
    const reader = openReader(opened);
    expect(reader.instance(instanceIdOf(1))).toBeNull();
    reader.refresh(await applySnapshot(opened.writer, 3));
    expect(reader.instance(instanceIdOf(1))?.entity).toEqual(instanceEntityOf(1));
  }

  test("bytes flipped in its middle: kept aside, reported, made anew", async () => {
    const { folder, file } = await closedReplica(2_000);
    flip(file, 0.3, 0.7);
    await expectRebuilt(folder);
  });

  test("cut short: kept aside, reported, made anew", async () => {
    const { folder, file } = await closedReplica(2_000);
    truncateSync(file, Math.floor(statSync(file).size / 2));
    await expectRebuilt(folder);
  });

  test("a large one that is cut short is found out, too", async () => {
    const { folder, file } = await closedReplica(26_000);
    expect(statSync(file).size).toBeGreaterThan(32 * 1024 * 1024);
    truncateSync(file, statSync(file).size - 4096);
    await expectRebuilt(folder);
  }, 120_000);

  test("something else than a database: kept aside, reported, made anew; two are kept at most", async () => {
    const { folder, file } = await closedReplica(1);
    writeFileSync(file, "this is not a database, whatever it was before");
    await expectRebuilt(folder);
    for (const generation of [3, 4, 5]) writeFileSync(join(folder, `damaged-replica-${generation}.db`), "");
    const next = temporaryFolder();
    for (const generation of [1, 2, 3])
      writeFileSync(join(next, `replica-${generation}.db`), "rubbish rubbish");
    openWriter(next);
    expect(files(next).filter((name) => name.startsWith("damaged-"))).toEqual([
      "damaged-replica-2.db",
      "damaged-replica-3.db",
    ]);
  });

  test("deleted while closed: begun anew, with a number that was never used", async () => {
    const { folder, file } = await closedReplica(5);
    rmSync(file);
    const opened = openWriter(folder);
    expect(opened.writer.state()).toMatchObject({ epoch: "", version: 0 });
    expect(opened.writer.state().file).not.toBe(file);
    expect(opened.warnings).toEqual([]);
  });

  test("an older good file is served where the newest is broken", async () => {
    const { folder, file } = await closedReplica(5);
    writeFileSync(join(folder, `replica-${Date.now() + 1_000}.db`), "rubbish rubbish rubbish");
    const opened = openWriter(folder);
    expect(opened.writer.state()).toMatchObject({ file, epoch: "one", version: 10_000 });
    expect(openReader(opened).instance(instanceIdOf(4))).not.toBeNull();
  });

  test("damage found while reading is told once and named; cached endpoints are served until the snapshot", async () => {
    const opened = openWriter();
    const state = await applySnapshot(opened.writer, 8_000);
    const reader = openReader(opened, { withSecrets: false, bounds: { pagesMb: 0 } });
    const cached = reader.instance(instanceIdOf(1))!;
    flip(state.file, 0.05, 1);
    const failures = Array.from({ length: 200 }, (_, at) => {
      try {
        reader.instance(instanceIdOf(at * 40 + 2));
        return null;
      } catch (error) {
        return error;
      }
    }).filter((error) => error !== null);
    expect(failures.length).toBeGreaterThan(0);
    expect(failures.every((error) => error instanceof ReplicaDamagedError)).toBe(true);
    expect(reader.damaged).toEqual([state.generation]);
    expect(reader.instance(instanceIdOf(1))).toBe(cached);
    opened.writer.noteDamaged(state.generation);
    expect(opened.writer.state()).toMatchObject({ epoch: "", version: 0 });
    reader.refresh(await applySnapshot(opened.writer, 300, "two"));
    expect(reader.instance(instanceIdOf(202))?.entity.name).toBe(instanceEntityOf(202).name);
    const names = files(opened.folder);
    expect(names).toContain(`damaged-replica-${state.generation}.db`);
    expect(names).not.toContain(`replica-${state.generation}.db`);
    expect(opened.warnings).toHaveLength(1);
  });

  test("one byte of an instance's text is enough to be found out", async () => {
    const { folder, file } = await closedReplica(3);
    const database = openForWriting(file);
    database
      .prepare("UPDATE entities SET data = replace(data, 'customer 1', 'customer 2') WHERE id = ?")
      .run(instanceIdOf(1));
    database.close();
    const reader = openReader(openWriter(folder));
    expect(() => reader.instance(instanceIdOf(1))).toThrow(ReplicaDamagedError);
    expect(reader.instance(instanceIdOf(2))).not.toBeNull();
  });
});

describe("killed", () => {
  /** Runs the child until it has printed so many lines, then kills it. */
  async function killAfter(lines: number, ...given: string[]): Promise<void> {
    const child = spawn(process.execPath, [join(import.meta.dirname, "support/replicaChild.ts"), ...given], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let printed = 0;
    for await (const chunk of child.stdout) {
      printed += String(chunk).split("\n").length - 1;
      if (printed >= lines) break;
    }
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    expect(child.signalCode).toBe("SIGKILL");
    expect(printed).toBeGreaterThanOrEqual(lines);
  }

  test.each([1, 5, 20])(
    "during a snapshot after %d pages: what was there is served, the rest removed",
    async (pages) => {
      const folder = temporaryFolder();
      const first = openReplicaWriter({ folder, warn: () => {} });
      const state = await applySnapshot(first, 10);
      first.close();
      await killAfter(pages, "snapshot", folder);
      expect(files(folder).some((name) => name.startsWith("building-"))).toBe(true);
      const opened = openWriter(folder);
      expect(opened.writer.state()).toEqual({ ...state, changed: null });
      expect(openReader(opened).instance(instanceIdOf(9))?.entity).toEqual(instanceEntityOf(9));
      expect(files(folder).every((name) => name.startsWith("replica-"))).toBe(true);
      expect(opened.warnings).toEqual([]);
    },
  );

  test("during a migration of its tables: the file is as before it, and migrates at the next start", async () => {
    const folder = temporaryFolder();
    const first = openReplicaWriter({ folder, warn: () => {} });
    const state = await applySnapshot(first, 10);
    first.close();
    await killAfter(1, "migrate", state.file);
    const opened = openWriter(folder);
    expect(opened.writer.state()).toEqual({ ...state, changed: null });
    opened.writer.close();
    const migrated = openForWriting(state.file, [
      ...replicaMigrations,
      "ALTER TABLE position ADD COLUMN note TEXT",
    ]);
    expect(migrated.prepare("SELECT epoch, note FROM position").get()).toEqual({ epoch: "one", note: null });
    migrated.close();
  });
});

describe("parts", () => {
  test("an instance is decoded as it was encoded, whatever it holds", () => {
    const text = fc.string({ unit: "grapheme" });
    const key = fc.record({
      id: text,
      hmac: text,
      sealed: text,
      expiresAtMs: fc.option(fc.maxSafeNat()),
      revokedAtMs: fc.option(fc.maxSafeNat()),
    });
    const flow = fc.record({
      flowId: text,
      flowConfigId: text,
      token: text,
      keys: fc.array(key, { maxLength: 3 }),
      allowedAddresses: fc.array(text, { maxLength: 2 }),
    });
    const user = fc.record({ id: text, externalId: fc.option(text), email: text, name: text });
    const instance = fc.record({
      id: text,
      name: text,
      integrationId: text,
      integrationName: text,
      isSystem: fc.boolean(),
      isEnabled: fc.boolean(),
      globalDebug: fc.boolean(),
      versionId: text,
      versionNumber: fc.nat(),
      definitionDigest: text,
      customer: fc.record({
        id: text,
        externalId: text,
        name: text,
        users: fc.array(user, { maxLength: 2 }),
      }),
      token: text,
      allowedAddresses: fc.array(text, { maxLength: 2 }),
      flows: fc.dictionary(fc.uuid(), flow, { maxKeys: 3, noNullPrototype: true }),
      sealedConfigVars: text,
    });
    fc.assert(
      fc.property(instance, (entity) => {
        const { head, own, secrets } = encodeInstance(entity);
        expect(decodeInstance(entity.id, decodeHead(head), withHead(12, own), secrets)).toEqual(entity);
      }),
    );
  });

  test("the cache keeps to its bound, and spares what is used", () => {
    const cache = createCache<{ isUsed: boolean; bytes: number }>(1_000, ({ bytes }) => bytes);
    for (let at = 0; at < 500; at++) {
      cache.set(`${at}`, { isUsed: false, bytes: 10 });
      cache.get("0");
      expect(cache.bytes).toBeLessThanOrEqual(1_000);
      expect(cache.bytes).toBe(cache.size * 10);
    }
    expect(cache.get("0")).toBeDefined();
    expect(cache.get("499")).toBeDefined();
    expect(cache.get("1")).toBeUndefined();
    cache.delete("0");
    expect(cache.get("0")).toBeUndefined();
    cache.set("too large", { isUsed: false, bytes: 5_000 });
    expect(cache.bytes).toBeLessThanOrEqual(1_000);
    cache.clear();
    expect([cache.size, cache.bytes]).toEqual([0, 0]);
  });
});
