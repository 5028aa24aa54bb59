import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { newJournalBounds, weightOf } from "../data-plane/journal/bounds.ts";
import { JournalDamageError, JournalFullError } from "../data-plane/journal/errors.ts";
import { newId } from "../shared/ids.ts";
import { openSqlite } from "../shared/sqlite.ts";
import {
  accept,
  bodyTextOf,
  confirmAll,
  endEntry,
  eventJsonOf,
  metaOf,
  openPair,
  openTestJournal,
  openTestLog,
} from "./support/journals.ts";
import { temporaryFolder } from "./support/temporaryFolder.ts";
import { waitFor } from "./support/waitFor.ts";

const idsOf = (entries: readonly { id: string }[]): string[] => entries.map(({ id }) => id);

describe("the journal", () => {
  test("hands on what an ingress log took in, with its meta and body, and keeps it over a restart until it ended", async () => {
    const folder = temporaryFolder();
    const first = await openPair(folder);
    const [ended, started, left] = [
      await accept(first, Buffer.from("one")),
      await accept(first, Buffer.from("two")),
      await accept(first),
    ];
    expect(idsOf(first.entries)).toEqual([ended, started, left]);
    expect(first.entries[0]).toMatchObject({
      attempt: 1,
      crashes: 0,
      isSuspect: false,
      logName: "ingress-0",
    });
    const loaded = first.journal.load(first.entries[0]!);
    expect(JSON.parse(loaded.metaJson.toString())).toEqual(metaOf(ended));
    expect(loaded.body!.toString()).toBe("one");
    expect(first.journal.load(first.entries[2]!).body).toBeNull();
    first.journal.start(first.entries.slice(0, 2));
    await endEntry(first.journal, first.entries[0]!);
    await first.close();

    const second = await openTestJournal(folder);
    expect(idsOf(second.entries).sort()).toEqual([started, left].sort());
    const of = (id: string) => second.entries.find((entry) => entry.id === id)!;
    expect(of(started)).toMatchObject({ attempt: 2, crashes: 0, isSuspect: true, logName: null });
    expect(of(left)).toMatchObject({ attempt: 1, crashes: 0, isSuspect: false });
    expect(bodyTextOf(second.journal, of(started))).toBe("two");
    expect(second.journal.reports(10, 1_000_000)).toMatchObject([
      { key: `${ended}/1/1`, json: eventJsonOf(ended) },
    ]);
    await second.journal.close();
  });

  test("counts deaths of the process only against what was marked as running, and hands the others out first", async () => {
    const folder = temporaryFolder();
    const first = await openPair(folder);
    const [marked, waiting] = [await accept(first), await accept(first)];
    let opened: Awaited<ReturnType<typeof openTestJournal>> = first;
    for (let death = 1; death <= 3; death++) {
      const entry = opened.entries.find(({ id }) => id === marked)!;
      opened.journal.start([entry]);
      await opened.journal.markRunning(entry);
      if (death === 1) await first.close();
      await opened.journal.close();
      opened = await openTestJournal(folder);
      expect(opened.entries.map(({ id, crashes, attempt }) => [id, crashes, attempt])).toEqual([
        [waiting, 0, 1],
        [marked, death, death + 1],
      ]);
    }
    await opened.journal.close();
  });

  test("an attempt is counted once, however often the process starts and does not come to run it", async () => {
    const folder = temporaryFolder();
    const first = await openPair(folder);
    await accept(first);
    first.journal.start(first.entries);
    await first.close();
    for (let start = 0; start < 3; start++) {
      const again = await openTestJournal(folder);
      expect(again.entries[0]).toMatchObject({ attempt: 2, crashes: 0 });
      await again.journal.close();
    }
  });

  test("a command's entry is durable when append resolves, and taken once", async () => {
    const folder = temporaryFolder();
    const first = await openTestJournal(folder);
    const meta = metaOf(newId());
    const twice = [
      first.journal.append(meta, Buffer.from("x")),
      first.journal.append(meta, Buffer.from("x")),
    ];
    expect(await Promise.all(twice)).toEqual([true, false]);
    expect(await first.journal.append(meta, Buffer.from("x"))).toBe(false);
    expect(first.entries).toMatchObject([{ id: meta.id, logName: null }]);
    expect(first.bounds.read().entries).toBe(1);
    await first.journal.close();
    const second = await openTestJournal(folder);
    expect(bodyTextOf(second.journal, second.entries[0]!)).toBe("x");
    expect(await second.journal.append(meta, null)).toBe(false);
    await second.journal.close();
  });

  test("events are handed out in order, again when they are put back, and after a restart", async () => {
    const folder = temporaryFolder();
    const first = await openPair(folder);
    const id = await accept(first);
    const entry = first.entries[0]!;
    for (const sequence of [1, 2, 3]) {
      await first.journal.report(entry, `${id}/1/${sequence}`, eventJsonOf(id), sequence === 3);
    }
    const keys = (reports: readonly { key: string }[]) => reports.map(({ key }) => key);
    const handedOut = first.journal.reports(2, 1_000_000);
    expect(keys(handedOut)).toEqual([`${id}/1/1`, `${id}/1/2`]);
    expect(keys(first.journal.reports(2, 1))).toEqual([`${id}/1/3`]);
    expect(first.journal.reports(2, 1_000_000)).toEqual([]);
    first.journal.putBack(handedOut);
    const again = first.journal.reports(1, 1_000_000);
    expect(keys(again)).toEqual([`${id}/1/1`]);
    first.journal.confirm(again);
    await first.close();

    const second = await openTestJournal(folder);
    expect(second.entries).toEqual([]);
    expect(keys(second.journal.reports(10, 1_000_000))).toEqual([`${id}/1/2`, `${id}/1/3`]);
    expect(second.bounds.read().entries).toBe(1);
    await second.journal.close();
  });

  test("an entry that ended stays so when the event of its end is confirmed before an earlier one", async () => {
    const folder = temporaryFolder();
    const first = await openPair(folder);
    const id = await accept(first);
    await first.journal.report(first.entries[0]!, `${id}/1/1`, eventJsonOf(id), false);
    await endEntry(first.journal, first.entries[0]!);
    const [earlier, end] = first.journal.reports(10, 1_000_000);
    first.journal.confirm([end!]);
    expect(first.bounds.read().entries).toBe(1);
    await first.close();
    const second = await openTestJournal(folder);
    expect(second.entries).toEqual([]);
    expect(second.journal.reports(10, 1_000_000)).toMatchObject([{ key: earlier!.key }]);
    await second.journal.close();
  });

  test("a kept refusal is handed to the reporter with its body, and is gone once it is confirmed", async () => {
    const folder = temporaryFolder();
    const first = await openPair(folder);
    const id = newId();
    const request = { ...metaOf(id).request, body: null };
    const json = JSON.stringify({ kind: "rejection", id, request });
    const body = Buffer.from([0, 255, 10]);
    const weight = weightOf(json.length, body.length);
    first.bounds.tryReserve(weight);
    await new Promise<void>((resolve, reject) =>
      first.log.appendRejection({ id, json, body }, (error) => (error === null ? resolve() : reject(error))),
    );
    const whole = { kind: "rejection", id, request: { ...request, body: body.toString("base64") } };
    expect(JSON.parse(first.journal.reports(10, 1_000_000)[0]!.json)).toEqual(whole);
    await first.close();

    const second = await openTestJournal(folder);
    expect(second.bounds.read()).toEqual({ entries: 1, bytes: weight });
    const [report] = second.journal.reports(10, 1_000_000);
    expect(JSON.parse(report!.json)).toEqual(whole);
    second.journal.confirm([report!]);
    expect(second.bounds.read()).toEqual({ entries: 0, bytes: 0 });
    await second.journal.close();
    const third = await openTestJournal(folder);
    expect(third.journal.reports(10, 1_000_000)).toEqual([]);
    await third.journal.close();
  });

  test("large bodies lie beside the journal, readable by their owner only, and go with their entry", async () => {
    const folder = temporaryFolder();
    const bodies = () => readdirSync(join(folder, "bodies"));
    const first = await openPair(folder);
    const body = Buffer.alloc(400 * 1024, 7);
    await accept(first, body);
    await first.journal.append(metaOf(newId()), body);
    expect(bodies()).toHaveLength(2);
    for (const file of bodies()) expect(statSync(join(folder, "bodies", file)).mode & 0o077).toBe(0);
    await first.close();
    writeFileSync(join(folder, "bodies", "left-by-a-crash"), "x");

    const second = await openTestJournal(folder);
    expect(bodies()).toHaveLength(2);
    for (const entry of second.entries) {
      expect(second.journal.load(entry).body!.equals(body)).toBe(true);
      await endEntry(second.journal, entry);
    }
    confirmAll(second.journal);
    await waitFor(async () => bodies().length === 0);
    await second.journal.close();
  });

  test("a large body that was changed on disk is not handed to a run", async () => {
    const folder = temporaryFolder();
    const { entries, journal, close, ...pair } = await openPair(folder);
    await accept(pair, Buffer.alloc(400 * 1024, 7));
    const file = join(folder, "bodies", readdirSync(join(folder, "bodies"))[0]!);
    writeFileSync(file, Buffer.alloc(400 * 1024, 8));
    expect(() => journal.load(entries[0]!)).toThrow(JournalDamageError);
    await close();
  });

  test("counts entries and bytes while they are in it, over a restart, and to nothing when all is confirmed", async () => {
    const folder = temporaryFolder();
    const first = await openPair(folder);
    await Promise.all(Array.from({ length: 50 }, (_, index) => accept(first, Buffer.alloc(index * 100))));
    await endEntry(first.journal, first.entries[0]!, "x".repeat(5000));
    await first.journal.report(null, "noted", eventJsonOf("noted"), false);
    const before = first.bounds.read();
    expect(before.entries).toBe(50);
    await first.close();
    const second = await openTestJournal(folder);
    expect(second.bounds.read()).toEqual(before);
    for (const entry of second.entries) await endEntry(second.journal, entry);
    expect(confirmAll(second.journal)).toHaveLength(51);
    expect(second.bounds.read()).toEqual({ entries: 0, bytes: 0 });
    expect(second.journal.stats()).toMatchObject({ unfinished: 0, waitingReports: 0 });
    // Until it is written that they are done, their ends stay.
    await waitFor(() => second.journal.stats().liveBytes === 0);
    await second.journal.close();
  });

  test("is full at its bound in count and in bytes, for refusals too, but takes the record of what was accepted", async () => {
    const folder = temporaryFolder();
    const { journal, bounds, entries } = await openTestJournal(folder, {
      entriesMax: 2,
      bytesMax: 64 * 1024,
    });
    await journal.append(metaOf(newId()), Buffer.alloc(20_000));
    await expect(journal.append(metaOf(newId()), Buffer.alloc(60_000))).rejects.toThrow(JournalFullError);
    await journal.append(metaOf(newId()), null);
    await expect(journal.append(metaOf(newId()), null)).rejects.toThrow(JournalFullError);
    await expect(journal.report(null, "k", "x".repeat(60_000), false)).rejects.toThrow(JournalFullError);
    await endEntry(journal, entries[0]!, "x".repeat(60_000));
    expect(bounds.tryReserve(1024)).toBe(false);
    confirmAll(journal);
    expect(await journal.append(metaOf(newId()), null)).toBe(true);
    await journal.close();
  });

  test("knows the oldest unfinished entry and the generations that unfinished ones name", async () => {
    const { journal, entries } = await openTestJournal(temporaryFolder());
    expect(journal.oldestUnfinishedMs()).toBeNull();
    const appendAt = (receivedAtMs: number, generation: number) => {
      const meta = metaOf(newId());
      return journal.append(
        { ...meta, route: { ...meta.route, generation }, request: { ...meta.request, receivedAtMs } },
        null,
      );
    };
    await appendAt(5_000, 1);
    // The clock was set back meanwhile.
    await appendAt(3_500, 2);
    expect(journal.oldestUnfinishedMs()).toBe(3_000);
    expect(journal.generationsInUse()).toEqual(new Set([1, 2]));
    await endEntry(journal, entries[1]!);
    expect(journal.oldestUnfinishedMs()).toBe(5_000);
    expect(journal.generationsInUse()).toEqual(new Set([1]));
    await journal.close();
  });

  test("many appends at once are few writes", async () => {
    const pair = await openPair(temporaryFolder());
    await Promise.all(Array.from({ length: 500 }, () => accept(pair, Buffer.alloc(600))));
    expect(pair.log.stats()).toMatchObject({ rows: 500 });
    expect(pair.log.stats().commits).toBeLessThan(50);
    await pair.close();
  });
});

