/**
 * What the starter remembers in `<dataDir>/start.json` (mode 0600): the admin token only until the examples
 * are published (so that a first start that was cut short can go on), after that where they can be called.
 */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export type StartState =
  | { adminToken: string; urlPaths: null }
  | {
      adminToken: null;
      /** The path of each sample request's URL, by `<example's folder>/<position>`. */
      urlPaths: Record<string, string>;
    };

export function readStartState(dataDir: string): StartState | null {
  try {
    return JSON.parse(readFileSync(join(dataDir, "start.json"), "utf8")) as StartState;
  } catch {
    return null;
  }
}

export function writeStartState(dataDir: string, state: StartState): void {
  const file = join(dataDir, "start.json");
  writeFileSync(`${file}.new`, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
