/** Builds the integrations of `test/fixtures` and `shared/examples`, each once for each state of its sources. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { buildProject } from "../../shared/scripts/bundleIntegration.ts";

const repository = join(import.meta.dirname, "..", "..");
const fixturesFolder = join(repository, "test", "fixtures");
const examplesFolder = join(repository, "shared", "examples");
const cacheFolder = join(repository, "node_modules", ".switchyard-fixtures");
const anyIcon = join(examplesFolder, "acme-erp", "assets", "icon.png");

/** The folder with `index.js` (and `icon.png`) of a fixture. It is shared: do not write into it. */
export const buildFixture = (name: string): Promise<string> =>
  buildCached(name, fixturesFolder, join(fixturesFolder, name, "src", "index.ts"), anyIcon);

/** The same for an example; `entry` names another version's file. */
export const buildExample = (name: string, entry = "src/index.ts"): Promise<string> =>
  buildCached(
    `${name}-${entry.replaceAll(/\W/g, "-")}`,
    join(examplesFolder, name, "src"),
    join(examplesFolder, name, entry),
    join(examplesFolder, name, "assets", "icon.png"),
  );

/** The YAML of a fixture that has no code of its own. */
export const fixtureYaml = (name: string): string =>
  readFileSync(join(fixturesFolder, name, "definition.yml"), "utf8");

async function buildCached(name: string, sources: string, entry: string, icon: string): Promise<string> {
  const folder = join(cacheFolder, `${name}-${digestOf(sources)}`);
  if (existsSync(folder)) return folder;
  mkdirSync(cacheFolder, { recursive: true });
  const building = mkdtempSync(join(cacheFolder, "building-"));
  await buildProject({ entry, folder: building, assets: [icon] });
  try {
    renameSync(building, folder);
  } catch {
    // Another test process was faster: its folder has the same content.
    rmSync(building, { recursive: true, force: true });
  }
  return folder;
}

/** What a build depends on: the sources, and the installed spectral and esbuild. */
function digestOf(sources: string): string {
  const hash = createHash("sha256").update(readFileSync(join(repository, "package-lock.json")));
  const files = readdirSync(sources, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".ts"),
  );
  for (const file of files.sort()) hash.update(file).update(readFileSync(join(sources, file)));
  return hash.digest("hex").slice(0, 16);
}
