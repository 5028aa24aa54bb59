/** The load: wrk where it is installed, else autocannon; keep-alive, each request to a target at random. */
import { execFile, execFileSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

/** Whom to send what. */
export interface Requests {
  /** A line a target: path, key and customer between tabs; "-" is none. */
  targetsFile: string;
  /** What is sent; `%CUSTOMER%` stands for the target's customer. */
  bodyFile: string;
}

export interface LoadPlan extends Requests {
  url: string;
  connections: number;
  seconds: number;
}

export interface LoadResult {
  /** Answers that came. */
  requests: number;
  /** Answers of 400 and above. */
  notOk: number;
  /** Connections that could not be made or broke. */
  failed: number;
  timedOut: number;
  seconds: number;
  p50Us: number;
  p99Us: number;
  p999Us: number;
  mostUs: number;
}

const run = promisify(execFile);
/** What a run may take beyond its seconds: 100,000 targets are read first. */
const spareMs = 60_000;

export const loadGenerator: "wrk" | "autocannon" = hasWrk() ? "wrk" : "autocannon";

function hasWrk(): boolean {
  try {
    execFileSync("wrk", ["--version"], { stdio: "ignore" });
    return true;
  } catch (error) {
    // wrk prints its version and ends with 1.
    return (error as { status?: number | null }).status === 1;
  }
}

export async function sendLoad(plan: LoadPlan, workFolder: string): Promise<LoadResult> {
  const { url, targetsFile, bodyFile, connections, seconds } = plan;
  const resultFile = join(workFolder, `load-${process.hrtime.bigint()}.json`);
  const own = (name: string): string => join(import.meta.dirname, name);
  const [command, args] =
    loadGenerator === "wrk"
      ? [
          "wrk",
          ["-t1", `-c${connections}`, `-d${seconds}s`, "--timeout", "30s", "-s", own("load.lua"), url, "--"],
        ]
      : [process.execPath, [own("autocannonLoad.mjs"), url, String(connections), String(seconds)]];
  await run(command, [...args, targetsFile, bodyFile], {
    env: { ...process.env, SWITCHYARD_BENCH_LOAD_RESULT: resultFile },
    timeout: seconds * 1000 + spareMs,
    killSignal: "SIGKILL",
  });
  const result = JSON.parse(readFileSync(resultFile, "utf8")) as LoadResult;
  rmSync(resultFile);
  return result;
}
