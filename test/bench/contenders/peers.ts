/** Node-RED and n8n, installed into a temporary folder. One that can't be installed or started is left out. */
import { execFile, spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { messageOf } from "../../../shared/errors.ts";
import { freePort } from "../../support/freePort.ts";
import type { Requests } from "../load.ts";
import { writeTargets } from "../requests.ts";
import type { World } from "../world.ts";
import type { Contender } from "./contender.ts";
import { runningContender } from "./process.ts";

const run = promisify(execFile);
const installLimitMs = 10 * 60_000;
const startLimitMs = 120_000;

export async function startPeers(world: World, say: (text: string) => void): Promise<Contender[]> {
  const started: Contender[] = [];
  for (const [name, start] of [
    ["Node-RED", startNodeRed],
    ["n8n", startN8n],
  ] as const) {
    try {
      say(`Installing ${name} ...`);
      started.push(await start(world));
    } catch (error) {
      say(`${name} is left out: ${messageOf(error).split("\n").slice(0, 3).join(" ")}`);
    }
  }
  return started;
}

/** `built`: the only packages whose install scripts are run; null: all of them. */
async function install(world: World, name: string, built: string[] | null = null): Promise<string> {
  const folder = join(world.folder, `peer-${name}`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), '{"private":true}');
  const npm = (...args: string[]) =>
    run("npm", [...args, "--loglevel=error"], {
      cwd: folder,
      timeout: installLimitMs,
      killSignal: "SIGKILL",
      maxBuffer: 64 * 1024 * 1024,
    });
  try {
    const scripts = built === null ? [] : ["--ignore-scripts"];
    await npm("install", "--no-save", "--no-audit", "--no-fund", ...scripts, name);
    if (built !== null) await npm("rebuild", ...built);
  } catch (error) {
    const { killed, stderr = "" } = error as { killed?: boolean; stderr?: string };
    const reason = killed
      ? `not installed in ${installLimitMs / 60_000} minutes`
      : `npm says: ${stderr.trim().split("\n").slice(-4).join(" ")}`;
    throw new Error(reason, { cause: error });
  }
  return folder;
}

/** All requests to the one URL: neither of them has endpoints with keys. */
const toPath = (world: World, name: string, path: string): Requests => ({
  ...world.requests.body,
  targetsFile: writeTargets(world.folder, name, [{ path, key: "-", customer: "bench" }]),
});

async function startNodeRed(world: World): Promise<Contender> {
  const folder = await install(world, "node-red");
  const port = await freePort();
  const flows = [
    { id: "tab", type: "tab", label: "bench" },
    { id: "in", type: "http in", z: "tab", url: "/hook", method: "post", wires: [["answer"]] },
    {
      id: "answer",
      type: "template",
      z: "tab",
      field: "payload",
      fieldType: "msg",
      format: "json",
      syntax: "plain",
      template: '{"accepted":true}',
      output: "json",
      wires: [["out"]],
    },
    { id: "out", type: "http response", z: "tab", statusCode: "200", wires: [] },
  ];
  writeFileSync(join(folder, "flows.json"), JSON.stringify(flows));
  writeFileSync(
    join(folder, "settings.js"),
    `module.exports = { uiPort: ${port}, uiHost: "127.0.0.1", flowFile: "flows.json", logging: { console: { level: "error" } } };`,
  );
  const child = spawn(
    process.execPath,
    ["node_modules/node-red/red.js", "--userDir", folder, "--settings", "settings.js"],
    { cwd: folder, stdio: "ignore" },
  );
  const url = `http://127.0.0.1:${port}`;
  await untilAnswered(`${url}/hook`, child);
  const requests = toPath(world, "node-red", "/hook");
  return runningContender({ id: "nodeRed", name: "Node-RED, http in → response", child, url, requests });
}

async function startN8n(world: World): Promise<Contender> {
  // Its database; its client for Kafka does not build everywhere, and no webhook needs it.
  const folder = await install(world, "n8n", ["sqlite3"]);
  const port = await freePort();
  const workflow = {
    id: "benchWorkflow001",
    name: "bench",
    active: true,
    nodes: [
      {
        id: "a2f1c6de-6d55-4b79-9a0c-0c9f5cf8c001",
        name: "Webhook",
        type: "n8n-nodes-base.webhook",
        typeVersion: 1,
        position: [0, 0],
        webhookId: "bench-hook",
        parameters: { path: "hook", httpMethod: "POST", responseMode: "onReceived" },
      },
    ],
    connections: {},
    settings: {},
  };
  writeFileSync(join(folder, "workflow.json"), JSON.stringify(workflow));
  const env = {
    ...process.env,
    N8N_USER_FOLDER: folder,
    N8N_PORT: String(port),
    N8N_LISTEN_ADDRESS: "127.0.0.1",
    N8N_DIAGNOSTICS_ENABLED: "false",
    N8N_VERSION_NOTIFICATIONS_ENABLED: "false",
    N8N_RUNNERS_ENABLED: "false",
    N8N_LOG_LEVEL: "error",
  };
  const binary = join(folder, "node_modules", "n8n", "bin", "n8n");
  const command = (...args: string[]) =>
    run(process.execPath, [binary, ...args], {
      cwd: folder,
      env,
      timeout: startLimitMs,
      killSignal: "SIGKILL",
    });
  await command("import:workflow", "--input=workflow.json");
  await command("update:workflow", `--id=${workflow.id}`, "--active=true");
  const child = spawn(process.execPath, [binary, "start"], { cwd: folder, env, stdio: "ignore" });
  const url = `http://127.0.0.1:${port}`;
  await untilAnswered(`${url}/webhook/hook`, child);
  const requests = toPath(world, "n8n", "/webhook/hook");
  return runningContender({ id: "n8n", name: "n8n, webhook", child, url, requests });
}

async function untilAnswered(url: string, child: ReturnType<typeof spawn>): Promise<void> {
  const deadline = Date.now() + startLimitMs;
  for (;;) {
    const status = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: "{}",
      signal: AbortSignal.timeout(5000),
    }).then(
      (answer) => answer.status,
      () => 0,
    );
    if (status === 200) return;
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode} when it was started`);
    if (Date.now() > deadline) {
      child.kill("SIGKILL");
      throw new Error(`it did not answer in ${startLimitMs / 1000} s (last status ${status})`);
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
