/**
 * Writes the replica, on the main thread: the data plane's copy of the control plane's configuration. A delta is
 * one transaction; a snapshot is built as a file of its own beside the one that is read, and takes its place at
 * its end. Disposable: what cannot be read is kept aside and made anew from a snapshot.
 */
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname } from "node:path";
import { messageOf } from "../../shared/errors.ts";
import type { FeedChange } from "../../shared/feed.ts";
import { sealedPrefix, unmarkedPrefix } from "../../shared/secrets.ts";
import type { Sqlite } from "../../shared/sqlite.ts";
import { createApplier } from "./apply.ts";
import {
  buildingFile,
  generationsIn,
  isDamage,
  keepAside,
  openForBuilding,
  openForWriting,
  removeBuilding,
  removeFile,
  replicaFile,
} from "./file.ts";
import { createPruning, type InUse } from "./prune.ts";
import { type ChangedKeys, nothingChanged, type ReplicaState } from "./state.ts";

/** A delta or a snapshot under way; there is at most one. */
export interface ReplicaUpdate {
  /** Blocks for as long as it takes to write them: some 20 µs a change. */
  add(changes: readonly FeedChange[]): void;
  /** Readers see it when they are refreshed with the state that this resolves to. */
  commit(position: { epoch: string; version: number }): Promise<ReplicaState>;
  abandon(): void;
}

export interface ReplicaWriter {
  state(): ReplicaState;
  /** What all readers have taken up. */
  servedVersion(): number;
  /** One transaction, whatever number of pages. */
  beginDelta(): ReplicaUpdate;
  beginSnapshot(): ReplicaUpdate;
  /**
   * All readers read the newest state now. Returns a state where they should begin anew once more, with nothing
   * changed: the write-ahead log, which has grown, can start over only when nobody reads from it.
   */
  refreshed(): ReplicaState | null;
  /** What is there is asked for anew, as a snapshot; it is served until that is applied. */
  forget(): void;
  /** The same for a file that turned out to be broken: it is kept aside when the snapshot has taken its place. */
  noteDamaged(generation: number): void;
  /** Drops some of the superseded versions, definitions and older files that no unfinished entry needs. */
  prune(inUse: InUse): void;
  /** Of these master keys those that what an unfinished entry may still be pinned to is sealed under. */
  sealedUnder(fingerprints: string[]): string[];
  close(): void;
}

export interface ReplicaWriterOptions {
  folder: string;
  warn: (message: string) => void;
}

/** Above it the write-ahead log is moved into the file, and started over. */
const walBytesMax = 8 * 1024 * 1024;
/** Of a snapshot's file. */
const syncedAtOnceBytes = 16 * 1024 * 1024;

