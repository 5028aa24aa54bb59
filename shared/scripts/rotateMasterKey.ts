/**
 * `npm run rotate-master-key`: a new master key, and everything sealed anew under it, while both planes run.
 *
 * The state is in the file `master.key`: the keys in it, and when each was made. So a rotation that was cut
 * short goes on where it was with the next run:
 *   old            → old, new       the planes take up the new key and say so
 *   old, new       → new, old       what is written is sealed under the new key; what is there is sealed anew
 *   new, old       → new            once no accepted webhook needs the old key any more
 */
import { existsSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { listeningUrl } from "../addresses.ts";
import { type Config, readConfig } from "../config.ts";
import { ConfigurationError, messageOf } from "../errors.ts";
import {
  keyFingerprint,
  type MasterKeyLine,
  masterKeyFile,
  newMasterKey,
  parseMasterKeys,
  writeMasterKeys,
} from "../secrets.ts";
import { type Api, ApiError, accepted, request } from "./apiClient.ts";
import type { MasterKeysQuery } from "./generated/graphql.ts";
import { masterKeysQuery, reloadMasterKeysMutation, resealSecretsMutation } from "./operations.ts";

type Holder = MasterKeysQuery["masterKeys"]["dataPlanes"][number];

const pollMs = 500;
/** Less than the API's rate by token allows by default, and room for others who write. */
const batchPauseMs = 30;
/** For people to copy a file to another machine; what is not done then goes on with the next run. */
const waitMs = 10 * 60_000;

/** Data planes look at the file every second: before that there is nothing to tell people. */
const lookMs = 3_000;

class NotYetError extends Error {
  override name = "NotYetError";
}

try {
  await rotate(readConfig());
} catch (error) {
  const isPlain = [ConfigurationError, ApiError, NotYetError].some((kind) => error instanceof kind);
  console.error(isPlain ? messageOf(error) : error);
  process.exit(1);
}

async function rotate(config: Config): Promise<void> {
  const file = fileOf(config);
  const api = apiOf(config);
  const nameOf = (line: MasterKeyLine) => keyFingerprint(line.key);
  let lines = readLines(file);
  await refuseOtherFile(api, file, lines.map(nameOf));

  if (lines.length === 1) {
    lines = [lines[0]!, { key: newMasterKey(), madeAtMs: Date.now() }];
    writeMasterKeys(file, lines);
    console.log(`A new master key, ${nameOf(lines[1]!)}, is in ${file}.`);
  } else {
    console.log(`A rotation is under way (${file} holds ${lines.length} keys): it goes on.`);
  }
  const target = lines.toSorted((a, b) => (b.madeAtMs ?? 0) - (a.madeAtMs ?? 0))[0]!;
  const newest = nameOf(target);
  const others = lines.filter((line) => line !== target);

  await reload(api);
  await untilAll(api, lookMs, (holder) => (holder.isLive ? lacksKey(holder, newest, file) : null));
  console.log("The control plane and every live data plane hold the new key.");

  if (lines[0] !== target) {
    lines = [target, ...others];
    writeMasterKeys(file, lines);
    await reload(api);
  }
  const version = await resealAll(api);

  const old = others.map(nameOf);
  await untilAll(api, 0, (holder) => stillNeeds(holder, old, version));
  writeMasterKeys(file, [target]);
  await reload(api);
  console.log(`Done: the master key is ${newest}, and nothing needs ${old.join(", ")} any more.`);
  console.log("Back up the file, and give it to data planes with a data folder of their own.");
}

function fileOf(config: Config): string {
  const file = masterKeyFile(config.dataDir);
  if (config.masterKey !== undefined) {
    throw new ConfigurationError(
      [
        "The master key is in SWITCHYARD_MASTER_KEY, which no script can change. To rotate it:",
        "  1. set it to OLD,NEW for the control plane and every data plane, and restart them;",
        "  2. set it to NEW,OLD for the control plane, and restart it;",
        "  3. call the mutation resealSecrets until isDone is true;",
        "  4. once no data plane has OLD in masterKeys { dataPlanes { inUse } }, set it to NEW everywhere, and restart.",
        "NEW is 64 hex digits: openssl rand -hex 32",
      ].join("\n"),
    );
  }
  if (existsSync(file)) return file;
  throw new ConfigurationError(
    `There is no ${file}: run this on the control plane's machine, with its SWITCHYARD_DATA_DIR.`,
  );
}

function apiOf(config: Config): Api {
  if (config.adminToken === undefined) {
    throw new ConfigurationError("Set SWITCHYARD_ADMIN_TOKEN to the token of an admin of the organization.");
  }
  const url = config.controlUrl ?? listeningUrl(config.host, config.controlPort, config.controlTls !== null);
  return { url, token: config.adminToken };
}

function readLines(file: string): MasterKeyLine[] {
  return parseMasterKeys(readFileSync(file, "utf8"), file);
}

/** Before anything is written: the file must be the one that the control plane has its keys from. */
async function refuseOtherFile(api: Api, file: string, inFile: string[]): Promise<void> {
  const held = (await masterKeys(api)).fingerprints;
  if (held.every((fingerprint) => inFile.includes(fingerprint))) return;
  throw new ConfigurationError(
    `${file} is not where the control plane at ${api.url} has its master key from: set SWITCHYARD_DATA_DIR to its data folder.`,
  );
}

async function masterKeys(api: Api): Promise<MasterKeysQuery["masterKeys"]> {
  try {
    return (await request(api, masterKeysQuery, {})).masterKeys;
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new ApiError(`The control plane at ${api.url} can't be reached: ${messageOf(error)}.`);
  }
}

async function reload(api: Api): Promise<void> {
  accepted((await request(api, reloadMasterKeysMutation, {})).reloadMasterKeys);
}

/** Waits until there is nothing to say about any data plane; after `quietMs` says, once, what it waits for. */
async function untilAll(
  api: Api,
  quietMs: number,
  problemOf: (holder: Holder) => string | null,
): Promise<void> {
  const said = new Set<string>();
  const sinceMs = Date.now();
  const untilMs = sinceMs + waitMs;
  for (;;) {
    const problems = (await masterKeys(api)).dataPlanes.flatMap((holder) => problemOf(holder) ?? []);
    if (problems.length === 0) return;
    if (Date.now() > untilMs) {
      throw new NotYetError(
        `Not done after ${waitMs / 60_000} minutes. Nothing is lost: all keys stay in the file. Run this again to go on.`,
      );
    }
    for (const problem of problems) {
      if (Date.now() - sinceMs < quietMs) continue;
      if (!said.has(problem)) console.log(`Waiting: ${problem}`);
      said.add(problem);
    }
    await sleep(pollMs);
  }
}

function lacksKey({ name, fingerprints }: Holder, fingerprint: string, file: string): string | null {
  if (fingerprints.includes(fingerprint)) return null;
  return (
    `${name} does not hold the key ${fingerprint} yet. If it has a data folder of its own, copy ${file} there; ` +
    "if it has SWITCHYARD_MASTER_KEY set, set that to the file's keys, comma-separated, and restart it."
  );
}

function stillNeeds(holder: Holder, old: string[], version: number): string | null {
  const { name, isLive, servedVersion, inUse } = holder;
  if (!isLive) {
    return `${name} was here within the last week and is away: what it accepted may need the old key. Start it.`;
  }
  if (servedVersion === null || servedVersion < version) return `${name} takes up what was sealed anew.`;
  return inUse.some((fingerprint) => old.includes(fingerprint))
    ? `${name} finishes webhooks that it accepted under the old key.`
    : null;
}

async function resealAll(api: Api): Promise<number> {
  let count = 0;
  for (;;) {
    const payload = accepted((await request(api, resealSecretsMutation, {})).resealSecrets);
    count += payload.resealedCount ?? 0;
    if (payload.isDone === true) {
      console.log(`${count} values were sealed anew.`);
      return payload.feedVersion ?? 0;
    }
    await sleep(batchPauseMs);
  }
}
