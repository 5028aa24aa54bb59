/** Builds a spectral project into the one folder that is published: `index.js`, and the icon beside it. */
import { createWriteStream } from "node:fs";
import { copyFile, mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { build } from "esbuild";
import { ZipFile } from "yazl";

/** What spectral's `integration()` returns, as far as publishing needs it. */
export interface BuiltIntegration {
  /** The folder with `index.js`. */
  folder: string;
  /** The definition that is imported. */
  yaml: string;
  /** The component that holds the flows' code. */
  component: BuiltComponent;
}

export interface BuiltComponent {
  key: string;
  public?: boolean;
  display: { label: string; description: string; iconPath?: string };
  documentationUrl?: string;
  actions: Record<string, object>;
  triggers: Record<string, object>;
  dataSources: Record<string, object>;
  connections: object[];
}

/** Bundles `entry` (a TypeScript file) into `folder`, with the files of `assets`. */
export async function buildProject(options: {
  entry: string;
  folder: string;
  /** Files to put beside `index.js`, under their own names. */
  assets: string[];
}): Promise<void> {
  const { entry, folder, assets } = options;
  await mkdir(folder, { recursive: true });
  await build({
    entryPoints: [entry],
    outfile: join(folder, "index.js"),
    bundle: true,
    platform: "node",
    target: "node22",
    format: "cjs",
    logLevel: "silent",
  });
  for (const asset of assets) await copyFile(asset, join(folder, asset.split("/").at(-1)!));
}

/**
 * Loads a built integration. Its component has another key at each load, so definition and component must
 * come from the same load.
 */
export function loadIntegration(folder: string): BuiltIntegration {
  const file = join(folder, "index.js");
  const require = createRequire(file);
  delete require.cache[file];
  const loaded = require(file).default as
    | (BuiltComponent & { codeNativeIntegrationYAML?: string })
    | undefined;
  if (!loaded?.codeNativeIntegrationYAML) throw new Error(`${file} does not export an integration.`);
  return { folder, yaml: loaded.codeNativeIntegrationYAML, component: loaded };
}

/** Packs the files of a built folder into a zip, in memory: bundles are a few megabytes. */
export async function packFolder(
  folder: string,
  names: string[],
  zipFile: string,
): Promise<Buffer<ArrayBuffer>> {
  const zip = new ZipFile();
  // Fixed times: the same files make the same package, byte for byte.
  for (const name of names) zip.addFile(join(folder, name), name, { mtime: new Date(0) });
  zip.end();
  await pipeline(zip.outputStream, createWriteStream(zipFile));
  return readFile(zipFile);
}
