import { spawn } from "node:child_process";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { openReplicaWriter } from "../data-plane/replica/writer.ts";
import {
  keyFingerprint,
  loadMasterKey,
  masterKeyFile,
  newMasterKey,
  parseMasterKeys,
  readMasterKeys,
  seal,
  sealedPrefix,
  unseal,
  writeMasterKeys,
} from "../shared/secrets.ts";
import { endedExecution } from "./support/executionRecord.ts";
import { graphql } from "./support/graphql.ts";
import { bootDataPlane, bootPlanes, type TestPlanes } from "./support/planes.ts";
import { publishAndDeploy } from "./support/publishAndDeploy.ts";
import { sendWebhook } from "./support/sendWebhook.ts";
import { temporaryFolder } from "./support/temporaryFolder.ts";
import { waitFor } from "./support/waitFor.ts";

const repository = join(import.meta.dirname, "..");

describe("several master keys", () => {
  const [old, fresh, other] = [newMasterKey(), newMasterKey(), newMasterKey()];

  test("the first one seals, each one unseals, another one does not", () => {
    const sealed = seal({ keys: [fresh, old] }, "test", "secret");
    expect(sealed.startsWith(sealedPrefix(keyFingerprint(fresh)))).toBe(true);
    expect(unseal({ keys: [old, fresh] }, "test", sealed).toString()).toBe("secret");
    expect(() => unseal({ keys: [old, other] }, "test", sealed)).toThrow();
    expect(() => unseal({ keys: [fresh] }, "another purpose", sealed)).toThrow();
    expect(() => unseal({ keys: [fresh] }, "test", `${sealed.slice(0, -2)}AA`)).toThrow();
  });

  test("are lines of the file, or a list in the setting", () => {
    const file = masterKeyFile(temporaryFolder());
    writeMasterKeys(file, [
      { key: old, madeAtMs: null },
      { key: fresh, madeAtMs: 1_700_000_000_000 },
    ]);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readMasterKeys({ given: undefined, file })).toEqual([old, fresh]);
    expect(parseMasterKeys(readFileSync(file, "utf8"), file).map(({ madeAtMs }) => madeAtMs)).toEqual([
      null,
      1_700_000_000_000,
    ]);
    const given = `${old.toString("hex")},${fresh.toString("base64")}`;
    expect(loadMasterKey({ given, file, mayCreate: false }).keys).toEqual([old, fresh]);
    writeFileSync(file, "\n");
    expect(() => readMasterKeys({ given: undefined, file })).toThrow(/no master key/);
    writeFileSync(file, `${old.toString("hex")}\nnonsense\n`);
    expect(() => readMasterKeys({ given: undefined, file })).toThrow(/32 bytes/);
  });
});

interface Script {
  output(): string;
  ended: Promise<number | null>;
  kill(): Promise<void>;
}

