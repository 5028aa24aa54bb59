/** What Linux knows of a process: CPU time of each thread, memory, threads by name. */
import { readdirSync, readFileSync } from "node:fs";

/** Linux counts CPU time in hundredths of a second in `stat`; `schedstat` has nanoseconds. */
const tickUs = 10_000;

/** Microseconds that the thread has been on a CPU. */
export function threadCpuUs(pid: number, tid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${tid}/schedstat`, "utf8").split(" ")[0]) / 1000;
  } catch {
    return ticksOf(`/proc/${pid}/task/${tid}/stat`) * tickUs;
  }
}

/** The same for all threads of the process, those that have ended included. */
export const processCpuUs = (pid: number): number => ticksOf(`/proc/${pid}/stat`) * tickUs;

function ticksOf(file: string): number {
  // The second field is the name in brackets, which may hold anything: what follows starts with the third.
  const fields = readFileSync(file, "utf8").split(") ").at(-1)!.split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

export function rssBytes(pid: number): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kilobytes ?? 0) * 1024;
}

export function threadsOf(pid: number): { tid: number; name: string }[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((tid) => {
    try {
      return [{ tid: Number(tid), name: readFileSync(`/proc/${pid}/task/${tid}/comm`, "utf8").trim() }];
    } catch {
      return []; // It has ended since.
    }
  });
}
