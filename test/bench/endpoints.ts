/**
 * `node test/bench/endpoints.ts [--endpoints 1000,100000,1000000]`: what a number of endpoints costs the data
 * plane. Each figure comes from a process of its own: applying the snapshot (and how long the event loop stands
 * still meanwhile), starting from the replica, memory with caches that random webhooks over all endpoints have
 * filled, and lookups, cached and not. Beside it a plain Map of the same entities, as the obvious alternative.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setImmediate as nextTurn } from "node:timers/promises";
import { parseArgs } from "node:util";
import { createEndpoints } from "../../data-plane/endpoints.ts";
import { sliceChanges } from "../../data-plane/feedClient.ts";
import { openReplicaReader } from "../../data-plane/replica/reader.ts";
import { openReplicaWriter } from "../../data-plane/replica/writer.ts";
import type { FeedChange, InstanceEntity } from "../../shared/feed.ts";
import { instanceEntityOf, instanceTokenOf, snapshotPages } from "../support/syntheticFeed.ts";

const bytesOfEndpointMax = 300;
const startMsMax = 3_000;
const cachedRatioMax = 1.5;
const uncachedMicrosecondsMax = 15;

interface Built {
  /** Of the processor. */
  applyMs: number;
  /** The longest time that one slice of a page, or the end of the snapshot, took. */
  longestBlockMs: number;
  fileBytes: number;
}

interface Measured {
  startMs: number;
  rssBytes: number;
  heapBytes: number;
  fullGcMs: number;
  cachedInstances: number;
  cachedBytes: number;
  /** Of a thousand endpoints. */
  cachedMicroseconds: number;
  /** Of all, at random, with warm caches. */
  randomMicroseconds: number;
  uncachedMicroseconds: number;
}

interface MapMeasured {
  rssBytes: number;
  heapBytes: number;
  fullGcMs: number;
  randomMicroseconds: number;
}

const { values } = parseArgs({
  options: {
    endpoints: { type: "string", default: "1000,100000,1000000" },
    output: { type: "string", default: "" },
    folder: { type: "string", default: tmpdir() },
    child: { type: "string" },
  },
  allowPositionals: false,
});

const warn = (message: string) => console.error(message);
const lookupsOfRound = 50_000;
const rounds = 5;
/** A fraction of a microsecond each: what else the machine does shows most there. */
const hotRounds = 20;
const chunk = 1_000;
const hotEndpoints = 1_000;

