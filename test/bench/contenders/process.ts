/** A contender that is a script of its own and says `listening on <url>`. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Requests } from "../load.ts";
import { pinServer } from "../pin.ts";
import type { Contender, ContenderId } from "./contender.ts";

interface Options {
  id: ContenderId;
  name: string;
  /** In this folder. */
  script: string;
  args: string[];
  requests: Requests;
}

const startTimeoutMs = 60_000;

export async function scriptContender({ id, name, script, args, requests }: Options): Promise<Contender> {
  const child = spawn(process.execPath, [join(import.meta.dirname, script), ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const url = await listeningUrl(child, name);
  return runningContender({ id, name, child, url, requests });
}

export function runningContender(options: {
  id: ContenderId;
  name: string;
  child: ChildProcess;
  url: string;
  requests: Requests;
}): Contender {
  const { id, name, child, url, requests } = options;
  // Also where the benchmark is interrupted.
  const kill = (): void => void child.kill("SIGKILL");
  process.once("exit", kill);
  child.once("exit", () => process.off("exit", kill));
  // One thread does it all in each of them.
  const server = { pid: child.pid!, tid: child.pid! };
  pinServer(server);
  return {
    id,
    name,
    ...requests,
    url: () => url,
    server: () => server,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), 5000);
      await ended;
      clearTimeout(timer);
    },
  };
}

function listeningUrl(child: ChildProcess, name: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new Error(`${name} did not start in ${startTimeoutMs} ms.`));
    }, startTimeoutMs);
    child.once("exit", (code) => reject(new Error(`${name} ended with ${code} before it listened.`)));
    createInterface({ input: child.stdout! }).on("line", (line) => {
      const [, url] = /^listening on (\S+)$/.exec(line) ?? [];
      if (url === undefined) return;
      clearTimeout(timer);
      resolve(url);
    });
  });
}
