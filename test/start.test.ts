/** `npm start` as a newcomer sees it: what it prints, what can be pasted, how it stops, why it does not start. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createServer } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, describe, expect, test } from "vitest";
import { readStartState } from "../shared/scripts/startState.ts";
import { freePort } from "./support/freePort.ts";
import { graphql } from "./support/graphql.ts";
import { newTemporaryFolder, removeFolder } from "./support/temporaryFolder.ts";
import { waitFor } from "./support/waitFor.ts";

interface Started {
  child: ChildProcess;
  output: () => string;
  ended: Promise<number | null>;
}

const startFile = join(import.meta.dirname, "..", "shared", "scripts", "start.ts");
const run = promisify(execFile);
const dataDir = newTemporaryFolder();
const running = new Set<ChildProcess>();
let ports: { SWITCHYARD_CONTROL_PORT: string; SWITCHYARD_INGRESS_PORT: string };

afterAll(async () => {
  for (const child of running) child.kill("SIGTERM");
  await waitFor(() => running.size === 0, 30_000);
  removeFolder(dataDir);
});

function start(environment: Record<string, string>): Started {
  const child = spawn(process.execPath, [startFile], {
    env: { PATH: "/usr/local/bin:/usr/bin:/bin", SWITCHYARD_DATA_DIR: dataDir, ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  const ended = new Promise<number | null>((resolve) => {
    child.once("close", (code) => {
      running.delete(child);
      resolve(code);
    });
  });
  return { child, output: () => output, ended };
}

const untilUp = (started: Started): Promise<boolean> =>
  waitFor(() => {
    if (started.child.exitCode !== null) throw new Error(started.output());
    return started.output().includes("Ctrl-C stops it.");
  }, 50_000);

/** The curl line under the comment. */
const curlLine = (output: string, comment: string): string => {
  const lines = output.split("\n");
  return lines[lines.findIndex((line) => line.includes(comment)) + 1]!.trim();
};

async function paste(line: string): Promise<{ executionId: string }> {
  const { stdout } = await run("/bin/sh", ["-c", `${line} --silent --show-error --fail-with-body`]);
  return JSON.parse(stdout);
}

describe("npm start", () => {
  test("sets up the examples, prints curl lines that work, and stops on a signal", {
    timeout: 90_000,
  }, async () => {
    ports = {
      SWITCHYARD_CONTROL_PORT: String(await freePort()),
      SWITCHYARD_INGRESS_PORT: String(await freePort()),
    };
    const started = start(ports);
    await untilUp(started);
    const output = started.output();
    const token = /Admin +(\S+)/.exec(output)?.[1] ?? "";
    const controlUrl = /GraphQL +(\S+)\/api/.exec(output)?.[1] ?? "";
    const inventoryLine = curlLine(output, "A06DFFAC");
    const orderLine = curlLine(output, "C3E72B0C");
    const urlOf = (line: string): string | undefined => /'(http[^']+)'/.exec(line)?.[1];
    expect(urlOf(inventoryLine)).toBe(urlOf(orderLine));

    const inventory = await ended(controlUrl, token, (await paste(inventoryLine)).executionId);
    expect(inventory).toMatchObject({
      status: "SUCCEEDED",
      preprocessFlowName: "Route Webhook",
      flowName: "Update Inventory",
      customer: { externalId: "hatters-of-york" },
    });
    expect(inventory.stepResults.nodes.map((step: { part: string }) => step.part)).toEqual([
      "PREPROCESS",
      "PREPROCESS",
      "FLOW",
      "FLOW",
    ]);
    const messages = inventory.logs.nodes.map((log: { message: string }) => log.message).join("\n");
    expect(messages).toContain("Acme customer A06DFFAC is hatters-of-york");
    expect(messages).toContain("Main warehouse: removed 5 x bowler hat");
    const order = await ended(controlUrl, token, (await paste(orderLine)).executionId);
    expect(order).toMatchObject({
      status: "SUCCEEDED",
      flowName: "Create Order",
      customer: { externalId: "bleecker-street-books" },
    });
    for (const comment of ["A parcel comes late", "A ticket is opened", "An invoice of Bleecker"]) {
      const { executionId } = await paste(curlLine(output, comment));
      expect(await ended(controlUrl, token, executionId)).toMatchObject({ status: "SUCCEEDED" });
    }
    const checked = await paste(curlLine(output, "Can this address be subscribed?"));
    expect(checked).toEqual({ email: "reader@example.com", isAcceptable: true });

    // The token was needed until the examples were there; after that it is nowhere in the clear.
    expect(readStartState(dataDir)?.adminToken).toBeNull();
    started.child.kill("SIGINT");
    expect(await started.ended).toBe(0);
  });

  test("keeps all data over a restart, and prints the same lines but for the token", {
    timeout: 60_000,
  }, async () => {
    const started = start(ports);
    await untilUp(started);
    expect(started.output()).not.toMatch(/Admin +\S+/);
    expect(started.output()).not.toContain("Publishing");
    const { executionId } = await paste(curlLine(started.output(), "A06DFFAC"));
    expect(executionId).toBeTruthy();
    started.child.kill("SIGTERM");
    expect(await started.ended).toBe(0);
  });

  test.each([
    ["a setting that is no number", { SWITCHYARD_RUN_THREADS: "many" }, /SWITCHYARD_RUN_THREADS must be/],
    ["an unknown setting", { SWITCHYARD_TYPO: "1" }, /SWITCHYARD_TYPO is not a setting/],
    ["another master key", { SWITCHYARD_MASTER_KEY: "ab".repeat(32) }, /master key is not the one/],
    ["a data folder that is a file", { SWITCHYARD_DATA_DIR: "/dev/null" }, /data folder \/dev\/null/],
  ])("ends with one sentence and exit code 1: %s", async (_case, environment, sentence) => {
    const started = start({ ...ports, ...environment });
    expect(await started.ended).toBe(1);
    expect(started.output()).toMatch(sentence);
    expect(started.output().trim().split("\n")).toHaveLength(1);
  });

  test.each(["SWITCHYARD_CONTROL_PORT", "SWITCHYARD_INGRESS_PORT"])(
    "ends with one sentence and exit code 1: %s in use",
    async (setting) => {
      const taken = createServer();
      await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
      const address = taken.address();
      const port = String(typeof address === "object" ? address?.port : 0);
      const started = start({ ...ports, [setting]: port });
      const code = await started.ended;
      taken.close();
      expect(code).toBe(1);
      expect(started.output()).toContain(setting);
      expect(started.output().trim().split("\n")).toHaveLength(1);
    },
  );
});

async function ended(controlUrl: string, token: string, id: string) {
  return waitFor(async () => {
    const { executionResult } = await graphql(
      controlUrl,
      token,
      `query ($id: ID!) {
        executionResult(id: $id) {
          status endedAt flowName preprocessFlowName
          customer { externalId }
          stepResults { nodes { part stepName } }
          logs(orderBy: { field: TIMESTAMP, direction: ASC }) { nodes { message } }
        }
      }`,
      { id },
    );
    return executionResult?.endedAt ? executionResult : undefined;
  });
}
