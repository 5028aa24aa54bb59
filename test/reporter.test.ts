/** What the reporter says of itself while events come in quick succession. */
import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { expect, test } from "vitest";
import type { StoredReport } from "../data-plane/journal/journal.ts";
import { startReporter } from "../data-plane/reporter.ts";
import { waitFor } from "./support/waitFor.ts";

test("an event that waits is seen as lag, also right after one that was confirmed", async () => {
  const waiting: StoredReport[] = [];
  let isAway = false;
  const reporter = startReporter({
    logger: pino({ level: "silent" }),
    makesWay: () => false,
    journal: {
      reports: () => waiting.splice(0),
      confirm() {},
      putBack: (reports) => void waiting.push(...reports),
    },
    async send(events) {
      if (isAway) throw new Error("The control plane is away.");
      return { confirmed: (events as StoredReport[]).map(({ key }) => key), problems: [] };
    },
  });
  const add = (key: string) => {
    waiting.push({ key, json: "{}" } as StoredReport);
    reporter.notify();
  };
  try {
    add("first");
    await reporter.flush(5_000);
    expect(reporter.stats()).toMatchObject({ confirmed: 1, lagMs: 0 });
    isAway = true;
    add("second");
    await waitFor(() => reporter.stats().failures > 0);
    await sleep(5);
    expect(reporter.stats().lagMs).toBeGreaterThan(0);
    isAway = false;
    await waitFor(() => reporter.stats().confirmed === 2);
    expect(reporter.stats().lagMs).toBe(0);
  } finally {
    await reporter.stop();
  }
});
