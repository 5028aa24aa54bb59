/** Runs that are slower than arrivals: the journal's bounds, and who gets the slots that there are. */
import { beforeAll, describe, expect, test } from "vitest";
import type { Shot } from "./crash/site.ts";
import { restartWith, siteOfFile } from "./crash/siteOfFile.ts";
import { besiege } from "./faults/siege.ts";
import { type LedgerLine, mostAtOnce } from "./support/ledger.ts";
import { type MetricName, metricNames, readMetrics } from "./support/metrics.ts";
import { sendWebhook } from "./support/sendWebhook.ts";
import { waitFor } from "./support/waitFor.ts";

const entriesMax = 40;
const site = siteOfFile({ SWITCHYARD_JOURNAL_ENTRIES_MAX: String(entriesMax) });

/** Sends all of them, some at a time; each must be accepted. Their executions' ids. */
async function sendAll(shots: Shot[], atOnce = 20): Promise<string[]> {
  const ids: string[] = [];
  const rest = shots.values();
  const sender = async () => {
    for (const { url, body, headers } of rest) {
      const answer = await sendWebhook(url, { body, headers });
      expect([answer.status, answer.text]).toEqual([200, expect.any(String)]);
      ids.push(answer.executionId!);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, sender));
  return ids;
}

const times = (count: number, shot: () => Shot): Shot[] => Array.from({ length: count }, shot);
const linesOf = (ids: Set<string>): LedgerLine[] =>
  site.ledger.lines().filter(({ executionId }) => ids.has(executionId));
const endedOf = (ids: Set<string>): number => linesOf(ids).filter(({ what }) => what === "ended").length;

describe("arrivals faster than runs", () => {
  const gauge = async (name: MetricName) => (await readMetrics(site.planes.data.url))?.value(name);

  test("fill the journal to its bound in count: 503 with Retry-After, and there is room again as runs end", async () => {
    let most = 0;
    const load = await besiege(site, {
      nextShot: () => site.lasting(1_500),
      async begin() {},
      async during(load) {
        await sendBeyond(load.refused, 60, entriesMax, 1_500);
        most = (await gauge(metricNames.journalEntries)) ?? 0;
        // The senders go on: what is taken now is more than ever was in it at once.
        await waitFor(() => load.promised.length > 2 * entriesMax, 60_000);
      },
      async end() {},
    });
    expect(new Set(load.refused)).toEqual(new Set(["JOURNAL_FULL"]));
    expect(most).toBeLessThanOrEqual(entriesMax);
  }, 150_000);

  test("fill it to its bound in bytes: the same", async () => {
    const bytesMax = 3 * 1024 * 1024;
    await restartWith(site, {
      SWITCHYARD_JOURNAL_ENTRIES_MAX: "100000",
      SWITCHYARD_JOURNAL_BYTES_MAX: String(bytesMax),
    });
    let most = 0;
    const load = await besiege(site, {
      nextShot: () => slowAndBulky(),
      async begin() {},
      async during(load) {
        await waitFor(() => load.refused.length > 30, 60_000);
        most = (await gauge(metricNames.journalBytes)) ?? 0;
        await waitFor(() => load.promised.length > 40, 60_000);
      },
      async end() {},
    });
    expect(new Set(load.refused)).toEqual(new Set(["JOURNAL_FULL"]));
    // What was accepted gets its record whatever the bound says: the request as base64, and what its steps gave.
    expect(most).toBeLessThanOrEqual(4 * bytesMax);
  }, 150_000);

  const slowAndBulky = (): Shot => {
    const shot = site.bulky(240_000);
    return { ...shot, body: { ...shot.body, waitMs: 1_000 } };
  };

  /** Posts beside the load until so many were refused: few senders alone wait for each other too politely. */
  async function sendBeyond(
    refused: string[],
    wanted: number,
    atOnce: number,
    waitMs: number,
  ): Promise<void> {
    while (refused.length < wanted) {
      const { url, body, headers } = site.lasting(waitMs);
      const answers = await Promise.all(
        Array.from({ length: atOnce }, () => sendWebhook(url, { body, headers })),
      );
      for (const { status } of answers) expect([200, 503]).toContain(status);
    }
  }
});

describe("one customer's flood", () => {
  const flooding = 300;
  const slots = 4;

  // One narrow thread.
  beforeAll(() =>
    restartWith(site, {
      SWITCHYARD_JOURNAL_ENTRIES_MAX: "100000",
      SWITCHYARD_JOURNAL_BYTES_MAX: String(1024 ** 3),
      SWITCHYARD_RUN_THREADS: "1",
      SWITCHYARD_RUNS_PER_THREAD_MAX: String(slots),
    }),
  );

  test.for<[string, () => Shot]>([
    ["of an instance's URL", () => site.lasting(40)],
    ["of a shared URL, whose routing is not known before it ran", () => site.sharedLasting(40)],
  ])("%s does not starve another customer's webhook", { timeout: 180_000 }, async ([, flood]) => {
    const flooded = new Set(await sendAll(times(flooding, flood)));
    const [other] = await sendAll([site.routed()], 1);
    const endedBefore = endedOf(flooded);
    await waitFor(() => endedOf(new Set([other!])) === 1, 60_000);
    const lines = site.ledger.lines();
    const at = lines.findIndex(({ executionId, what }) => executionId === other && what === "ended");
    const floodEndedBy = lines
      .slice(0, at)
      .filter(({ executionId, what }) => what === "ended" && flooded.has(executionId)).length;
    // Else the flood was over before it could starve anybody.
    expect(flooding - floodEndedBy).toBeGreaterThan(100);
    // Its turn came within a few rounds of the slots, not behind the flood.
    expect(floodEndedBy - endedBefore).toBeLessThan(10 * slots);
    await waitFor(() => endedOf(flooded) === flooding, 90_000);
  });
});

test("no instance has more runs at once than its limit, and each has its own", async () => {
  const limit = 3;
  await restartWith(site, {
    SWITCHYARD_JOURNAL_ENTRIES_MAX: "100000",
    SWITCHYARD_JOURNAL_BYTES_MAX: String(1024 ** 3),
    SWITCHYARD_RUN_THREADS: "2",
    SWITCHYARD_RUNS_PER_THREAD_MAX: "16",
    SWITCHYARD_INSTANCE_RUNS_MAX: String(limit),
  });
  const one = () => site.lasting(40);
  const other = () => ({ ...site.routed(), body: { ...site.routed().body, waitMs: 40 } });
  const [ofOne, ofOther] = await Promise.all([sendAll(times(90, one)), sendAll(times(90, other))]);
  const all = [new Set(ofOne), new Set(ofOther)];
  await waitFor(() => all.every((ids) => endedOf(ids) === 90), 60_000);
  for (const ids of all) expect(mostAtOnce(linesOf(ids))).toBe(limit);
  expect(mostAtOnce(site.ledger.lines())).toBeGreaterThan(limit);
}, 120_000);
