/** Components loaded in this thread: each package's `index.js` once by digest and owner, a bounded number of them. */
import { statSync } from "node:fs";
import { createRequire, isBuiltin } from "node:module";
import { join, sep } from "node:path";
import { messageOf } from "../../shared/errors.ts";
import type { BundlePlace } from "./messages.ts";

export type Perform = (...args: unknown[]) => unknown;

export interface LoadedAction {
  perform: Perform;
  inputs?: { key: string; default?: unknown }[];
  terminateExecution?: boolean;
  breakLoop?: boolean;
  /** Its steps run for each member of the list that it returns. */
  isLoop?: boolean;
}

export interface LoadedComponent {
  key?: string;
  actions: Record<string, LoadedAction>;
  triggers: Record<string, LoadedAction>;
  dataSources?: Record<string, LoadedAction>;
}

export class BundleError extends Error {
  override name = "BundleError";
}

const modulesMax = 100;
/** A loaded module takes several times its source in the heap, and the heap is shared with what runs. */
const sourceShareOfMemory = 1 / 16;

export interface Modules {
  /** Throws `BundleError` with a sentence where it can't be loaded. */
  load(place: BundlePlace): LoadedComponent;
}

export function createModules(memoryMb: number): Modules {
  const sourceBytesMax = memoryMb * 1024 * 1024 * sourceShareOfMemory;
  const loaded = new Map<string, { component: LoadedComponent; folder: string; bytes: number }>();
  let bytes = 0;

  function makeRoom(): void {
    for (const [key, entry] of loaded) {
      if (loaded.size <= 1 || (loaded.size <= modulesMax && bytes <= sourceBytesMax)) return;
      loaded.delete(key);
      bytes -= entry.bytes;
      forget(entry.folder);
    }
  }

  return {
    load(place) {
      const { folder, owner } = place;
      const key = owner === undefined ? place.digest : `${place.digest} ${owner}`;
      const known = loaded.get(key);
      if (known !== undefined) {
        loaded.delete(key);
        loaded.set(key, known);
        return known.component;
      }
      // Node keeps one copy of a file: before and after the load of one that is not shared it is to know none.
      if (owner !== undefined) forget(folder);
      const entry = { component: loadComponent(folder), folder, bytes: sizeOf(folder) };
      if (owner !== undefined) forget(folder);
      loaded.set(key, entry);
      bytes += entry.bytes;
      makeRoom();
      return entry.component;
    },
  };
}

/** A function that a trigger has beside `perform`, by its name; null where it has none. */
export function functionOf(trigger: LoadedAction, name: string): Perform | null {
  const found = Object.hasOwn(trigger, name)
    ? (trigger as unknown as Record<string, unknown>)[name]
    : undefined;
  return typeof found === "function" ? (found as Perform) : null;
}

/** A `require` for code that has no package of its own: Node's modules only. */
export const builtinRequire = ((name: string) => {
  if (isBuiltin(name)) return nodeRequire(name);
  throw new Error(`"${name}" can't be required here: only Node's own modules can.`);
}) as NodeJS.Require;

const nodeRequire = createRequire(import.meta.url);

function loadComponent(folder: string): LoadedComponent {
  let exported: unknown;
  try {
    exported = createRequire(join(folder, "index.js"))("./index.js");
  } catch (error) {
    forget(folder);
    throw new BundleError(`The component's index.js can't be loaded: ${messageOf(error)}`, { cause: error });
  }
  const component = ((exported as { default?: unknown })?.default ?? exported) as LoadedComponent | null;
  if (typeof component !== "object" || component === null) {
    throw new BundleError("The component's index.js exports no component.");
  }
  return {
    key: component.key,
    actions: component.actions ?? {},
    triggers: component.triggers ?? {},
    dataSources: component.dataSources ?? {},
  };
}

function sizeOf(folder: string): number {
  try {
    return statSync(join(folder, "index.js")).size;
  } catch {
    return 0;
  }
}

function forget(folder: string): void {
  for (const file of Object.keys(nodeRequire.cache)) {
    if (file.startsWith(folder + sep)) delete nodeRequire.cache[file];
  }
}
