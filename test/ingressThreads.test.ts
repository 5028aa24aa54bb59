import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { type IngressThreads, startIngressThreads } from "../data-plane/ingressThreads.ts";
import { newJournalBounds } from "../data-plane/journal/bounds.ts";
import { openReplicaWriter } from "../data-plane/replica/writer.ts";
import { readConfig } from "../shared/config.ts";
import { ConfigurationError } from "../shared/errors.ts";
import type { RejectionEvent } from "../shared/reports.ts";
import { newPepper } from "../shared/secrets.ts";
import { temporaryFolder } from "./support/temporaryFolder.ts";
import { waitFor } from "./support/waitFor.ts";

/** Ingress threads alone, on a replica with nothing in it. */
async function start(environment: Record<string, string> = {}) {
  const folder = temporaryFolder();
  const [replicaFolder, journalFolder] = [join(folder, "replica"), join(folder, "journal")];
  for (const each of [replicaFolder, journalFolder]) mkdirSync(each);
  const replica = openReplicaWriter({ folder: replicaFolder, warn: () => {} });
  onTestFinished(() => replica.close());
  const rejections: RejectionEvent[] = [];
  const threads = await startIngressThreads({
    config: readConfig({ SWITCHYARD_INGRESS_PORT: "0", ...environment }),
    journalFolder,
    journalBounds: newJournalBounds({ entriesMax: 1000, bytesMax: 1e9 }),
    replicaFolder,
    resultsFolder: join(folder, "results"),
    replica: replica.state(),
    pepper: null,
    currentAtMs: null,
    onSynced: () => {},
    onRejections: (events) => void rejections.push(...events),
    onKeyUse: () => {},
    onAnswered: () => {},
    onNotice: () => {},
    onDamagedReplica: () => {},
    metrics: async () => "up 1\n",
    onFatal: (error) => {
      throw error;
    },
  });
  let closing: Promise<void> | null = null;
  const close = () => {
    closing ??= threads.close();
    return closing;
  };
  onTestFinished(close);
  const url = `http://127.0.0.1:${threads.port}`;
  return { threads, url, rejections, close, makeReady: () => threads.refresh(replica.state(), newPepper()) };
}

const statusOf = async (url: string, headers: Record<string, string> = {}) =>
  (await fetch(url, { headers: { connection: "close", ...headers } })).status;
const requestsOf = async (threads: IngressThreads) => (await threads.stats()).map(({ requests }) => requests);

test("two threads share one port, which nobody else can take meanwhile", async () => {
  const { threads, url, makeReady, close, rejections } = await start({ SWITCHYARD_INGRESS_THREADS: "2" });
  expect(await statusOf(`${url}/trigger/nowhere`)).toBe(503);
  expect(await statusOf(`${url}/readyz`)).toBe(503);
  await makeReady();
  const readiness = await Promise.all(Array.from({ length: 8 }, () => statusOf(`${url}/readyz`)));
  expect(readiness).toEqual(Array(8).fill(200));
  for (let sent = 0; sent < 8; sent++) expect(await statusOf(`${url}/trigger/nowhere`)).toBe(404);
  const requests = await requestsOf(threads);
  expect(requests.length).toBe(2);
  expect(requests.every((count) => count > 0)).toBe(true);
  await waitFor(async () => rejections.reduce((sum, { count }) => sum + count, 0) === 8, 5_000);
  await expect(start({ SWITCHYARD_INGRESS_PORT: String(threads.port) })).rejects.toThrow(ConfigurationError);
  await expect(
    start({ SWITCHYARD_INGRESS_PORT: String(threads.port), SWITCHYARD_INGRESS_THREADS: "2" }),
  ).rejects.toThrow(ConfigurationError);
  threads.startDraining();
  expect(await statusOf(`${url}/trigger/nowhere`)).toBe(503);
  await close();
  await expect(statusOf(`${url}/healthz`)).rejects.toThrow();
});

test("/metrics is for this machine, and for who has the token; not for what came through a proxy", async () => {
  const { url } = await start({ SWITCHYARD_METRICS_TOKEN: "sesame" });
  const answer = await fetch(`${url}/metrics`);
  expect([answer.status, await answer.text()]).toEqual([200, "up 1\n"]);
  const proxied = { "x-forwarded-for": "192.0.2.1" };
  expect(await statusOf(`${url}/metrics`, proxied)).toBe(401);
  expect(await statusOf(`${url}/metrics`, { ...proxied, authorization: "Bearer wrong" })).toBe(401);
  expect(await statusOf(`${url}/metrics`, { ...proxied, authorization: "Bearer sesame" })).toBe(200);
  const without = await start();
  expect(await statusOf(`${without.url}/metrics`, { ...proxied, authorization: "Bearer undefined" })).toBe(
    401,
  );
});