/** The same for each run, so that two of them can be compared. */
function randomNumbers(): () => number {
  let state = 0x12345678;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

const children = {
  async build(folder: string, endpoints: number): Promise<Built> {
    const writer = openReplicaWriter({ folder, warn });
    const startMs = performance.now();
    let microseconds = 0;
    let longestBlockMs = 0;
    const timed = async (work: () => unknown) => {
      await nextTurn();
      const fromMs = performance.now();
      const from = process.cpuUsage();
      const pending = work();
      const spent = process.cpuUsage(from);
      microseconds += spent.user + spent.system;
      longestBlockMs = Math.max(longestBlockMs, performance.now() - fromMs);
      return pending;
    };
    const snapshot = writer.beginSnapshot();
    for (const page of snapshotPages(endpoints)) {
      for (let at = 0; at < page.length; at += sliceChanges) {
        const slice: FeedChange[] = page.slice(at, at + sliceChanges);
        await timed(() => snapshot.add(slice));
      }
    }
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    await nextTurn();
    await timed(() => snapshot.commit({ epoch: "bench", version: endpoints * 2 }));
    delay.disable();
    longestBlockMs = Math.max(longestBlockMs, delay.max / 1e6);
    const fileBytes = statSync(writer.state().file).size;
    writer.close();
    warn(`  built in ${Math.round(performance.now() - startMs)} ms`);
    return { applyMs: microseconds / 1000, longestBlockMs, fileBytes };
  },

  async read(folder: string, endpoints: number): Promise<Measured> {
    const fromMs = performance.now();
    const writer = openReplicaWriter({ folder, warn });
    const onDamaged = (_generation: number, reason: string) => warn(reason);
    const options = { folder, state: writer.state(), onDamaged };
    const reader = openReplicaReader({ ...options, withSecrets: false });
    const mainReader = openReplicaReader({ ...options, withSecrets: true });
    const compiled = createEndpoints(reader);
    /** As for a webhook: the endpoint, and who may post to its first flow. */
    const lookUp = (token: string): number => {
      const { plan, target } = compiled.at(token)!;
      const [flow] = plan.flows.values();
      compiled.keyRule(plan, target, flow!);
      return target!.version;
    };
    if (endpoints > 0) lookUp(instanceTokenOf(endpoints - 1));
    const startMs = performance.now() - fromMs;
    const random = randomNumbers();
    let sink = 0;
    /** Microseconds each, of the processor: what else the machine does is not the lookup's cost. */
    const timed = (lookups: number, work: (token: string) => number, among: number): number => {
      let microseconds = 0;
      for (let done = 0; done < lookups; done += chunk) {
        const tokens = Array.from({ length: chunk }, () => instanceTokenOf(Math.floor(random() * among)));
        const from = process.cpuUsage();
        for (const token of tokens) sink += work(token);
        const spent = process.cpuUsage(from);
        microseconds += spent.user + spent.system;
      }
      return microseconds / lookups;
    };
    const best = (work: (token: string) => number, among: number, times = rounds): number =>
      Math.min(...Array.from({ length: times }, () => timed(lookupsOfRound, work, among)));
    let uncachedMicroseconds = 0;
    let randomMicroseconds = 0;
    let cachedMicroseconds = 0;
    if (endpoints > 0) {
      // The process's own code is compiled by the first few thousand; the cache holds none of the others.
      timed(5_000, lookUp, endpoints / 20);
      uncachedMicroseconds = Math.min(
        ...Array.from({ length: rounds }, () => {
          const before = reader.stats().misses;
          const lookups = Math.min(5_000, endpoints);
          const microseconds = timed(lookups, lookUp, endpoints) * lookups;
          // A lookup that the cache does not answer reads two rows.
          const missed = (reader.stats().misses - before) / 2;
          return missed < lookups / 2 ? Number.POSITIVE_INFINITY : microseconds / missed;
        }),
      );
      const warming = Math.min(3 * endpoints, 600_000);
      for (let done = 0; done < warming; done += chunk) {
        timed(chunk, lookUp, endpoints);
        // One in so many runs on the main thread meanwhile.
        const { instanceId } = mainReader.tokenOwner(instanceTokenOf(Math.floor(random() * endpoints))) as {
          instanceId: string;
        };
        sink += mainReader.instance(instanceId)!.entity.sealedConfigVars.length;
        if (done % 10_000 === 0) await nextTurn();
      }
      randomMicroseconds = best(lookUp, endpoints);
      cachedMicroseconds = best(lookUp, Math.min(hotEndpoints, endpoints), hotRounds);
    }
    const memory = process.memoryUsage();
    const gcFromMs = performance.now();
    globalThis.gc!();
    const fullGcMs = performance.now() - gcFromMs;
    if (sink === Number.POSITIVE_INFINITY) throw new Error("never");
    const { cachedInstances, cachedBytes } = reader.stats();
    return {
      startMs,
      rssBytes: memory.rss,
      heapBytes: process.memoryUsage().heapUsed,
      fullGcMs,
      cachedInstances,
      cachedBytes,
      cachedMicroseconds,
      randomMicroseconds,
      uncachedMicroseconds,
    };
  },

  async map(_folder: string, endpoints: number): Promise<MapMeasured> {
    const map = new Map<string, InstanceEntity>();
    for (let number = 0; number < endpoints; number++) {
      // As it comes from the feed: each field an object or text of its own.
      const entity = JSON.parse(JSON.stringify(instanceEntityOf(number))) as InstanceEntity;
      map.set(entity.token, entity);
    }
    const random = randomNumbers();
    let sink = 0;
    const tokens = Array.from({ length: 10_000 }, () => instanceTokenOf(Math.floor(random() * endpoints)));
    const fromMs = performance.now();
    if (endpoints > 0) {
      for (let done = 0; done < lookupsOfRound; done++)
        sink += map.get(tokens[done % tokens.length]!)!.isEnabled ? 1 : 0;
    }
    const randomMicroseconds = ((performance.now() - fromMs) * 1000) / lookupsOfRound;
    const rssBytes = process.memoryUsage().rss;
    const gcFromMs = performance.now();
    globalThis.gc!();
    if (sink < 0) throw new Error("never");
    return {
      rssBytes,
      heapBytes: process.memoryUsage().heapUsed,
      fullGcMs: performance.now() - gcFromMs,
      randomMicroseconds,
    };
  },
};

type ChildName = keyof typeof children;

function run<Name extends ChildName>(
  name: Name,
  folder: string,
  endpoints: number,
): Awaited<ReturnType<(typeof children)[Name]>> {
  // An ingress thread is to have such a limit: V8 lets a heap grow to a multiple of what is in use, the less the
  // smaller its limit is (a million endpoints: 320 MB resident instead of 565 MB).
  const heapMb = name === "map" ? 16_384 : 512;
  const output = execFileSync(
    process.execPath,
    [
      `--max-old-space-size=${heapMb}`,
      "--expose-gc",
      import.meta.filename,
      "--child",
      name,
      "--folder",
      folder,
      "--endpoints",
      String(endpoints),
    ],
    { stdio: ["ignore", "pipe", "inherit"], encoding: "utf8" },
  );
  return JSON.parse(output) as Awaited<ReturnType<(typeof children)[Name]>>;
}

function compare(): void {
  const counts = values.endpoints.split(",").map(Number);
  mkdirSync(values.folder, { recursive: true });
  const folder = mkdtempSync(join(values.folder, "switchyard-endpoints-"));
  try {
    const emptyFolder = join(folder, "empty");
    run("build", emptyFolder, 0);
    const empty = run("read", emptyFolder, 0);
    const emptyMap = run("map", emptyFolder, 0);
    const rows = counts.map((endpoints) => {
      const own = join(folder, String(endpoints));
      const built = run("build", own, endpoints);
      const read = run("read", own, endpoints);
      const map = endpoints >= 100_000 ? run("map", own, endpoints) : null;
      rmSync(own, { recursive: true });
      return {
        endpoints,
        ...built,
        ...read,
        rssBytesOfEndpoint: (read.rssBytes - empty.rssBytes) / endpoints,
        map: map && { ...map, rssBytesOfEndpoint: (map.rssBytes - emptyMap.rssBytes) / endpoints },
      };
    });
    print(rows);
    if (values.output !== "") writeFileSync(values.output, `${JSON.stringify({ empty, rows }, null, 2)}\n`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

type Row = Built &
  Measured & {
    endpoints: number;
    rssBytesOfEndpoint: number;
    map: (MapMeasured & { rssBytesOfEndpoint: number }) | null;
  };

function print(rows: Row[]): void {
  const least = rows[0]!;
  const mark = (isMet: boolean) => (isMet ? "holds" : "DOES NOT HOLD");
  const megabytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MB`;
  for (const row of rows) {
    const ratio = row.cachedMicroseconds / least.cachedMicroseconds;
    console.log(`\n${row.endpoints.toLocaleString("en")} endpoints`);
    const lines: [string, string, string][] = [
      [
        "snapshot applied",
        `${(row.applyMs / 1000).toFixed(1)} s of the processor, longest block ${row.longestBlockMs.toFixed(0)} ms, file ${megabytes(row.fileBytes)}`,
        "",
      ],
      ["start from the replica", `${row.startMs.toFixed(0)} ms`, `< 3 s: ${mark(row.startMs < startMsMax)}`],
      [
        "resident memory",
        `${megabytes(row.rssBytes)}, ${row.rssBytesOfEndpoint.toFixed(0)} bytes an endpoint`,
        row.endpoints >= 1_000_000
          ? `<= ${bytesOfEndpointMax}: ${mark(row.rssBytesOfEndpoint <= bytesOfEndpointMax)}`
          : "",
      ],
      [
        "cache",
        `${row.cachedInstances.toLocaleString("en")} instances, about ${megabytes(row.cachedBytes)}; full collection ${row.fullGcMs.toFixed(0)} ms`,
        "",
      ],
      [
        "lookup, cached",
        `${row.cachedMicroseconds.toFixed(2)} µs, ${ratio.toFixed(2)} times that with ${least.endpoints}`,
        `<= ${cachedRatioMax}: ${mark(ratio <= cachedRatioMax)}`,
      ],
      ["lookup, random over all, warm", `${row.randomMicroseconds.toFixed(2)} µs`, ""],
      [
        "lookup, uncached",
        `${row.uncachedMicroseconds.toFixed(1)} µs`,
        `<= ${uncachedMicrosecondsMax} µs: ${mark(row.uncachedMicroseconds <= uncachedMicrosecondsMax)}`,
      ],
    ];
    if (row.map !== null) {
      lines.push([
        "a Map of plain objects",
        `${megabytes(row.map.rssBytes)}, ${row.map.rssBytesOfEndpoint.toFixed(0)} bytes an endpoint, full collection ${row.map.fullGcMs.toFixed(0)} ms, lookup ${row.map.randomMicroseconds.toFixed(2)} µs`,
        "",
      ]);
    }
    for (const [name, figure, verdict] of lines)
      console.log(`  ${name.padEnd(30)} ${figure.padEnd(62)} ${verdict}`.trimEnd());
  }
}

if (values.child === undefined) compare();
else {
  const result = await children[values.child as ChildName](values.folder, Number(values.endpoints));
  console.log(JSON.stringify(result));
}