/** Opens the newest generation that can be read, or begins one. */
export function openReplicaWriter({ folder, warn }: ReplicaWriterOptions): ReplicaWriter {
  mkdirSync(folder, { recursive: true });
  removeBuilding(folder);
  let { database, generation } = openNewest(folder, warn);
  let position = readPosition(database);
  let servedVersion = position.version;
  let isForgotten = false;
  let damaged = -1;
  let isUpdating = false;
  let pruning = createPruning(folder, database, generation);

  const state = (changed: ChangedKeys | null): ReplicaState => ({
    file: replicaFile(folder, generation),
    generation,
    ...(isForgotten ? { epoch: "", version: 0 } : position),
    changed,
  });
  const begin = () => {
    if (isUpdating) throw new Error("an update of the replica is under way");
    isUpdating = true;
  };
  const noteDamaged = (reason: string) => {
    if (damaged !== generation) warn(`The replica is damaged and is made anew: ${reason}`);
    damaged = generation;
    isForgotten = true;
  };

  const beginDelta = (): ReplicaUpdate => {
    begin();
    const target = database;
    const applier = createApplier(target, { keepsSuperseded: true });
    let isOpen = false;
    let isOver = false;
    const guarded = <Result>(work: () => Result): Result => {
      try {
        if (!isOpen) target.exec("BEGIN IMMEDIATE");
        isOpen = true;
        return work();
      } catch (error) {
        abandon();
        if (isDamage(error)) noteDamaged(messageOf(error));
        throw error;
      }
    };
    const abandon = () => {
      if (isOver) return;
      isOver = true;
      if (target.inTransaction) target.exec("ROLLBACK");
      isUpdating = false;
    };
    return {
      add: (changes) => guarded(() => applier.apply(changes)),
      async commit(to) {
        const changed = guarded(() => {
          const touched = applier.finish(to);
          target.exec("COMMIT");
          return touched;
        });
        isOver = true;
        position = to;
        isUpdating = false;
        pruning.noteCommitted();
        return state(changed);
      },
      abandon,
    };
  };

  const beginSnapshot = (): ReplicaUpdate => {
    begin();
    const next = nextGeneration(folder);
    const file = buildingFile(folder, next);
    const building = openForBuilding(file);
    const applier = createApplier(building, { keepsSuperseded: false });
    const sync = syncAlong(file);
    building.exec("BEGIN");
    let isOver = false;
    const abandon = () => {
      if (isOver) return;
      isOver = true;
      building.close();
      removeFile(file);
      isUpdating = false;
    };
    const guarded = <Result>(work: () => Result): Result => {
      try {
        return work();
      } catch (error) {
        abandon();
        throw error;
      }
    };
    return {
      add: (changes) =>
        guarded(() => {
          applier.apply(changes);
          applier.flush();
          sync.grown();
        }),
      async commit(to) {
        guarded(() => {
          applier.finish(to);
          building.exec("COMMIT");
          building.close();
        });
        isOver = true;
        try {
          await sync.whole();
          publishFile(folder, next);
          const opened = openForWriting(replicaFile(folder, next));
          pruning.noteReplaced();
          database.close();
          if (damaged === generation) keepAside(folder, generation);
          database = opened;
          generation = next;
        } finally {
          removeFile(file);
          isUpdating = false;
        }
        pruning = pruning.on(database, generation);
        position = to;
        isForgotten = false;
        return state(null);
      },
      abandon,
    };
  };

  return {
    state: () => state(null),
    servedVersion: () => servedVersion,
    beginDelta,
    beginSnapshot,
    refreshed() {
      pruning.noteRefreshed();
      servedVersion = position.version;
      const walBytes = statSync(`${database.name}-wal`, { throwIfNoEntry: false })?.size ?? 0;
      if (walBytes < walBytesMax || isUpdating) return null;
      database.pragma("wal_checkpoint(PASSIVE)");
      return state(nothingChanged());
    },
    forget() {
      isForgotten = true;
    },
    noteDamaged(which) {
      if (which === generation) noteDamaged("what was read is not what was written");
    },
    prune(inUse) {
      if (isUpdating || damaged === generation) return;
      try {
        pruning.prune(inUse);
      } catch (error) {
        if (!isDamage(error)) throw error;
        noteDamaged(messageOf(error));
      }
    },
    sealedUnder(fingerprints) {
      const isUnmarkedNeeded = pruning.isNeeded(unmarkedPrefix);
      return fingerprints.filter((print) => isUnmarkedNeeded || pruning.isNeeded(sealedPrefix(print)));
    },
    close() {
      database.close();
    },
  };
}

const readPosition = (database: Sqlite): { epoch: string; version: number } =>
  database.prepare<[], { epoch: string; version: number }>("SELECT epoch, version FROM position").get()!;

function openNewest(
  folder: string,
  warn: (message: string) => void,
): { database: Sqlite; generation: number } {
  for (const generation of generationsIn(folder)) {
    try {
      return { database: openForWriting(replicaFile(folder, generation)), generation };
    } catch (error) {
      warn(`The replica could not be read and is made anew: ${messageOf(error)}`);
      keepAside(folder, generation);
    }
  }
  const generation = nextGeneration(folder);
  openForBuilding(buildingFile(folder, generation)).close();
  publishFile(folder, generation);
  return { database: openForWriting(replicaFile(folder, generation)), generation };
}

/** By the clock: a number must not come again even where all files were deleted. */
function nextGeneration(folder: string): number {
  const [newest = 0] = generationsIn(folder);
  return Math.max(newest + 1, Math.floor(Date.now() / 1000));
}

function publishFile(folder: string, generation: number): void {
  const file = replicaFile(folder, generation);
  renameSync(buildingFile(folder, generation), file);
  const descriptor = openSync(dirname(file), "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Syncs a file beside the event loop, little by little while it grows: a gigabyte at once would hold up for seconds
 * what else is synced on that disk.
 */
function syncAlong(file: string): { grown(): void; whole(): Promise<void> } {
  let syncedBytes = 0;
  let underWay: Promise<void> | null = null;
  return {
    grown() {
      const { size } = statSync(file);
      if (underWay !== null || size - syncedBytes < syncedAtOnceBytes) return;
      syncedBytes = size;
      // Where it fails, so does that at the end.
      underWay = syncFile(file)
        .catch(() => {})
        .finally(() => {
          underWay = null;
        });
    },
    async whole() {
      await underWay;
      await syncFile(file);
    },
  };
}

async function syncFile(file: string): Promise<void> {
  const handle = await open(file, "r+");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
