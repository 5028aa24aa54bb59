/** The thread behind largeBodies.ts. */
import { valueAt } from "../shared/references.ts";
import { type ParsedBody, parseBody } from "./parse.ts";

export interface LargeBodyTask {
  bytes: Uint8Array;
  contentType: string;
  paths: readonly (readonly string[])[];
}

/** The verdict; `data` holds the selected scalars at their paths and nothing else. */
export async function parseLargeBody({ bytes, contentType, paths }: LargeBodyTask): Promise<ParsedBody> {
  const parsed = await parseBody(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), contentType);
  return parsed.ok ? { ...parsed, data: outline(parsed.data, paths) } : parsed;
}

function outline(data: unknown, paths: LargeBodyTask["paths"]): unknown {
  const source = { data };
  const copy: Tree = Object.create(null);
  for (const path of paths) {
    const scalar = ownScalar(source, path);
    if (scalar !== undefined) plant(copy, path, scalar);
  }
  return Array.isArray(data) ? Object.assign([], copy["data"]) : copy["data"];
}

interface Tree {
  [key: string]: Tree | string | number | boolean;
}

function ownScalar(start: object, path: readonly string[]): string | number | boolean | undefined {
  const value = valueAt(start, path, 0);
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean"
    ? value
    : undefined;
}

function plant(tree: Tree, path: readonly string[], scalar: string | number | boolean): void {
  let at = tree;
  for (const key of path.slice(0, -1)) {
    const next = at[key];
    if (typeof next === "object") at = next;
    else at = at[key] = Object.create(null) as Tree;
  }
  at[path.at(-1)!] = scalar;
}