describe("an ingress log", () => {
  test("tells of appends in their order, and of how far it is on disk only forward, with several writes under way", async () => {
    const told: { file: string; upTo: number }[] = [];
    const log = await openTestLog(temporaryFolder(), {
      segmentBytes: { least: 256 * 1024, most: 256 * 1024 },
      onSynced: (file, upTo) => void told.push({ file, upTo }),
    });
    const bounds = newJournalBounds({ entriesMax: 1_000_000, bytesMax: 1024 ** 3 });
    const appended: number[] = [];
    const answered: number[] = [];
    const appends: Promise<void>[] = [];
    for (let burst = 0; burst < 400; burst++) {
      for (let left = Math.floor(Math.random() ** 3 * 30) + 1; left > 0; left--) {
        const number = appended.push(appended.length);
        appends.push(accept({ log, bounds }, Buffer.alloc(500)).then(() => void answered.push(number - 1)));
      }
      await (Math.random() < 0.5 ? sleep(Math.random() * 2) : new Promise(setImmediate));
    }
    await Promise.all(appends);
    await log.close();
    expect(answered).toEqual(appended);
    const places = told.map(({ file, upTo }) => Number(file.split(".")[2]) * 2 ** 32 + upTo);
    expect(places).toEqual([...places].sort((a, b) => a - b));
    expect(new Set(told.map(({ file }) => file)).size).toBeGreaterThan(3);
    expect(told).toHaveLength(log.stats().commits);
  });
});

