/** Folders that are gone after the test. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

/** A new folder; the caller removes it. */
export const newTemporaryFolder = (): string => mkdtempSync(join(tmpdir(), "switchyard-test-"));

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
}

/** A new folder, removed when the running test has finished. */
export function temporaryFolder(): string {
  const folder = newTemporaryFolder();
  onTestFinished(() => removeFolder(folder));
  return folder;
}
