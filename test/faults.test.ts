/** A control plane that is away for long, and a flow that blocks its thread for ever. */
import { describe, expect, test } from "vitest";
import { restartWith, siteOfFile } from "./crash/siteOfFile.ts";
import { besiege, everyExecution, expectRefusals } from "./faults/siege.ts";
import { endedExecution, executionRecord } from "./support/executionRecord.ts";
import { metricNames, readMetrics } from "./support/metrics.ts";
import { sendWebhook } from "./support/sendWebhook.ts";
import { waitFor } from "./support/waitFor.ts";

const entriesMax = 150;
const site = siteOfFile({ SWITCHYARD_JOURNAL_ENTRIES_MAX: String(entriesMax) });

describe("a control plane that is away while the journal fills to its bound", () => {
  test("in count: 503 with Retry-After from then on, and all is reported once it is back", async () => {
    const { planes } = site;
    await besiege(site, {
      begin: () => planes.control.kill(),
      async during(load) {
        await waitFor(() => load.refused.length > 200, 60_000);
        await expectRefusals(everyExecution(site), "JOURNAL_FULL");
        const entries = (await readMetrics(planes.data.url))?.value(metricNames.journalEntries);
        if (entries !== undefined) expect(entries).toBeLessThanOrEqual(entriesMax);
      },
      end: () => planes.control.start(),
    });
  }, 150_000);

  test("in bytes: the same", async () => {
    const bytesMax = 4 * 1024 * 1024;
    await restartWith(site, {
      SWITCHYARD_JOURNAL_ENTRIES_MAX: "100000",
      SWITCHYARD_JOURNAL_BYTES_MAX: String(bytesMax),
    });
    const { planes } = site;
    const bulky = () => site.bulky(200_000);
    await besiege(site, {
      nextShot: bulky,
      begin: () => planes.control.kill(),
      async during(load) {
        await waitFor(() => load.refused.length > 100, 60_000);
        await expectRefusals([bulky(), bulky(), bulky()], "JOURNAL_FULL");
        const bytes = (await readMetrics(planes.data.url))?.value(metricNames.journalBytes);
        // What was accepted gets its record whatever the bound says: the request as base64, and what its steps gave.
        if (bytes !== undefined) expect(bytes).toBeLessThanOrEqual(4 * bytesMax);
      },
      end: () => planes.control.start(),
    });
  }, 150_000);
});

describe("a flow that blocks its thread for ever", () => {
  const counted = 60;
  /** What was handed to the thread before it was blocked waits with it: no more than it runs at once. */
  const runsPerThread = 4;

  test("slows neither the ingress nor other flows: they begin and end while it spins", async () => {
    // Long enough that everything below happens before its thread is taken from it.
    await restartWith(site, {
      SWITCHYARD_JOURNAL_BYTES_MAX: String(1024 ** 3),
      SWITCHYARD_RUN_BLOCKED_TIMEOUT_MS: "10000",
      SWITCHYARD_RUNS_PER_THREAD_MAX: String(runsPerThread),
    });
    const { planes, ledger } = site;
    const calm = await runEach(counted);
    await endOf(calm.ids, counted);
    const spinner = site.deadlyBy("spin");
    const spinning = await sendWebhook(spinner.url, spinner);
    await waitFor(() => ledger.starts().has(spinning.executionId!), 30_000);
    const beside = await runEach(counted);
    await endOf(beside.ids, counted - runsPerThread);
    // Nothing waited for the spinning run's end: it has not ended yet.
    expect((await executionRecord(planes, spinning.executionId!))?.endedAt ?? null).toBeNull();
    // The same work in the same run, and a stop of the ingress would be a thousand times as long.
    expect(beside.medianMs).toBeLessThan(calm.medianMs * 50);
    expect(await endedExecution(planes, spinning.executionId!, 90_000)).toMatchObject({
      status: "FAILED",
      errorCode: "RUN_BLOCKED_THREAD",
    });
    const replaced = (await readMetrics(planes.data.url))?.value(metricNames.threadsReplaced);
    if (replaced !== undefined) expect(replaced).toBeGreaterThan(0);
    await endOf(beside.ids, counted);
  }, 180_000);

  /** Posts to another instance, one after the other. The median is of what their senders waited. */
  async function runEach(count: number): Promise<{ ids: Set<string>; medianMs: number }> {
    const waitedMs: number[] = [];
    const ids = new Set<string>();
    for (let n = 0; n < count; n++) {
      const { url, body, headers } = site.routed();
      const beganMs = performance.now();
      const answer = await sendWebhook(url, { body, headers });
      waitedMs.push(performance.now() - beganMs);
      expect(answer.status).toBe(200);
      ids.add(answer.executionId!);
    }
    return { ids, medianMs: waitedMs.sort((one, other) => one - other)[Math.floor(count / 2)]! };
  }

  /** Waits until so many of these have ended, by what they noted. */
  async function endOf(ids: Set<string>, count: number): Promise<void> {
    await waitFor(() => {
      const ended = site.ledger.lines().filter(({ what }) => what === "ended");
      return ended.filter(({ executionId }) => ids.has(executionId)).length >= count;
    }, 60_000);
  }
});
