/** Bodies above 256 KB: files of their own beside the journal, named by digest and entry. */
import { subtle } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdir, open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../../shared/errors.ts";
import { sha256Hex } from "../../shared/secrets.ts";
import { JournalDamageError } from "./errors.ts";
import { syncFolder } from "./segments.ts";

export const inlineBodyBytesMax = 256 * 1024;

const folderOf = (folder: string): string => join(folder, "bodies");
const fileOf = (digest: string, id: string): string => `${digest}.${encodeURIComponent(id)}`;

export async function makeBodiesFolder(folder: string): Promise<void> {
  await mkdir(folderOf(folder), { recursive: true, mode: 0o700 });
}

/** Resolves with the digest when the body and its name are on disk. */
export async function storeBody(folder: string, id: string, body: Uint8Array): Promise<string> {
  const digest = Buffer.from(await subtle.digest("SHA-256", body as Uint8Array<ArrayBuffer>)).toString("hex");
  const path = join(folderOf(folder), fileOf(digest, id));
  try {
    const handle = await open(path, "w", 0o600);
    try {
      await handle.writeFile(body);
      await handle.datasync();
    } finally {
      await handle.close();
    }
    await syncFolder(folderOf(folder));
  } catch (error) {
    await rm(path, { force: true }).catch(() => {});
    throw error;
  }
  return digest;
}

/** Throws `JournalDamageError` where the file is not there any more or is not what was stored. */
export function readBody(folder: string, id: string, digest: string): Buffer {
  let body: Buffer;
  try {
    body = readFileSync(join(folderOf(folder), fileOf(digest, id)));
  } catch (error) {
    throw new JournalDamageError(`The body of ${id} can't be read: ${messageOf(error)}`, { cause: error });
  }
  if (sha256Hex(body) !== digest) throw new JournalDamageError(`The body of ${id} was changed on disk.`);
  return body;
}

/** Never fails: what could not be removed is removed at the next start. */
export function removeBody(folder: string, id: string, digest: string): void {
  rm(join(folderOf(folder), fileOf(digest, id)), { force: true }).catch(() => {});
}

/** The names of all body files. */
export const listBodies = (folder: string): Promise<string[]> => readdir(folderOf(folder));

/** Removes those of `files` that no entry of `used` (digest and id) names. */
export async function removeUnusedBodies(
  folder: string,
  files: readonly string[],
  used: readonly { digest: string; id: string }[],
): Promise<void> {
  const names = new Set(used.map(({ digest, id }) => fileOf(digest, id)));
  for (const file of files) {
    if (!names.has(file)) await rm(join(folderOf(folder), file), { force: true });
  }
}
