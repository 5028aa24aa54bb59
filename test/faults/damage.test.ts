/** A journal whose bytes were spoilt: kept aside and reported, and every other webhook in it is recovered. */
import { closeSync, openSync, readdirSync, readFileSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { siteOfFile } from "../crash/siteOfFile.ts";
import { endedExecution, executionRecord } from "../support/executionRecord.ts";
import { metricNames, readMetrics } from "../support/metrics.ts";
import { sendWebhook } from "../support/sendWebhook.ts";

const accepted = 60;
const site = siteOfFile();
const journalFolder = (): string => join(site.planes.dataDir, "data-plane", "journal");

interface Kept {
  id: string;
  /** Stands in its body only, so that its record can be found in the journal's files. */
  marker: string;
}

/** Webhooks that are accepted and do not run: all of them are in the journal when the process is killed. */
async function fillJournal(): Promise<Kept[]> {
  const { data } = site.planes;
  await data.stop();
  await data.start({ SWITCHYARD_RUN_THREADS: "0" });
  const kept: Kept[] = [];
  for (let n = 0; n < accepted; n++) {
    const { url, body, headers } = site.lasting(1);
    const marker = `marker-${crypto.randomUUID()}`;
    // Longer than a block, so that a record that is cut off has a beginning that was written.
    const answer = await sendWebhook(url, {
      body: { ...body, marker, filling: marker.repeat(150) },
      headers,
    });
    expect(answer.status).toBe(200);
    kept.push({ id: answer.executionId!, marker });
  }
  await data.kill();
  return kept;
}

test.for<[string, number[], (file: string, at: number) => void]>([
  ["in the middle", [20, 21, 40], flipBytes],
  ["at its end, as by a write that was cut off", [accepted - 1], zeroFrom],
])("a journal spoilt %s", { timeout: 120_000 }, async ([, victims, harm]) => {
  const { planes } = site;
  const kept = await fillJournal();
  const asideBefore = keptAside();
  for (const victim of victims) {
    const { file, at } = find(kept[victim]!.marker);
    harm(file, at);
  }
  const logBefore = planes.data.log().length;
  await planes.data.start({ SWITCHYARD_RUN_THREADS: "2" });
  for (const [index, { id }] of kept.entries()) {
    if (victims.includes(index)) continue;
    expect(await endedExecution(planes, id, 60_000), id).toMatchObject({ status: "SUCCEEDED", error: null });
  }
  for (const victim of victims) expect(await executionRecord(planes, kept[victim]!.id)).toBeNull();
  expect(keptAside().length).toBeGreaterThan(asideBefore.length);
  expect(planes.data.log().slice(logBefore)).toMatch(/damaged/);
  const metrics = await readMetrics(planes.data.url);
  if (metrics !== null) expect(metrics.value(metricNames.journalDamaged)).toBeGreaterThan(0);
  const { url, body, headers } = site.lasting(1);
  const answer = await sendWebhook(url, { body, headers });
  expect((await endedExecution(planes, answer.executionId!)).status).toBe("SUCCEEDED");
});

/** What was kept aside so far. */
function keptAside(): string[] {
  try {
    return readdirSync(join(journalFolder(), "damaged"));
  } catch {
    return [];
  }
}

function find(marker: string): { file: string; at: number } {
  const journal = journalFolder();
  for (const name of readdirSync(journal, { recursive: true, encoding: "utf8" })) {
    const file = join(journal, name);
    if (name.startsWith("damaged") || !statSync(file).isFile()) continue;
    const at = readFileSync(file).indexOf(marker);
    if (at >= 0) return { file, at };
  }
  throw new Error(`Nothing in ${journal} holds ${marker}.`);
}

function flipBytes(file: string, at: number): void {
  const bytes = readFileSync(file).subarray(at, at + 16);
  overwrite(file, at, Buffer.from(bytes.map((byte) => byte ^ 0x55)));
}

/** From the middle of the record on: behind it nothing was ever written. */
function zeroFrom(file: string, at: number): void {
  const from = at + 2_500;
  overwrite(file, from, Buffer.alloc(Math.min(statSync(file).size - from, 16_384)));
}

function overwrite(file: string, at: number, bytes: Uint8Array): void {
  const descriptor = openSync(file, "r+");
  writeSync(descriptor, bytes, 0, bytes.length, at);
  closeSync(descriptor);
}
