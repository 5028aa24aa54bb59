import { copyFile, rename, writeFile } from "node:fs/promises";
import { Agent, get, request } from "node:https";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { TLSSocket } from "node:tls";
import { generate } from "selfsigned";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type PlaneName, type PlaneProcess, spawnPlane } from "../shared/scripts/planeProcess.ts";
import { newTemporaryFolder, removeFolder } from "./support/temporaryFolder.ts";
import { waitFor } from "./support/waitFor.ts";

/** Both planes with certificates of their own, which are replaced while they run. */
interface Pair {
  cert: string;
  private: string;
}

const adminToken = "admin-token-of-the-tls-test";
const folder = newTemporaryFolder();
const file = (name: string): string => join(folder, name);
const certFile = file("server.crt");
const keyFile = file("server.key");
let authority: Pair;
let control: PlaneProcess;
let data: PlaneProcess;
let log = "";

const pairOf = (commonName: string, more: object = {}): Promise<Pair> =>
  generate([{ name: "commonName", value: commonName }], {
    keyType: "ec",
    algorithm: "sha256",
    extensions: [
      { name: "basicConstraints", cA: commonName === "authority" },
      { name: "keyUsage", digitalSignature: true, keyCertSign: commonName === "authority" },
      { name: "subjectAltName", altNames: [{ type: 7, ip: "127.0.0.1" }] },
    ],
    ...more,
  });

const signedPair = (commonName: string): Promise<Pair> =>
  pairOf(commonName, { ca: { key: authority.private, cert: authority.cert } });

/** Each file is replaced as a whole, one after the other, as certificate tools do. */
async function install(pair: Pair): Promise<void> {
  for (const [target, text] of [
    [certFile, pair.cert],
    [keyFile, pair.private],
  ] as const) {
    await writeFile(`${target}.new`, text);
    await rename(`${target}.new`, target);
  }
}

const environment = (more: Record<string, string> = {}): Record<string, string> => ({
  SWITCHYARD_DATA_DIR: file("data"),
  SWITCHYARD_HOST: "127.0.0.1",
  SWITCHYARD_CONTROL_PORT: "0",
  SWITCHYARD_INGRESS_PORT: "0",
  SWITCHYARD_ADMIN_TOKEN: adminToken,
  SWITCHYARD_LOG_LEVEL: "warn",
  SWITCHYARD_CONTROL_TLS_CERT_FILE: certFile,
  SWITCHYARD_CONTROL_TLS_KEY_FILE: keyFile,
  SWITCHYARD_INGRESS_TLS_CERT_FILE: certFile,
  SWITCHYARD_INGRESS_TLS_KEY_FILE: keyFile,
  NODE_EXTRA_CA_CERTS: file("authority.crt"),
  ...more,
});

const spawn = (name: PlaneName, more: Record<string, string> = {}): PlaneProcess =>
  spawnPlane(name, {
    environment: environment(more),
    stderr: (text) => {
      log += text;
    },
  });

interface Answer {
  status: number;
  headers: Record<string, unknown>;
  text: string;
  /** Whose certificate was shown. */
  commonName: string;
}

interface Call {
  agent?: Agent;
  method?: string;
  body?: string;
  headers?: Record<string, string>;
}

const call = (url: string, { agent, method = "GET", body, headers = {} }: Call = {}): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const options = { ca: authority.cert, agent: agent ?? false, method, headers };
    const sent = request(url, options, (response) => {
      const { subject } = (response.socket as TLSSocket).getPeerCertificate();
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          text,
          commonName: String(subject.CN),
        }),
      );
    });
    sent.on("error", reject).end(body);
  });

const shown = async (plane: PlaneProcess): Promise<string> => (await call(`${plane.url}/healthz`)).commonName;

beforeAll(async () => {
  authority = await pairOf("authority");
  await writeFile(file("authority.crt"), authority.cert);
  await install(await signedPair("first"));
  control = spawn("control-plane");
  await control.listening;
  data = spawn("data-plane", { SWITCHYARD_CONTROL_URL: control.url });
  await data.listening;
  await waitFor(async () => (await call(`${data.url}/readyz`)).status === 200);
});
afterAll(async () => {
  await data?.stop(15_000);
  await control?.stop(15_000);
  removeFolder(folder);
});

