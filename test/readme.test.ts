/** What the README tells its reader to paste is run as it stands there. */
import { spawn } from "node:child_process";
import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { examples } from "../shared/scripts/examples.ts";
import { publishExample } from "../shared/scripts/publishExample.ts";
import { graphql, rawGraphql } from "./support/graphql.ts";
import { bootPlanes, type TestPlanes } from "./support/planes.ts";
import { sendWebhook } from "./support/sendWebhook.ts";
import { temporaryFolder } from "./support/temporaryFolder.ts";

const repository = join(import.meta.dirname, "..");
const newsletter = examples.find(({ name }) => name === "Newsletter")!;

let planes: TestPlanes;
let url: string;

beforeAll(async () => {
  planes = await bootPlanes();
  const instances = await publishExample(planes.api, newsletter);
  const { customer, flow } = newsletter.requests[0]!;
  url = instances.get(customer)!.webhookUrls[flow]!;
}, 60_000);

afterAll(() => planes?.stop());

/** The first block of a language in a section of the README. */
function block(section: string, language: string): string {
  const readme = readFileSync(join(repository, "README.md"), "utf8");
  const [, rest] = readme.split(`\n## ${section}\n`);
  const text = rest?.split("\n## ", 1)[0] ?? "";
  const [, found] = text.split(`\n\`\`\`${language}\n`);
  if (found === undefined) throw new Error(`The README's section "${section}" has no block of ${language}.`);
  return found.split("\n```", 1)[0]!;
}

/** Runs a program in a folder; what it wrote on both of its streams. */
function run(
  command: string,
  parameters: string[],
  options: { cwd: string; environment?: Record<string, string> },
): Promise<{ code: number | null; output: string; errors: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, parameters, {
      cwd: options.cwd,
      env: { PATH: "/usr/local/bin:/usr/bin:/bin", HOME: options.cwd, ...options.environment },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 30_000,
    });
    let output = "";
    let errors = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors += text;
    });
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, output, errors }));
  });
}

test("a key is rotated without downtime, as pasted", { timeout: 40_000 }, async () => {
  const script = block("Rotating a key without downtime", "bash");
  const { code, output, errors } = await run("bash", ["-c", script], {
    cwd: temporaryFolder(),
    environment: { TOKEN: planes.adminToken, CONTROL: planes.controlUrl },
  });
  expect(errors).toBe("");
  expect(code).toBe(0);
  const lines = output.split("\n");
  expect(lines.filter((line) => /: \d{3}$/.test(line))).toEqual([
    "the old key: 200",
    "a sender with the old key: 200",
    "a sender with the new key: 200",
    "the old key after that: 401",
    "the new key after that: 200",
  ]);
  const answers = lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
  expect(answers).toHaveLength(3);
  expect(answers[0].data.instanceFlowConfig.keys.nodes).toHaveLength(2);
  for (const { data } of answers.slice(1)) {
    expect(data.revokeApiKey).toEqual({ apiKey: { status: "REVOKED" }, errors: [] });
  }
  // The example is as it was.
  expect((await sendWebhook(url, { body: { email: "reader@example.com" } })).status).toBe(200);
});

test("a customer's user signs in with a token that jose signed, as pasted", async () => {
  const created = await graphql(
    planes.controlUrl,
    planes.adminToken,
    `mutation {
      createCustomer(input: { name: "Hatters of York", externalId: "hatters-of-york" }) { errors { messages } }
      createOrganizationSigningKey(input: {}) { result { privateKey } errors { messages } }
    }`,
  );
  expect(created.createCustomer.errors).toEqual([]);
  const folder = temporaryFolder();
  writeFileSync(join(folder, "signing-key.pem"), created.createOrganizationSigningKey.result.privateKey);
  writeFileSync(join(folder, "sign.mjs"), block("Access", "js"));
  symlinkSync(join(repository, "node_modules"), join(folder, "node_modules"));
  const { output, errors } = await run(process.execPath, ["sign.mjs"], { cwd: folder });
  expect(errors).toBe("");
  const { data } = await rawGraphql(
    planes.controlUrl,
    output.trim(),
    "{ authenticatedUser { name customer { externalId } } }",
  );
  expect(data).toEqual({ authenticatedUser: { name: "Ann", customer: { externalId: "hatters-of-york" } } });
});

test("the audit log is read as pasted", async () => {
  const { data, errors } = await rawGraphql(planes.controlUrl, planes.adminToken, block("Access", "graphql"));
  expect(errors).toBeUndefined();
  expect(data.auditLog.nodes.map(({ actor }: { actor: string }) => actor)).toEqual(["admin"]);
});
