/** The rules of the house: which file may import or name what. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, normalize } from "node:path";
import { describe, expect, test } from "vitest";
import { settingNames } from "../shared/config.ts";

interface Source {
  path: string;
  text: string;
  /** Module names as written; relative ones as paths from the repository. */
  imports: { written: string; target: string }[];
}

const repository = join(import.meta.dirname, "..");
const rooms = ["control-plane", "data-plane", "shared", "test"];
const sources = rooms.flatMap(readSources);
const server = sources.filter((source) => !source.path.startsWith("test/"));
/** Sources that run inside Switchyard: examples and fixtures are other people's projects. */
const ours = sources.filter(
  ({ path }) => !path.startsWith("shared/examples/") && !path.startsWith("test/fixtures/"),
);
const handwritten = ours.filter(({ path }) => !path.includes("/generated/"));

describe("the house", () => {
  test("has four rooms and no other folder with code", () => {
    const entries = readdirSync(repository, { withFileTypes: true });
    const folders = entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith("."));
    const passing = ["node_modules", "data", "coverage"];
    expect(
      folders
        .map((entry) => entry.name)
        .filter((name) => !passing.includes(name))
        .sort(),
    ).toEqual(rooms);
  });

  test("keeps the planes apart: neither imports the other", () => {
    expect(importers("control-plane/", (target) => target.startsWith("data-plane/"))).toEqual([]);
    expect(importers("data-plane/", (target) => target.startsWith("control-plane/"))).toEqual([]);
  });

  test("keeps shared free of both planes, scripts and examples included", () => {
    expect(importers("shared/", (target) => /^(control|data)-plane\//.test(target))).toEqual([]);
  });

  test("imports no test from server code", () => {
    const wrong = server.filter(({ imports }) => imports.some(({ target }) => target.startsWith("test/")));
    expect(paths(wrong)).toEqual([]);
  });

  test("knows uWebSockets.js in one file of the data plane", () => {
    const importing = sources.filter(({ imports }) =>
      imports.some(({ written }) => written === "uWebSockets.js"),
    );
    expect(paths(importing)).toEqual(["data-plane/ingress.ts"]);
  });

  test("writes the control plane's SQL in its store and schema rooms only", () => {
    const importing = ours.filter(({ imports }) => imports.some(({ written }) => written === "kysely"));
    const elsewhere = importing.filter(({ path }) => !/^control-plane\/(store|schema)\//.test(path));
    expect(paths(elsewhere)).toEqual([]);
  });

  test("opens SQLite in one file, which the planes' stores go through", () => {
    const importing = server.filter(({ imports }) =>
      imports.some(({ written }) => written === "better-sqlite3"),
    );
    expect(paths(importing)).toEqual(["shared/sqlite.ts"]);
  });

  test("reads the environment in one file; one script hands it on to its children", () => {
    const reading = server.filter(({ text }) => /process\.env\b|\benv\b.*from "node:process"/.test(text));
    expect(paths(reading)).toEqual(["shared/config.ts", "shared/scripts/planeProcess.ts"]);
  });

  test("has no default exports, but where a tool or spectral asks for one", () => {
    const withDefault = ours.filter(({ text }) => /^export default\b|\bas default\b/m.test(text));
    expect(paths(withDefault)).toEqual([]);
  });

  test("has no barrels: no file only hands on what others export", () => {
    const barrels = handwritten.filter(({ text }) => /^export \* from /m.test(text));
    expect(paths(barrels)).toEqual([]);
  });

  test("writes relative imports with their extension and Node's own with node:", () => {
    const wrong = sources.flatMap(({ path, imports }) =>
      imports.filter(({ written }) => isWrongImport(written)).map(({ written }) => `${path}: ${written}`),
    );
    expect(wrong).toEqual([]);
  });

  test("generates GraphQL operations that import no server file", () => {
    const generated = ours.filter(({ path }) => path.includes("/generated/"));
    const wrong = generated.flatMap(({ path, imports }) =>
      imports.filter(({ target }) => target.includes("../") || !isGeneratedOrPackage(target)).map(() => path),
    );
    expect(wrong).toEqual([]);
  });

  test("names its files in camelCase after what they are", () => {
    const wrong = handwritten.filter(({ path }) => {
      const name = path.split("/").at(-1)!;
      return !/^[a-z][a-zA-Z0-9]*(\.test)?\.ts$/.test(name) || /(Manager|Helper|Util)s?\.ts$/.test(name);
    });
    expect(paths(wrong)).toEqual([]);
  });

  test("lists every setting, and no other, in the README's table", () => {
    const readme = readFileSync(join(repository, "README.md"), "utf8");
    const rows = [...readme.matchAll(/^\| *`(SWITCHYARD_[A-Z_]+)`/gm)].map(([, name]) => name!);
    expect(rows.sort()).toEqual([...settingNames].sort());
  });

  test("names no registry host in its lock file", () => {
    const lock = JSON.parse(readFileSync(join(repository, "package-lock.json"), "utf8")) as {
      packages: Record<string, { resolved?: string; optionalDependencies?: Record<string, string> }>;
    };
    const entries = Object.entries(lock.packages);
    expect(entries.filter(([, entry]) => entry.resolved !== undefined).map(([name]) => name)).toEqual([]);
    const absent = entries.flatMap(([path, entry]) =>
      Object.keys(entry.optionalDependencies ?? {}).filter(
        (name) => !lock.packages[`node_modules/${name}`] && !lock.packages[`${path}/node_modules/${name}`],
      ),
    );
    // `npm ci` refuses a lock file that leaves out another platform's package: see `npm run lock`.
    expect(absent).toEqual([]);
  });
});

function readSources(room: string): Source[] {
  const folder = join(repository, room);
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" });
  return names
    .filter((name) => name.endsWith(".ts") && !/(^|\/)(node_modules|dist)\//.test(name))
    .map((name) => readSource(join(room, name)))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

function readSource(path: string): Source {
  const text = readFileSync(join(repository, path), "utf8");
  const found = text.matchAll(
    /(?:^(?:import|export)\b[^;]*?\bfrom\s+|^import\s+|\bimport\()\s*["']([^"']+)["']/gms,
  );
  const imports = [...found].map(([, written]) => ({
    written: written!,
    target: written!.startsWith(".") ? normalize(join(path, "..", written!)) : written!,
  }));
  return { path, text, imports };
}

const paths = (found: Source[]): string[] => found.map(({ path }) => path);

function importers(room: string, isForbidden: (target: string) => boolean): string[] {
  return paths(
    sources.filter(
      ({ path, imports }) => path.startsWith(room) && imports.some(({ target }) => isForbidden(target)),
    ),
  );
}

function isWrongImport(written: string): boolean {
  if (written.startsWith(".")) return !/\.(ts|mjs|json)$/.test(written);
  return builtins.has(written);
}

const builtins = new Set(
  "assert buffer child_process crypto events fs fs/promises http https net os path process stream timers tls url util worker_threads zlib".split(
    " ",
  ),
);

const isGeneratedOrPackage = (target: string): boolean =>
  target.includes("/generated/") || !/^(control-plane|data-plane|shared|test)\//.test(target);
