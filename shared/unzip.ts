/** Unpacking a component's package into a folder, with limits on its size, its count of files and its paths. */
import { createWriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, isAbsolute, join, normalize } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import yauzl, { type Entry, type ZipFile } from "yauzl";
import { messageOf } from "./errors.ts";

export interface UnzipLimits {
  /** Bytes of all files together, unpacked. */
  bytesMax: number;
  filesMax: number;
}

export class PackageError extends Error {
  override name = "PackageError";
}

/** Unpacks into `folder`, or only checks the package where `folder` is null. Throws `PackageError`. */
export async function unzip(zipFile: string, folder: string | null, limits: UnzipLimits): Promise<string[]> {
  let zip: ZipFile;
  try {
    zip = await yauzl.openPromise(zipFile, { lazyEntries: true, validateEntrySizes: true });
  } catch (error) {
    throw new PackageError(`The package is not a zip file: ${messageOf(error)}.`, { cause: error });
  }
  const files: string[] = [];
  let bytes = 0;
  try {
    if (zip.entryCount > limits.filesMax)
      throw new PackageError(`The package has more than ${limits.filesMax} files.`);
    for await (const entry of zip.eachEntry()) {
      const path = safePath(entry);
      if (path === null) continue;
      bytes += entry.uncompressedSize;
      if (bytes > limits.bytesMax)
        throw new PackageError(`The package unpacks to more than ${limits.bytesMax} bytes.`);
      files.push(path);
      if (folder !== null) await extract(zip, entry, join(folder, path));
    }
    return files;
  } catch (error) {
    if (error instanceof PackageError) throw error;
    throw new PackageError(`The package can't be unpacked: ${messageOf(error)}.`, { cause: error });
  } finally {
    zip.close();
  }
}

/** The entry's path inside the folder; null for a folder; throws where it would lead outside, or is a link. */
function safePath(entry: Entry): string | null {
  const name = entry.fileName.replaceAll("\\", "/");
  const path = normalize(name);
  if (isAbsolute(name) || path.split("/").includes("..") || name.includes("\0")) {
    throw new PackageError(`The package has a path that leads outside: ${JSON.stringify(name)}.`);
  }
  const unixMode = entry.externalFileAttributes >>> 16;
  if ((unixMode & 0o170000) === 0o120000)
    throw new PackageError(`The package has a symbolic link: ${JSON.stringify(name)}.`);
  return name.endsWith("/") ? null : path;
}

async function extract(zip: ZipFile, entry: Entry, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  const from = await zip.openReadStreamPromise(entry);
  let left = entry.uncompressedSize;
  const bounded = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      left -= chunk.length;
      done(left < 0 ? new PackageError("The package holds more than it says.") : null, chunk);
    },
  });
  await pipeline(from, bounded, createWriteStream(to, { mode: 0o600 }));
}
