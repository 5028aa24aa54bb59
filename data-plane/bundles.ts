/**
 * Component packages on this machine: fetched by digest, checked, unpacked into a folder of their own, and
 * kept while there is room. A folder appears by a rename, so one that is there is whole.
 */
import { createHash, randomUUID } from "node:crypto";
import { createWriteStream, existsSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as wait } from "node:timers/promises";
import { messageOf } from "../shared/errors.ts";
import { PackageError, unzip } from "../shared/unzip.ts";

export type FetchBundle = (digest: string) => Promise<Uint8Array | AsyncIterable<Uint8Array>>;

/** The package can't be used, or is not there; `fetchBundle` throws it where a further try is of no use. */
export class BundleRefusedError extends Error {
  override name = "BundleRefusedError";
}

/** The package could not be had in time. */
export class BundleTimeoutError extends Error {
  override name = "BundleTimeoutError";
}

export interface BundleLease {
  folder: string;
  /** The folder may be removed after this. */
  release(): void;
}

export interface Bundles {
  /** Throws `BundleRefusedError` or `BundleTimeoutError`. */
  take(digest: string, timeoutMs: number): Promise<BundleLease>;
  /** The same at once for several that are all here; false where one is not. Then `release` is to be called. */
  tryHold(digests: readonly string[]): boolean;
  release(digests: readonly string[]): void;
  /** Where a package's files are while somebody holds it. */
  folderOf(digest: string): string;
  stop(): void;
}

export interface BundlesOptions {
  /** Folder of the unpacked packages; made when missing. */
  folder: string;
  fetchBundle: FetchBundle;
  /** Bytes of a package as fetched. */
  bytesMax: number;
  /** Unpacked packages to keep; those that run now may exceed it. */
  keptMax?: number;
}

interface Kept {
  leases: number;
  /** Counts up with each use: the least is the longest ago. */
  used: number;
}

const keptMaxDefault = 500;
/** Text packs well, but not better than this. */
const unpackedFactorMax = 8;
const filesMax = 20_000;
const retryDelayMinMs = 200;
const retryDelayMaxMs = 10_000;
/** A wrong digest may be a torn transfer, but not three times. */
const wrongDigestsMax = 3;
const digestPattern = /^[0-9a-f]{64}$/;

