/**
 * `node journalWriter.ts <folder>`: a data plane's journal under load, until it is killed. It writes a line before
 * or after each step, so that whoever killed it knows what must be there: "accepted <id>" once it is on disk, "starting <id>"
 * and "started <id>" around its start, "confirming <id>" before it may go, "gone <id>" when it
 * must not come back, "recovered <id> <attempt>".
 */
import { writeSync } from "node:fs";
import { newId } from "../../shared/ids.ts";
import { accept, endEntry, metaOf, openPair } from "./journals.ts";

const folder = process.argv[2]!;
const say = (...words: (string | number)[]) => writeSync(1, `${words.join(" ")}\n`);

const pair = await openPair(
  folder,
  { segmentBytes: 256 * 1024, deadBytesMax: 512 * 1024 },
  { segmentBytes: { least: 128 * 1024, most: 256 * 1024 } },
);
const { journal, entries } = pair;
for (const entry of entries) say("recovered", entry.id, entry.attempt);
say("opened");

const acceptForEver = async () => {
  for (;;) {
    const id = await accept(pair, Buffer.alloc(Math.floor(Math.random() * 4000), "b"));
    say("accepted", id);
  }
};
for (let each = 0; each < 4; each++) void acceptForEver();

const command = async () => {
  for (;;) {
    const id = newId();
    await journal.append(metaOf(id), Buffer.from("c"));
    say("accepted", id);
  }
};
void command();

/** One in ten stays unstarted, and one in ten started, so that files with few live records come about. */
const eventsLeft = new Map<string, number>();
const runForEver = async () => {
  for (;;) {
    await new Promise(setImmediate);
    const batch = entries.splice(0, 20).filter(() => Math.random() < 0.9);
    for (const { id } of batch) say("starting", id);
    journal.start(batch);
    for (const { id } of batch) say("started", id);
    for (const entry of batch) {
      const hasProgress = Math.random() < 0.2;
      // Of a later attempt the process before may have left events that nobody counted here.
      if (entry.attempt === 1) eventsLeft.set(entry.id, hasProgress ? 2 : 1);
      if (hasProgress) await journal.report(entry, `${entry.id}/progress`, "{}", false);
    }
    const ended = batch.filter(() => Math.random() < 0.9);
    await Promise.all(ended.map((entry) => endEntry(journal, entry, "x".repeat(1000))));
    const reports = journal.reports(50, 1_000_000);
    const [now, later] = [reports.slice(0, 40), reports.slice(40)];
    for (const { key } of now) say("confirming", key.split("/")[0]!);
    journal.confirm(now);
    journal.putBack(later);
    await new Promise(setImmediate);
    for (const { key } of now) {
      const id = key.split("/")[0]!;
      const left = (eventsLeft.get(id) ?? Number.NaN) - 1;
      eventsLeft.set(id, left);
      if (left === 0) say("gone", id);
    }
  }
};
void runForEver();

let compactions = 0;
setInterval(() => {
  const now = journal.stats().compactions;
  if (now > compactions) say("compacted", now - compactions);
  compactions = now;
}, 10);
