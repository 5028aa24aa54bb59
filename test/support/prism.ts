/** The real prism CLI as a child process, signed in to a running control plane. */
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";

export interface PrismRun {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface Prism {
  /** Runs a command and returns what it printed, trimmed. Throws where it ends with another code than 0. */
  (command: string[], options?: PrismOptions): Promise<string>;
  /** Runs a command whatever code it ends with. */
  run(command: string[], options?: PrismOptions): Promise<PrismRun>;
  /** Runs a list command and returns its rows. */
  rows(command: string[]): Promise<Record<string, string>[]>;
}

export interface PrismOptions {
  cwd?: string;
  timeoutMs?: number;
}

const entry = join(
  import.meta.dirname,
  "..",
  "..",
  "node_modules",
  "@prismatic-io",
  "prism",
  "lib",
  "run.js",
);
const defaultTimeoutMs = 60_000;

/** `folder` takes prism's own files, so that none of the user's are read or written. */
export function createPrism(signIn: { url: string; token: string; folder: string }): Prism {
  const home = join(signIn.folder, "home");
  mkdirSync(home, { recursive: true });
  const environment = {
    PATH: `${join(process.execPath, "..")}:/usr/local/bin:/usr/bin:/bin`,
    HOME: home,
    XDG_CACHE_HOME: join(home, "cache"),
    XDG_CONFIG_HOME: join(home, "config"),
    XDG_DATA_HOME: join(home, "data"),
    PRISM_CONFIG_FILE: join(home, "prism.yml"),
    PRISMATIC_URL: signIn.url,
    PRISM_ACCESS_TOKEN: signIn.token,
    // It must neither ask anybody nor look for a newer version of itself.
    PRISM_SKIP_NEW_VERSION_CHECK: "true",
    CI: "true",
    ...compileCache(),
    NO_COLOR: "1",
    FORCE_COLOR: "0",
  };
  const run = (command: string[], options: PrismOptions = {}): Promise<PrismRun> =>
    runChild(command, {
      cwd: options.cwd ?? home,
      environment,
      timeoutMs: options.timeoutMs ?? defaultTimeoutMs,
    });
  const prism = async (command: string[], options?: PrismOptions): Promise<string> => {
    const { code, stdout, stderr } = await run(command, options);
    if (code !== 0) throw new Error(`prism ${command.join(" ")} ended with ${code}: ${stdout}\n${stderr}`);
    return stdout.trim();
  };
  const rows = async (command: string[]): Promise<Record<string, string>[]> =>
    JSON.parse(await prism([...command, "--extended", "--output=json"])) as Record<string, string>[];
  return Object.assign(prism, { run, rows });
}

/** As the suite itself has it. */
function compileCache(): Record<string, string> {
  const folder = process.env["NODE_COMPILE_CACHE"];
  return folder === undefined ? {} : { NODE_COMPILE_CACHE: folder };
}

function runChild(
  command: string[],
  options: { cwd: string; environment: Record<string, string>; timeoutMs: number },
): Promise<PrismRun> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [entry, ...command], {
      cwd: options.cwd,
      env: options.environment,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: options.timeoutMs,
      killSignal: "SIGKILL",
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, stdout, stderr }));
  });
}