export function createBundles(options: BundlesOptions): Bundles {
  const { folder, fetchBundle, bytesMax, keptMax = keptMaxDefault } = options;
  mkdirSync(folder, { recursive: true });
  const kept = new Map<string, Kept>();
  let uses = 0;
  const fetching = new Map<string, Promise<void>>();
  const waiting = new Map<string, number>();
  let isStopped = false;
  for (const digest of foldersByAge(folder)) kept.set(digest, { leases: 0, used: ++uses });

  function hold(entry: Kept): void {
    entry.leases++;
    entry.used = ++uses;
  }

  function lease(digest: string): BundleLease {
    const entry = kept.get(digest)!;
    hold(entry);
    let isReleased = false;
    return {
      folder: join(folder, digest),
      release() {
        if (isReleased) return;
        isReleased = true;
        entry.leases--;
      },
    };
  }

  /** One fetch for all that ask; it goes on while somebody waits. */
  function fetchOnce(digest: string): Promise<void> {
    const known = fetching.get(digest);
    if (known !== undefined) return known;
    const fetched = fetchWithRetries(digest).finally(() => fetching.delete(digest));
    fetched.catch(() => {});
    fetching.set(digest, fetched);
    return fetched;
  }

  async function fetchWithRetries(digest: string): Promise<void> {
    let wrongDigests = 0;
    for (let delayMs = retryDelayMinMs; ; delayMs = Math.min(delayMs * 2, retryDelayMaxMs)) {
      try {
        await fetchInto(digest);
        kept.set(digest, { leases: 0, used: ++uses });
        makeRoom();
        return;
      } catch (error) {
        if (error instanceof BundleRefusedError) throw error;
        if (error instanceof PackageError) throw new BundleRefusedError(error.message, { cause: error });
        if (error instanceof WrongDigestError && ++wrongDigests >= wrongDigestsMax) {
          throw new BundleRefusedError(error.message, { cause: error });
        }
        if (isStopped || !waiting.get(digest))
          throw new BundleTimeoutError(messageOf(error), { cause: error });
      }
      await wait(delayMs, undefined, { ref: false });
    }
  }

  async function fetchInto(digest: string): Promise<void> {
    const temporary = join(folder, `.${digest}.${randomUUID()}`);
    const zipFile = `${temporary}.zip`;
    try {
      await save(await fetchBundle(digest), zipFile, digest, bytesMax);
      await unzip(zipFile, temporary, { bytesMax: bytesMax * unpackedFactorMax, filesMax });
      await finishFolder(temporary);
      await rename(temporary, join(folder, digest)).catch((error) => {
        // Another process with the same data folder was faster; by its digest it has the same.
        if (!existsSync(join(folder, digest))) throw error;
      });
    } finally {
      await rm(zipFile, { force: true });
      await rm(temporary, { recursive: true, force: true });
    }
  }

  function makeRoom(): void {
    if (kept.size <= keptMax) return;
    const byUse = [...kept].sort(([, a], [, b]) => a.used - b.used);
    for (const [digest, entry] of byUse) {
      if (kept.size <= keptMax) return;
      if (entry.leases > 0 || waiting.get(digest)) continue;
      kept.delete(digest);
      // Renamed first: half a folder must never stand under a digest.
      const doomed = join(folder, `.${digest}.${randomUUID()}`);
      rename(join(folder, digest), doomed)
        .then(() => rm(doomed, { recursive: true, force: true }))
        .catch(() => {});
    }
  }

  return {
    async take(digest, timeoutMs) {
      if (!digestPattern.test(digest))
        throw new BundleRefusedError(`"${digest}" is not the digest of a package.`);
      if (kept.has(digest)) return lease(digest);
      waiting.set(digest, (waiting.get(digest) ?? 0) + 1);
      const timer = new AbortController();
      try {
        const outOfTime = wait(timeoutMs, undefined, { signal: timer.signal }).then(() => {
          throw new BundleTimeoutError(`The component's package could not be fetched in ${timeoutMs} ms.`);
        });
        outOfTime.catch(() => {});
        await Promise.race([fetchOnce(digest), outOfTime]);
        return lease(digest);
      } finally {
        timer.abort();
        const left = waiting.get(digest)! - 1;
        if (left > 0) waiting.set(digest, left);
        else waiting.delete(digest);
      }
    },
    tryHold(digests) {
      for (const digest of digests) if (!kept.has(digest)) return false;
      for (const digest of digests) hold(kept.get(digest)!);
      return true;
    },
    release(digests) {
      for (const digest of digests) kept.get(digest)!.leases--;
    },
    folderOf: (digest) => join(folder, digest),
    stop() {
      isStopped = true;
    },
  };
}

class WrongDigestError extends Error {}

async function save(
  fetched: Uint8Array | AsyncIterable<Uint8Array>,
  file: string,
  digest: string,
  bytesMax: number,
): Promise<void> {
  const hash = createHash("sha256");
  let bytes = 0;
  const checked = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      hash.update(chunk);
      const isTooLarge = bytes > bytesMax;
      done(
        isTooLarge ? new BundleRefusedError(`The package is larger than ${bytesMax} bytes.`) : null,
        chunk,
      );
    },
  });
  const source = fetched instanceof Uint8Array ? Readable.from([fetched]) : Readable.from(fetched);
  await pipeline(source, checked, createWriteStream(file, { mode: 0o600 }));
  const found = hash.digest("hex");
  if (found !== digest) throw new WrongDigestError(`The package has the digest ${found}, not ${digest}.`);
}

/** Without a package.json of its own a bundle would be read by the rules of whatever package the data folder is in. */
async function finishFolder(folder: string): Promise<void> {
  if (!existsSync(join(folder, "index.js"))) throw new BundleRefusedError("The package has no index.js.");
  const manifest = join(folder, "package.json");
  if (!existsSync(manifest)) await writeFile(manifest, '{"type":"commonjs"}\n', { mode: 0o600 });
}

/** What an earlier process left: whole folders, oldest first; remains of broken ones are removed. */
function foldersByAge(folder: string): string[] {
  const found: { digest: string; atMs: number }[] = [];
  for (const name of readdirSync(folder)) {
    if (digestPattern.test(name)) found.push({ digest: name, atMs: statSync(join(folder, name)).mtimeMs });
    else rmSync(join(folder, name), { recursive: true, force: true });
  }
  return found.sort((a, b) => a.atMs - b.atMs).map(({ digest }) => digest);
}