describe("following an ingress log", () => {
  const small = { segmentBytes: { least: 64 * 1024, most: 64 * 1024 } };

  test("takes in all of it when it hears late, and only of the last file", async () => {
    const folder = temporaryFolder();
    const opened = await openTestJournal(folder);
    const told: [string, number][] = [];
    const log = await openTestLog(folder, {
      ...small,
      onSynced: (file, upTo) => void told.push([file, upTo]),
    });
    const ids: string[] = [];
    for (let index = 0; index < 60; index++) {
      ids.push(await accept({ log, bounds: opened.bounds }, Buffer.alloc(5_000, index)));
    }
    const files = new Set(told.map(([file]) => file));
    expect(files.size).toBeGreaterThan(3);
    const [file, upTo] = told.at(-1)!;
    opened.journal.follow(file, upTo);
    await waitFor(async () => opened.entries.length >= ids.length);
    expect(idsOf(opened.entries)).toEqual(ids);
    for (const [index, entry] of opened.entries.entries()) {
      expect(opened.journal.load(entry).body!.equals(Buffer.alloc(5_000, index))).toBe(true);
    }
    // Old news change nothing.
    for (const [old, at] of told) opened.journal.follow(old, at);
    expect(opened.entries).toHaveLength(ids.length);
    await log.close();
    await opened.journal.close();
  });

  test("reads again from disk what it could not keep in memory", async () => {
    const folder = temporaryFolder();
    const opened = await openTestJournal(folder);
    const told: [string, number][] = [];
    const log = await openTestLog(folder, { onSynced: (file, upTo) => void told.push([file, upTo]) });
    const count = 400;
    const bodyAt = (index: number) => Buffer.alloc(200 * 1024, index);
    for (let index = 0; index < count; index += 20) {
      const at = Array.from({ length: 20 }, (_, offset) => bodyAt(index + offset));
      await Promise.all(at.map((body) => accept({ log, bounds: opened.bounds }, body)));
    }
    opened.journal.follow(...told.at(-1)!);
    await waitFor(async () => opened.entries.length === count);
    for (const [index, entry] of opened.entries.entries()) {
      expect(opened.journal.load(entry).body!.equals(bodyAt(index))).toBe(true);
    }
    await log.close();
    await opened.journal.close();
  });

  test("several logs are followed side by side", async () => {
    const folder = temporaryFolder();
    const opened = await openTestJournal(folder);
    const names = ["ingress-0", "ingress-1", "ingress-2"];
    const logs = await Promise.all(
      names.map((name) => openTestLog(folder, { ...small, name, onSynced: opened.journal.follow })),
    );
    const ids = await Promise.all(
      Array.from({ length: 300 }, (_, index) =>
        accept({ log: logs[index % 3]!, bounds: opened.bounds }, Buffer.alloc(1000)),
      ),
    );
    await waitFor(async () => opened.entries.length === ids.length);
    expect(new Set(idsOf(opened.entries))).toEqual(new Set(ids));
    expect(new Set(opened.entries.map(({ logName }) => logName))).toEqual(new Set(names));
    await Promise.all(logs.map((log) => log.close()));
    await opened.journal.close();
  });
});

describe("a journal of an earlier release", () => {
  const oldJournal = (folder: string, entries: number) => {
    const database = openSqlite(join(folder, "journal.db"), { synchronous: "off" });
    database.exec("CREATE TABLE entries (id TEXT); CREATE TABLE reports (id TEXT)");
    for (let index = 0; index < entries; index++) database.exec("INSERT INTO entries VALUES ('x')");
    database.close();
  };

  test("is not started over while something is in it", async () => {
    const folder = temporaryFolder();
    oldJournal(folder, 2);
    await expect(openTestJournal(folder)).rejects.toThrow(/holds 2 entries and reports: start that release/);
  });

  test("is no hindrance when it is empty", async () => {
    const folder = temporaryFolder();
    oldJournal(folder, 0);
    await (await openTestJournal(folder)).journal.close();
  });

  test("a file of that name that is none is left as it is, and said so", async () => {
    const folder = temporaryFolder();
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "journal.db"), "not a database at all, but somebody's");
    await expect(openTestJournal(folder)).rejects.toThrow(/journal\.db/);
    expect(readFileSync(join(folder, "journal.db"), "utf8")).toContain("somebody's");
  });
});
