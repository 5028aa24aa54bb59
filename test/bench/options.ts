/** What is asked for on the command line. */
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { ContenderId } from "./contenders/contender.ts";
import { standingIds } from "./contenders/standing.ts";

export interface Options {
  rounds: number;
  seconds: number;
  warmUpSeconds: number;
  connections: number[];
  /** As in `RoundsPlan`. */
  drainSeconds: { checked: number; usual: number };
  secondsMost: number;
  endpoints: number;
  /** Endpoints of each kind but the one that is measured most. */
  others: number;
  soakSeconds: number;
  /** Where the planes' data is while they run; it must be on a disk. */
  dataFolder: string;
  /** Where results and charts go. */
  outFolder: string;
  parts: Set<Part>;
  /** Which contenders; null for all that stand. */
  only: ContenderId[] | null;
}

export type Part =
  | "contenders"
  | "peers"
  | "size"
  | "endpoints"
  | "keys"
  | "feed"
  | "soak"
  | "overload"
  | "journal"
  | "runs"
  | "ingestion";

export const usage = `npm run bench -- [options]

  (nothing)       the contenders: rounds of 4 s in turn at 1, 16, 64 and 256 connections (under 20 minutes)
  --quick         one round at 64 connections (under 3 minutes)
  --peers         Node-RED and n8n, too: installed into a temporary folder first
  --size          cost by size of the body: 1 KB, 16 KB, 256 KB, 1 MB
  --endpoints     cost by number of endpoints: 1 thousand, 100 thousand, 1 million
  --keys          cost by number of keys
  --feed          from a mutation's answer to its being served; a snapshot while serving
  --soak          ten minutes at half load: memory; before it, idle CPU
  --overload      four times what is sustained
  --journal       the journal alone     --runs        the run pool alone
  --ingestion     the control plane's taking in of reports alone
  --all           everything but the peers

  --rounds N  --seconds N  --connections 1,64  --count N (endpoints, 100000)  --soak-seconds N (600)
  --snapshot N    endpoints of the snapshot (and of whatever else runs with it)
  --drain-seconds N    how long the counted round waits for its records (60; 20 with --quick)
  --only raw,accept    these contenders alone
  --data FOLDER   where the planes' data is while they run (on a disk)
  --out FOLDER    where results and charts go

Any of --size ... --ingestion runs that part alone; with --contenders beside them, too.`;

const parts: Part[] = [
  "contenders",
  "peers",
  "size",
  "endpoints",
  "keys",
  "feed",
  "soak",
  "overload",
  "journal",
  "runs",
  "ingestion",
];
const defaultFolder = join(import.meta.dirname, "..", "..", "node_modules", ".switchyard-bench");
const othersMost = 10_000;

/** null where help is asked for. Throws for what is not known. */
export function readOptions(args: string[]): Options | null {
  const flags = [...parts, "all", "quick", "help"] as const;
  const texts = [
    "rounds",
    "seconds",
    "connections",
    "count",
    "snapshot",
    "soak-seconds",
    "drain-seconds",
    "only",
    "data",
    "out",
  ] as const;
  const { values }: { values: Record<string, unknown> } = parseArgs({
    args,
    options: Object.fromEntries([
      ...flags.map((name) => [name, { type: "boolean" as const }]),
      ...texts.map((name) => [name, { type: "string" as const }]),
    ]),
  });
  if (values["help"]) return null;
  const isQuick = values["quick"] === true;
  const endpoints = numberOf(values["snapshot"] ?? values["count"], 100_000);
  const connections = typeof values["connections"] === "string" ? values["connections"].split(",") : null;
  return {
    rounds: numberOf(values["rounds"], isQuick ? 1 : 3),
    seconds: numberOf(values["seconds"], 4),
    warmUpSeconds: 1,
    // So that the default takes less than 20 minutes and the quick form less than 3, whatever is slow.
    drainSeconds: { checked: numberOf(values["drain-seconds"], isQuick ? 20 : 60), usual: 4 },
    secondsMost: isQuick ? 90 : 960,
    connections: connections?.map((each) => numberOf(each, 0)) ?? (isQuick ? [64] : [1, 16, 64, 256]),
    endpoints,
    others: Math.min(endpoints, othersMost),
    soakSeconds: numberOf(values["soak-seconds"], 600),
    dataFolder: String(values["data"] ?? defaultFolder),
    outFolder: String(values["out"] ?? join(defaultFolder, "results")),
    parts: chosenParts(values),
    only: typeof values["only"] === "string" ? contenderIds(values["only"]) : null,
  };
}

function chosenParts(values: Record<string, unknown>): Set<Part> {
  if (values["all"]) return new Set(parts.filter((part) => part !== "peers" || values["peers"] === true));
  const chosen = new Set(parts.filter((part) => values[part] === true));
  // The peers are rows of the contenders' table.
  if (chosen.size === 0 || chosen.has("peers")) chosen.add("contenders");
  return chosen;
}

function contenderIds(text: string): ContenderId[] {
  const asked = text.split(",");
  const unknown = asked.find((id) => !standingIds.some((known) => known === id));
  if (unknown !== undefined) throw new Error(`There is no contender ${unknown}: ${standingIds.join(", ")}.`);
  return standingIds.filter((id) => asked.includes(id));
}

function numberOf(value: unknown, otherwise: number): number {
  if (value === undefined) return otherwise;
  const number = Number(value);
  if (!Number.isInteger(number) || number < 1)
    throw new Error(`${String(value)} is not a whole number above 0.`);
  return number;
}
