/** The entries that follow from an event: made once each, also where the journal has no room for all, and after a crash. */
import { pino } from "pino";
import { expect, onTestFinished, test } from "vitest";
import { createFanOuts, type FanOut, fanOutMember } from "../data-plane/fanOut.ts";
import type { PendingEntry } from "../data-plane/journal/journal.ts";
import { startReporter } from "../data-plane/reporter.ts";
import { newId } from "../shared/ids.ts";
import { endEntry, metaOf, openTestJournal, type TestJournal } from "./support/journals.ts";
import { temporaryFolder } from "./support/temporaryFolder.ts";
import { waitFor } from "./support/waitFor.ts";

const logger = pino({ level: "silent" });

const fanOutOf = (id: string, count: number): FanOut => ({
  meta: metaOf(id),
  body: null,
  queueKey: null,
  rootId: id,
  page: 0,
  endedAtMs: 1_700_000_000_000,
  batches: {
    batchJsons: Array.from({ length: count }, (_, index) => JSON.stringify({ text: `"fanOut":"${index}` })),
    paginationStateJson: null,
    isDeploy: false,
    concurrentBatchLimit: null,
    branch: null,
  },
});

const endedWith = (id: string, fanOut: FanOut): string =>
  `{"kind":"execution","id":"${id}","finish":{"status":"SUCCEEDED"}${fanOutMember(JSON.stringify(fanOut))}}`;

/** Ends the parent of a fan-out in this journal. */
async function endParent({ journal, entries }: TestJournal, id: string, fanOut: FanOut): Promise<string> {
  await journal.append(metaOf(id), null);
  const key = `${id}/1/1`;
  await journal.report(entries.find((entry) => entry.id === id)!, key, endedWith(id, fanOut), true);
  return key;
}

function report({ journal }: TestJournal, sent: string[]) {
  const fanOuts = createFanOuts({ append: (meta, body) => journal.append(meta, body), logger });
  const reporter = startReporter({
    makesWay: () => false,
    journal,
    logger,
    send: (events) =>
      fanOuts.send(events, async (ready) => {
        sent.push(...ready.map(({ json }) => json));
        return { confirmed: ready.map(({ key }) => key), problems: [] };
      }),
  });
  return { fanOuts, reporter };
}

test("a journal without room for all of them takes the others as some have ended, each once", async () => {
  const opened = await openTestJournal(temporaryFolder(), { entriesMax: 4 });
  const sent: string[] = [];
  const id = newId();
  const fanOut = fanOutOf(id, 10);
  const key = await endParent(opened, id, fanOut);
  const { fanOuts, reporter } = report(opened, sent);
  onTestFinished(async () => {
    await reporter.stop();
    await opened.journal.close();
  });
  fanOuts.begin(key, fanOut);
  const ended = new Set<PendingEntry>();
  await waitFor(async () => {
    for (const entry of opened.entries) {
      if (entry.id === id || ended.has(entry)) continue;
      ended.add(entry);
      await endEntry(opened.journal, entry);
      reporter.notify();
    }
    return ended.size >= 10 && sent.some((json) => json.includes(id));
  }, 30_000);
  expect(new Set(opened.entries.map((entry) => entry.id)).size).toBe(11);
  expect(opened.entries).toHaveLength(11);
  // The control plane is told of the end, and not of what follows.
  expect(sent.find((json) => JSON.parse(json).id === id)).toBe(
    `{"kind":"execution","id":"${id}","finish":{"status":"SUCCEEDED"}}`,
  );
});

test("after a crash they are made before their event is reported", async () => {
  const folder = temporaryFolder();
  const first = await openTestJournal(folder);
  const id = newId();
  await endParent(first, id, fanOutOf(id, 3));
  await first.journal.close();
  const second = await openTestJournal(folder);
  const sent: string[] = [];
  const { reporter } = report(second, sent);
  onTestFinished(async () => {
    await reporter.stop();
    await second.journal.close();
  });
  await waitFor(() => sent.length > 0);
  const bodies = second.entries.map((entry) => second.journal.load(entry).body?.toString());
  expect(bodies).toEqual([0, 1, 2].map((index) => JSON.stringify({ text: `"fanOut":"${index}` })));
  const [meta] = second.entries.map((entry) => JSON.parse(second.journal.load(entry).metaJson.toString()));
  expect(meta).toMatchObject({
    invokedBy: id,
    request: {
      headers: [["Content-Type", "application/json"]],
      invocation: { kind: "batch", rootId: id, page: 0, index: 0 },
    },
  });
});
