/**
 * The data plane's master keys. While the key is rotated its file changes under the running process: it is
 * looked at every second, and the control plane is told which keys are held and which are still needed.
 */
import { statSync } from "node:fs";
import { ConfigurationError, messageOf } from "../shared/errors.ts";
import { keyFingerprint, loadMasterKey, type MasterKey, readMasterKeys } from "../shared/secrets.ts";
import type { InUse } from "./replica/prune.ts";
import type { ReplicaWriter } from "./replica/writer.ts";

export interface MasterKeys {
  /** For `unseal`. A key that the file no longer has stays until the process ends: what is under way may need it. */
  ring: MasterKey;
  /** Reads the file anew where it has changed. True where there is a key that was not held before. */
  refresh(): boolean;
  /** The keys of the file. */
  fingerprints(): string[];
}

export interface MasterKeysOptions {
  given: string | undefined;
  file: string;
  warn(message: string): void;
}

/** Throws `ConfigurationError` where there is no key. */
export function openMasterKeys({ given, file, warn }: MasterKeysOptions): MasterKeys {
  let stamp = given === undefined ? stampOf(file) : null;
  const ring = loadMasterKey({ given, file, mayCreate: false });
  let held = ring.keys;
  return {
    ring,
    refresh() {
      if (given !== undefined) return false;
      const now = stampOf(file);
      if (now === null || now === stamp) return false;
      stamp = now;
      try {
        held = readMasterKeys({ given, file });
      } catch (error) {
        // The keys that are held go on serving; the file is read again when it changes.
        warn(`The master keys could not be read anew: ${messageOf(error)}`);
        return false;
      }
      const known = new Set(ring.keys.map(keyFingerprint));
      const kept = new Set(held.map(keyFingerprint));
      ring.keys = [...held, ...ring.keys.filter((key) => !kept.has(keyFingerprint(key)))];
      return [...kept].some((fingerprint) => !known.has(fingerprint));
    },
    fingerprints: () => held.map(keyFingerprint),
  };
}

/** What opens only with the master key; reads the file once more where none of the keys does. */
export function openWith<Result>(keys: MasterKeys, open: (ring: MasterKey) => Result): Result {
  try {
    return open(keys.ring);
  } catch {
    try {
      if (keys.refresh()) return open(keys.ring);
    } catch {
      // Said below.
    }
    throw new ConfigurationError(
      "The master key of this data plane is not the control plane's. Give both the same SWITCHYARD_MASTER_KEY or master.key.",
    );
  }
}

export interface MasterKeysHeld {
  fingerprints: string[];
  /** Those that unfinished entries of the journal may need: what they are pinned to is sealed under them. */
  inUse: string[];
  servedVersion: number;
}

export interface MasterKeyReportOptions {
  keys: MasterKeys;
  replica: ReplicaWriter;
  /** What the journal holds unfinished. */
  inUse(): InUse;
  confirm(held: MasterKeysHeld): Promise<void>;
}

const lookEveryMs = 1_000;
/** Said again and again: the control plane forgets it when it restarts. */
const confirmEveryMs = 10_000;

/** Tells the control plane; every second while there are several keys. */
export function startMasterKeyReports(options: MasterKeyReportOptions): { stop(): void } {
  const { keys, replica, confirm } = options;
  let confirmed = "";
  let confirmedAtMs = 0;
  let isBusy = false;

  const look = async () => {
    keys.refresh();
    const fingerprints = keys.fingerprints();
    const isRotation = fingerprints.length > 1;
    const isDue = Date.now() - confirmedAtMs >= confirmEveryMs;
    if (fingerprints.join() === confirmed && !isRotation && !isDue) return;
    // Read first: what is accepted after the look is accepted with what this version, or a later one, holds.
    const servedVersion = replica.servedVersion();
    if (isRotation) replica.prune(options.inUse());
    const inUse = isRotation ? replica.sealedUnder(fingerprints) : [];
    await confirm({ fingerprints, inUse, servedVersion });
    confirmed = fingerprints.join();
    confirmedAtMs = Date.now();
  };
  const timer = setInterval(() => {
    if (isBusy) return;
    isBusy = true;
    // Without its control plane there is nobody to tell: the next look tries again.
    look()
      .catch(() => {})
      .finally(() => {
        isBusy = false;
      });
  }, lookEveryMs);
  timer.unref();
  return { stop: () => clearInterval(timer) };
}

/** Changes with every write of the file; null where there is none. */
function stampOf(file: string): string | null {
  const found = statSync(file, { throwIfNoEntry: false, bigint: true });
  return found === undefined ? null : `${found.ino}/${found.mtimeNs}/${found.size}`;
}