describe("both planes over TLS", () => {
  test("say so in their addresses, reach each other, and send the headers of it", async () => {
    expect(control.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    expect(data.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    const query = await call(`${control.url}/api`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${adminToken}` },
      body: JSON.stringify({ query: "{ authenticatedUser { name } }" }),
    });
    const webhook = await call(`${data.url}/trigger/nothing-here`, { method: "POST", body: "{}" });
    expect([query.status, webhook.status]).toEqual([200, 404]);
    for (const answer of [query, webhook, await call(`${data.url}/healthz`)]) {
      expect(answer.headers).toMatchObject({
        "x-content-type-options": "nosniff",
        "strict-transport-security": "max-age=31536000",
      });
      expect(answer.commonName).toBe("first");
    }
  });

  test("take over a new certificate without losing a connection", async () => {
    const agents = [control, data].map(() => new Agent({ keepAlive: true, maxSockets: 1 }));
    const kept = (index: number) => call(`${[control, data][index]!.url}/healthz`, { agent: agents[index]! });
    expect([(await kept(0)).commonName, (await kept(1)).commonName]).toEqual(["first", "first"]);
    let isRunning = true;
    const seen = new Map<string, number>();
    const senders = [control, data, data].map(async (plane) => {
      while (isRunning) {
        const commonName = await shown(plane);
        seen.set(commonName, (seen.get(commonName) ?? 0) + 1);
      }
    });
    for (const name of ["second", "third"]) {
      await install(await signedPair(name));
      await waitFor(async () => (await shown(control)) === name && (await shown(data)) === name);
      // Connections that are open stay open, on the certificate that they began with.
      for (const index of [0, 1]) {
        const answer = await kept(index);
        expect(answer.status).toBe(200);
        // The control plane closes what was idle for five seconds, which this may be on a slow machine.
        if (index === 1) expect(answer.commonName).toBe("first");
      }
    }
    isRunning = false;
    // A connection that failed would have ended its sender.
    await Promise.all(senders);
    expect([...seen.keys()].sort()).toEqual(["first", "second", "third"]);
    for (const agent of agents) agent.destroy();
  });

  test("keep the last certificate, and warn, while the files can't be used", async () => {
    const last = await shown(data);
    await copyFile(certFile, file("kept.crt"));
    const warnings = () => log.split("\n").filter((line) => line.includes("the last certificate stays"));
    await writeFile(certFile, "-----BEGIN CERTIFICATE-----\nnonsense\n");
    await waitFor(() => warnings().length === 2);
    expect([await shown(control), await shown(data)]).toEqual([last, last]);
    // A key that belongs to another certificate.
    await copyFile(file("kept.crt"), certFile);
    await writeFile(keyFile, (await signedPair("other")).private);
    await waitFor(() => warnings().length === 4);
    expect([await shown(control), await shown(data)]).toEqual([last, last]);
    // Warned of once each.
    await sleep(2_500);
    expect(warnings().length).toBe(4);
    await install(await signedPair("last"));
    await waitFor(async () => (await shown(control)) === "last" && (await shown(data)) === "last");
  });
});

describe("a plane that can't have its certificate", () => {
  const otherData = { SWITCHYARD_DATA_DIR: file("other-data") };

  async function startOf(
    name: PlaneName,
    more: Record<string, string>,
  ): Promise<{ code: unknown; said: string }> {
    let said = "";
    const plane = spawnPlane(name, {
      environment: environment({ ...otherData, ...more }),
      stderr: (text) => {
        said += text;
      },
    });
    plane.listening.catch(() => {});
    return { code: await plane.ended, said: said.trim() };
  }

  test.each(["control-plane", "data-plane"] as const)(
    "ends the start of the %s with one sentence",
    async (name) => {
      const plane = name === "control-plane" ? "CONTROL" : "INGRESS";
      const missing = await startOf(name, { [`SWITCHYARD_${plane}_TLS_CERT_FILE`]: file("nothing.crt") });
      expect(missing.code).toBe(1);
      expect(missing.said).toMatch(/^The TLS certificate \S+nothing\.crt can't be read: .+\.$/);
      await writeFile(file("bad.crt"), "nonsense");
      const bad = await startOf(name, { [`SWITCHYARD_${plane}_TLS_CERT_FILE`]: file("bad.crt") });
      expect(bad.code).toBe(1);
      expect(bad.said).toMatch(/^The TLS files \S+bad\.crt and \S+ can't be used: .+\.$/);
      const half = await startOf(name, { [`SWITCHYARD_${plane}_TLS_KEY_FILE`]: "" });
      expect(half).toEqual({
        code: 1,
        said: `SWITCHYARD_${plane}_TLS_CERT_FILE and SWITCHYARD_${plane}_TLS_KEY_FILE must be set together.`,
      });
    },
  );
});

test("a connection without TLS is no way in", async () => {
  const plain = data.url.replace("https:", "http:");
  await expect(fetch(`${plain}/healthz`, { signal: AbortSignal.timeout(5_000) })).rejects.toThrow();
  await expect(
    new Promise((resolve, reject) =>
      get(`${data.url}/healthz`, { agent: false }, resolve).on("error", reject),
    ),
  ).rejects.toThrow(/certificate/);
});
