/** `npm run bench`: everything side by side in one run. See `--help`. */
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Bar, barChart } from "./chart.ts";
import { startPeers } from "./contenders/peers.ts";
import { standingIds, startContenders } from "./contenders/standing.ts";
import { type DiskLatency, measureDisk } from "./disk.ts";
import { feedText, measureFeed } from "./feed.ts";
import { type Findings, marksOf } from "./marks.ts";
import { type Options, readOptions, usage } from "./options.ts";
import { measureOverload, overloadText } from "./overload.ts";
import { pinSelf } from "./pin.ts";
import { machine, machineText, marksText, rowsLegend, rowsText, switchyardText } from "./report.ts";
import { type RoundResult, type Row, rowsOf, runRounds } from "./rounds.ts";
import { measureSizes, type SizeFigures, sizesText } from "./size.ts";
import { measureSoak, soakText } from "./soak.ts";
import { whole } from "./table.ts";
import { createWorld, type World } from "./world.ts";

/** What is written as JSON. */
interface Results extends Findings {
  takenAt: string;
  machine: ReturnType<typeof machine>;
  endpoints: number;
  rounds: RoundResult[];
  sizes: SizeFigures[] | null;
}

const chartConnections = 64;
/** Others' parts, each a script of its own that prints its own table. */
const scripts = {
  endpoints: "endpoints.ts",
  keys: "keyCheck.ts",
  journal: "journal.ts",
  runs: "runs.ts",
  ingestion: "ingestion.ts",
};

const say = (text: string): void => console.log(text);

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  if (options === null) {
    say(usage);
    return;
  }
  const startMs = performance.now();
  mkdirSync(options.dataFolder, { recursive: true });
  mkdirSync(options.outFolder, { recursive: true });
  pinSelf();
  const disk = measureDisk(options.dataFolder);
  say(`${machineText(machine(), disk)}\n`);
  const results = emptyResults(disk, options);
  if (needsWorld(options)) await measureWorld(options, results);
  for (const [part, script] of Object.entries(scripts)) {
    if (options.parts.has(part as keyof typeof scripts)) await runScript(script);
  }
  if (needsWorld(options)) {
    const marks = marksOf(results);
    say(`\n${marksText(marks)}`);
    const file = join(options.outFolder, "latest.json");
    writeFileSync(file, `${JSON.stringify({ ...results, marks }, null, 2)}\n`);
    say(`\n${file}`);
  }
  say(`Took ${whole((performance.now() - startMs) / 1000)} s.`);
}

const emptyResults = (disk: DiskLatency, options: Options): Results => ({
  takenAt: new Date().toISOString(),
  machine: machine(),
  disk,
  endpoints: options.endpoints,
  rounds: [],
  rows: [],
  sizes: null,
  feed: null,
  overload: null,
  soak: null,
});

const needsWorld = ({ parts }: Options): boolean =>
  (["contenders", "size", "feed", "soak", "overload"] as const).some((part) => parts.has(part));

async function measureWorld(options: Options, results: Results): Promise<void> {
  const { dataFolder, endpoints, others, parts } = options;
  const world = await createWorld({ folder: dataFolder, endpoints, others, say });
  const stop = (): void => {
    void world.stop().finally(() => process.exit(130));
  };
  process.once("SIGINT", stop).once("SIGTERM", stop);
  try {
    if (parts.has("contenders")) await measureContenders(world, options, results);
    if (parts.has("size")) {
      results.sizes = await measureSizes(world, say);
      say(`\n${sizesText(results.sizes)}`);
    }
    if (parts.has("overload")) {
      results.overload = await measureOverload(world);
      say(`\n${overloadText(results.overload)}`);
    }
    if (parts.has("soak")) {
      results.soak = await measureSoak(world, options.soakSeconds, options.outFolder);
      say(`\n${soakText(results.soak)}`);
    }
    // The last: it changes the control plane's epoch.
    if (parts.has("feed")) {
      results.feed = await measureFeed(world);
      say(`\n${feedText(results.feed)}`);
    }
  } finally {
    process.off("SIGINT", stop).off("SIGTERM", stop);
    await world.stop();
  }
}

/** Picked at random, so that 19 in 20 of them have been met. */
const warmUpRequestsAnEndpoint = 3;

async function measureContenders(world: World, options: Options, results: Results): Promise<void> {
  const contenders = await startContenders(world, options.only ?? standingIds);
  try {
    if (options.parts.has("peers")) contenders.push(...(await startPeers(world, say)));
    const { rounds, connections, seconds, warmUpSeconds, drainSeconds, secondsMost } = options;
    results.rounds = await runRounds(contenders, {
      rounds,
      connections,
      seconds,
      warmUpSeconds,
      warmUpRequestsOfAccept: warmUpRequestsAnEndpoint * options.endpoints,
      drainSeconds,
      secondsMost,
      checkedConnections: connections.includes(chartConnections) ? chartConnections : connections[0]!,
      workFolder: world.folder,
      say,
    });
    results.rows = rowsOf(contenders, results.rounds);
  } finally {
    const planes = [world.data, world.held].map(({ pid }) => pid);
    for (const contender of contenders) {
      if (!planes.includes(contender.server().pid)) await contender.stop();
    }
  }
  say(`\n${rowsText(results.rows)}\n${rowsLegend}\n\n${switchyardText(results.rows)}`);
  const chartFile = join(options.outFolder, "contenders.svg");
  writeFileSync(chartFile, contendersChart(results.rows));
  say(`\n${chartFile}`);
}

function contendersChart(rows: readonly Row[]): string {
  const connections = rows.some((row) => row.connections === chartConnections)
    ? chartConnections
    : rows[0]!.connections;
  const bars = rows
    .filter((row) => row.connections === connections)
    .map(({ name, perSecond, ratio, isSaturated, switchyard }): Bar => {
      const share = ratio === null ? "" : ` (${ratio.toFixed(2)} of raw)`;
      const note = `${whole(perSecond.median)}${isSaturated ? "" : "*"}${share}`;
      const { median: value, least, most } = perSecond;
      return { label: name, value, least, most, note, isOurs: switchyard !== null };
    });
  return barChart(`Requests a second at ${connections} connections`, bars);
}

function runScript(script: string): Promise<void> {
  say(`\n${script}`);
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(import.meta.dirname, script)], { stdio: "inherit" });
    child.once("exit", (code) => {
      if (code === 0) resolve();
      else reject(new Error(`${script} ended with ${code}.`));
    });
  });
}

await main();
