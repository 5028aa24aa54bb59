/**
 * After a change of dependencies (`npm run lock`): writes the entries of optional packages for other
 * platforms that the registry in use does not carry. Without an entry for each, `npm ci` refuses the lock
 * file, also on the platforms that do not need them. Plain JavaScript, like setup.mjs.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const file = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "package-lock.json");
const lock = JSON.parse(readFileSync(file, "utf8"));
const packages = lock.packages;

const missing = Object.entries(packages).flatMap(([path, entry]) =>
  Object.entries(entry.optionalDependencies ?? {})
    .filter(([name]) => !packages[`node_modules/${name}`] && !packages[`${path}/node_modules/${name}`])
    .map(([name, version]) => ({ name, version, isDev: entry.dev === true })),
);
for (const { name, version, isDev } of missing)
  packages[`node_modules/${name}`] = entryOf(name, version, isDev);
const root = packages[""];
const rest = Object.entries(packages).filter(([path]) => path !== "");
rest.sort(([a], [b]) => a.localeCompare(b, "en"));
lock.packages = { "": root, ...Object.fromEntries(rest) };
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
process.stderr.write(`${missing.length} entries written.\n`);

/** The platform stands in the package's name: `cli-linux-arm64-musl`, `darwin-x64-22`. */
function entryOf(name, version, isDev) {
  const os = /\b(android|darwin|freebsd|linux|win32)\b/.exec(name)?.[1];
  const cpu = /\b(arm64|arm|x64|ia32)\b/.exec(name)?.[1];
  if (!os || !cpu || !/^\d+\.\d+\.\d+$/.test(version)) {
    throw new Error(`${name}@${version}: its platform or version can't be told.`);
  }
  const isMusl = name.endsWith("-musl");
  return {
    version,
    cpu: [cpu],
    ...(isDev ? { dev: true } : {}),
    ...(isMusl ? { libc: ["musl"] } : {}),
    optional: true,
    os: [os],
  };
}