function startRotation(planes: TestPlanes, environment: Record<string, string> = {}): Script {
  const child = spawn(process.execPath, [join(repository, "shared", "scripts", "rotateMasterKey.ts")], {
    env: {
      ...process.env,
      SWITCHYARD_DATA_DIR: planes.dataDir,
      SWITCHYARD_CONTROL_URL: planes.controlUrl,
      SWITCHYARD_ADMIN_TOKEN: planes.adminToken,
      ...environment,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  return {
    output: () => output,
    ended,
    async kill() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

interface Served {
  planes: TestPlanes;
  key: string;
  urls: Record<string, string>;
  /** What flow code is handed: a config variable and the plain keys. */
  handed(): Promise<{ configVars: Record<string, unknown>; webhookApiKeys: Record<string, string[]> }>;
}

async function bootServed(): Promise<Served> {
  const planes = await bootPlanes();
  const { instances } = await publishAndDeploy(planes, "flow-kinds", ["mk-a"]);
  const { instanceId, webhookUrls } = instances["mk-a"]!;
  const api = (document: string, variables: Record<string, unknown>) =>
    graphql(planes.controlUrl, planes.adminToken, document, variables);
  const { updateInstance } = await api(
    `mutation ($id: ID!) {
      updateInstance(input: { id: $id, configVariables: [{ key: "Greeting", value: "salut" }] }) {
        instance { flowConfigs { nodes { id flow { name } } } } errors { messages }
      }
    }`,
    { id: instanceId },
  );
  expect(updateInstance.errors).toEqual([]);
  await api(`mutation ($id: ID!) { deployInstance(input: { id: $id }) { errors { messages } } }`, {
    id: instanceId,
  });
  const key = "key-that-outlives-the-master-key";
  for (const { id } of updateInstance.instance.flowConfigs.nodes) {
    const { createApiKey } = await api(
      `mutation ($id: ID!, $key: String!) { createApiKey(input: { flowConfig: $id, key: $key }) { errors { messages } } }`,
      { id, key },
    );
    expect(createApiKey.errors).toEqual([]);
  }
  return {
    planes,
    key,
    urls: webhookUrls,
    async handed() {
      const { json } = await sendWebhook(webhookUrls["Context"]!, {
        body: {},
        headers: { "Api-Key": key, "prismatic-synchronous": "true" },
      });
      return json;
    },
  };
}

const linesOf = (planes: TestPlanes) =>
  readMasterKeys({ given: undefined, file: masterKeyFile(planes.dataDir) });

describe("npm run rotate-master-key", () => {
  let served: Served;

  beforeAll(async () => {
    served = await bootServed();
  });
  afterAll(() => served?.planes.stop());

  test("says what to do where it can't work", async () => {
    const { planes } = served;
    const given = startRotation(planes, { SWITCHYARD_MASTER_KEY: newMasterKey().toString("hex") });
    expect(await given.ended).toBe(1);
    expect(given.output()).toContain("set it to OLD,NEW");
    const elsewhere = temporaryFolder();
    const none = startRotation(planes, { SWITCHYARD_DATA_DIR: elsewhere });
    expect(await none.ended).toBe(1);
    expect(none.output()).toContain("There is no");
    writeMasterKeys(masterKeyFile(elsewhere), [{ key: newMasterKey(), madeAtMs: null }]);
    const another = startRotation(planes, { SWITCHYARD_DATA_DIR: elsewhere });
    expect(await another.ended).toBe(1);
    expect(another.output()).toContain("is not where the control plane");
    const refused = startRotation(planes, { SWITCHYARD_ADMIN_TOKEN: "wrong" });
    expect(await refused.ended).toBe(1);
    expect(linesOf(planes)).toHaveLength(1);
    // A file without the key that is needed is not taken up.
    const file = masterKeyFile(planes.dataDir);
    const kept = readFileSync(file);
    writeMasterKeys(file, [{ key: newMasterKey(), madeAtMs: null }]);
    const { reloadMasterKeys } = await graphql(
      planes.controlUrl,
      planes.adminToken,
      "mutation { reloadMasterKeys(input: {}) { errors { messages } } }",
    );
    expect(reloadMasterKeys.errors[0].messages[0]).toContain("put the key that is missing back");
    writeFileSync(file, kept);
  }, 60_000);

  test("a data plane that was away meanwhile, and has the new key now, asks for everything anew", async () => {
    const { planes, handed } = served;
    await planes.data.stop();
    const replica = openReplicaWriter({
      folder: join(planes.dataDir, "data-plane", "replica"),
      warn: () => {},
    });
    const { epoch, version } = replica.state();
    const wrappedPepper = seal(
      { keys: [newMasterKey()] },
      "pepper",
      "sealed under a key that nobody has any more",
    );
    const delta = replica.beginDelta();
    const organization = { id: "any", name: "Any" };
    delta.add([{ kind: "settings", id: "settings", version, data: { organization, wrappedPepper } }]);
    await delta.commit({ epoch, version });
    replica.close();
    await planes.data.start();
    expect(planes.data.log()).toContain("asked for anew");
    expect(await handed()).toMatchObject({ configVars: { Greeting: "salut" } });
  });

  test("seals everything anew while both planes run, and no webhook is refused", async () => {
    const { planes, key, urls, handed } = served;
    const [old] = linesOf(planes);
    // Accepted under the old key, and finished under the new one's rule.
    const slow = await sendWebhook(urls["Slow"]!, { body: { waitMs: 5000 }, headers: { "Api-Key": key } });
    const statuses = new Set<number>();
    let isStopped = false;
    const sending = (async () => {
      while (!isStopped) {
        statuses.add((await sendWebhook(urls["Echo"]!, { body: {}, headers: { "Api-Key": key } })).status);
        await sleep(5);
      }
    })();
    const script = startRotation(planes);
    expect(await script.ended, script.output()).toBe(0);
    await sleep(1500);
    isStopped = true;
    await sending;
    expect([...statuses]).toEqual([200]);
    expect((await endedExecution(planes, slow.executionId!)).status).toBe("SUCCEEDED");
    expect(script.output()).toContain("finishes webhooks that it accepted under the old key");

    const [fresh, ...more] = linesOf(planes);
    expect(more).toEqual([]);
    expect(fresh!.equals(old!)).toBe(false);
    expect(statSync(masterKeyFile(planes.dataDir)).mode & 0o777).toBe(0o600);
    expect(script.output()).not.toContain(fresh!.toString("hex"));
    expect(await handed()).toMatchObject({
      configVars: { Greeting: "salut" },
      webhookApiKeys: { Echo: [key] },
    });
    // Nothing in the database's files is sealed under the old key.
    for (const suffix of ["", "-wal"]) {
      const bytes = readFileSync(join(planes.dataDir, "control", `config.db${suffix}`));
      expect(bytes.includes(sealedPrefix(keyFingerprint(old!)))).toBe(false);
    }
    // And a start needs the new key, and nothing else.
    await planes.data.stop();
    await planes.control.stop();
    writeMasterKeys(masterKeyFile(planes.dataDir), [{ key: old!, madeAtMs: null }]);
    await expect(planes.control.start()).rejects.toThrow(/master key is not the one/);
    writeMasterKeys(masterKeyFile(planes.dataDir), [{ key: fresh!, madeAtMs: null }]);
    await planes.control.start();
    await planes.data.start();
    expect(await handed()).toMatchObject({
      configVars: { Greeting: "salut" },
      webhookApiKeys: { Echo: [key] },
    });
  }, 60_000);

  test("waits for a data plane with a key of its own, goes on after it was cut short", async () => {
    const { planes, handed } = served;
    const far = await bootDataPlane(planes, { name: "far-away" });
    onTestFinished(() => far.stop());
    const script = startRotation(planes);
    await waitFor(() => script.output().includes("far-away does not hold the key"));
    expect(script.output()).not.toContain("data-plane-1 does not hold the key");
    expect(linesOf(planes)).toHaveLength(2);
    await script.kill();
    const [old] = linesOf(planes);
    const reseal = await graphql(
      planes.controlUrl,
      planes.adminToken,
      "mutation { resealSecrets(input: {}) { isDone errors { messages } } }",
    );
    expect(reseal.resealSecrets).toMatchObject({ isDone: true, errors: [] });
    expect(await handed()).toMatchObject({ configVars: { Greeting: "salut" } });

    await far.kill();
    const keys = linesOf(planes).map((line) => line.toString("hex"));
    const again = await bootDataPlane(planes, {
      name: "far-away-again",
      environment: { SWITCHYARD_MASTER_KEY: keys.join(",") },
    });
    onTestFinished(() => again.stop());
    const second = startRotation(planes);
    await waitFor(() => second.output().includes("far-away was here within the last week"), 15_000);
    expect(second.output()).toContain("A rotation is under way");
    // All is sealed under the new key; the old one stays until the last has come back.
    expect(linesOf(planes)).toHaveLength(2);
    expect(linesOf(planes)[1]!.equals(old!)).toBe(true);
    expect(await handed()).toMatchObject({ configVars: { Greeting: "salut" } });
    await second.kill();
  }, 60_000);
});
