/**
 * Where large results are until their senders have fetched them: how many bytes they take, their signed addresses,
 * and when they go. They outlive a restart; a power cut may take them.
 */
import { mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Pepper } from "../shared/secrets.ts";
import { readSignedPath, signPath } from "../shared/signedPaths.ts";
import { isResultFile, resultFile } from "./resultFiles.ts";

export interface StoredResults {
  /** The address of a result that was written; null where there is no room for it: then it is gone. */
  address(executionId: string, bytes: number): string | null;
  stop(): void;
}

export interface StoredResultsOptions {
  folder: string;
  /** Of all together. */
  bytesMax: number;
  /** Null until the control plane was heard of. */
  pepper: () => Pepper | null;
  /** What addresses start with. */
  url: () => string;
}

const lifetimeMs = 10 * 60_000;
/** Downloads under way may go on for a while. */
const keptMs = lifetimeMs + 60_000;
const sweepEveryMs = 30_000;
const purpose = "answer of a flow";
const signedLengthMax = 512;

export function openStoredResults({ folder, bytesMax, pepper, url }: StoredResultsOptions): StoredResults {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  let files = new Map<string, number>();
  let bytes = 0;
  sweep();
  const timer = setInterval(sweep, sweepEveryMs);
  timer.unref();

  /** What is there, but for what is too old. */
  function sweep(): void {
    const found = new Map<string, number>();
    for (const name of readdirSync(folder)) {
      const file = join(folder, name);
      const stat = statSync(file, { throwIfNoEntry: false });
      if (stat === undefined || !isResultFile(name)) continue;
      if (stat.mtimeMs < Date.now() - keptMs) rmSync(file, { force: true });
      else found.set(file, stat.size);
    }
    files = found;
    bytes = 0;
    for (const size of files.values()) bytes += size;
  }

  return {
    address(executionId, size) {
      const file = resultFile(folder, executionId);
      const key = pepper();
      bytes += size - (files.get(file) ?? 0);
      files.set(file, size);
      if (key !== null && bytes <= bytesMax)
        return `${url()}${resultsPath}${signPath(key, purpose, executionId, lifetimeMs)}`;
      rmSync(file, { force: true });
      files.delete(file);
      bytes -= size;
      return null;
    },
    stop: () => clearInterval(timer),
  };
}

export const resultsPath = "/results/";

/** The execution whose result an address opens; null where it was not signed by us, or is too old. */
export const signedResult = (pepper: Pepper, signed: string): string | null =>
  signed.length > signedLengthMax ? null : readSignedPath(pepper, purpose, signed);
