/**
 * Installs what package-lock.json names, under Node 22 whatever Node runs this file, unless that was done
 * already. Plain JavaScript for Node 18 and later: it runs before anything is installed.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const stampFile = join(root, "node_modules", ".switchyard-stamp");
const nodeMajor = 22;

const stamp = currentStamp();
if (!isInstalled(stamp)) install(stamp);

/** What an install depends on: the lock file, and the platform that binaries are picked for. */
function currentStamp() {
  const lock = readFileSync(join(root, "package-lock.json"));
  return `${createHash("sha256").update(lock).digest("hex")} ${process.platform} ${process.arch}`;
}

function isInstalled(wanted) {
  if (!existsSync(join(root, "node_modules", ".bin", "node"))) return false;
  return existsSync(stampFile) && readFileSync(stampFile, "utf8").trim() === wanted;
}

function install(wanted) {
  process.stderr.write(`Installing dependencies under Node ${nodeMajor} (once; about a minute) ...\n`);
  // npx puts Node 22 first in the PATH of the npm that it runs: npm then picks the binaries made for 22.
  const npx = spawnSync("npx", ["--yes", "--package", `node@${nodeMajor}`, "npm", "ci", "--no-progress"], {
    cwd: root,
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (npx.error) fail(`npx could not be started: ${npx.error.message}. Is npm installed?`);
  if (npx.status !== 0)
    fail(`Installing the dependencies failed (npm ci ended with ${npx.status ?? npx.signal}).`);
  const version = spawnSync(join(root, "node_modules", ".bin", "node"), ["--version"], { encoding: "utf8" });
  if (!version.stdout?.startsWith(`v${nodeMajor}.`)) {
    fail(`The installed Node is ${version.stdout?.trim() || "missing"}, but ${nodeMajor} is needed.`);
  }
  writeFileSync(stampFile, `${wanted}\n`);
}

function fail(sentence) {
  process.stderr.write(`${sentence}\n`);
  process.exit(1);
}
