/** Half of what is sustained for long: memory must stay flat. Before it, twenty seconds of nothing: no CPU. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { measureCapacity } from "./capacity.ts";
import { lineChart } from "./chart.ts";
import { type OpenLoopResult, sendOpenLoop } from "./openLoop.ts";
import { rssBytes, threadCpuUs, threadsOf } from "./procfs.ts";
import { slopeOf } from "./statistics.ts";
import { megabytes, ms, whole } from "./table.ts";
import type { World } from "./world.ts";

export interface SoakFigures {
  capacity: number;
  seconds: number;
  load: OpenLoopResult;
  /** Share of one core that both planes used together while nothing was sent. */
  idleCpu: number;
  samples: { atSeconds: number; dataBytes: number; controlBytes: number }[];
  /** Over the last half: what the data plane's, and the control plane's, memory grows by a minute, in bytes. */
  dataSlope: number;
  controlSlope: number;
  chartFile: string;
}

const idleSeconds = 20;
const sampleMs = 2000;
const connections = 64;
/** V8 gives memory back within half a minute of a load: that is not rest yet. */
const settleMs = 60_000;

export async function measureSoak(world: World, seconds: number, outFolder: string): Promise<SoakFigures> {
  const { data, control, requests } = world;
  const capacity = await measureCapacity(world);
  await pause(settleMs);
  const idleCpu = await cpuWhileIdle([data.pid, control.plane.pid]);
  const samples: SoakFigures["samples"] = [];
  const startMs = Date.now();
  const timer = setInterval(() => {
    samples.push({
      atSeconds: (Date.now() - startMs) / 1000,
      dataBytes: rssBytes(data.pid),
      controlBytes: rssBytes(control.plane.pid),
    });
  }, sampleMs);
  const load = await sendOpenLoop({
    url: data.url,
    ...requests.body,
    perSecond: capacity / 2,
    seconds,
    connections,
  });
  clearInterval(timer);
  const lastHalf = samples.filter(({ atSeconds }) => atSeconds > seconds / 2);
  const slope = (bytes: "dataBytes" | "controlBytes"): number =>
    slopeOf(lastHalf.map((sample) => ({ x: sample.atSeconds / 60, y: sample[bytes] })));
  const chartFile = join(outFolder, "soak.svg");
  writeFileSync(chartFile, soakChart(samples, capacity));
  return {
    capacity,
    seconds,
    load,
    idleCpu,
    samples,
    dataSlope: slope("dataBytes"),
    controlSlope: slope("controlBytes"),
    chartFile,
  };
}

const pause = (forMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, forMs));

async function cpuWhileIdle(pids: number[]): Promise<number> {
  const used = (): number =>
    pids
      .flatMap((pid) => threadsOf(pid).map(({ tid }) => threadCpuUs(pid, tid)))
      .reduce((sum, us) => sum + us, 0);
  const before = used();
  await pause(idleSeconds * 1000);
  return (used() - before) / (idleSeconds * 1e6);
}

function soakChart(samples: SoakFigures["samples"], capacity: number): string {
  const points = (bytes: "dataBytes" | "controlBytes") =>
    samples.map((sample) => ({ x: sample.atSeconds, y: sample[bytes] / 1024 / 1024 }));
  return lineChart(
    `Resident memory at ${whole(capacity / 2)} webhooks a second`,
    [
      { label: "data plane", colour: "#2563eb", points: points("dataBytes") },
      { label: "control plane", colour: "#d97706", points: points("controlBytes") },
    ],
    { x: "seconds", y: "MB" },
  );
}

export function soakText(figures: SoakFigures): string {
  const { capacity, seconds, load, idleCpu, samples, dataSlope, controlSlope, chartFile } = figures;
  const last = samples.at(-1);
  return [
    `Soak: ${seconds} s at ${whole(capacity / 2)} webhooks a second (half of what is sustained): ` +
      `${whole(load.accepted.count)} of ${whole(load.due)} accepted, p99 ${ms(load.accepted.p99Us)}`,
    `memory at the end: data plane ${megabytes(last?.dataBytes ?? 0)}, control plane ${megabytes(last?.controlBytes ?? 0)}; ` +
      `in the last half they grew by ${megabytes(dataSlope)} and ${megabytes(controlSlope)} a minute (${chartFile})`,
    `idle before it: both planes together used ${(idleCpu * 100).toFixed(2)} % of a core in ${idleSeconds} s`,
  ].join("\n");
}
