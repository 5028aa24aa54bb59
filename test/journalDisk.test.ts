/** What the journal does with its files: used again, given back, copied together; and a disk that is full. */
import { execFileSync } from "node:child_process";
import { appendFileSync, cpSync, existsSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import { JournalFullError } from "../data-plane/journal/errors.ts";
import { newId } from "../shared/ids.ts";
import { accept, confirmAll, endEntry, metaOf, openPair, openTestJournal } from "./support/journals.ts";
import { temporaryFolder } from "./support/temporaryFolder.ts";
import { waitFor } from "./support/waitFor.ts";

const KB = 1024;
const smallFiles = { segmentBytes: { least: 64 * KB, most: 64 * KB } };

const filesOf = (folder: string, prefix: string) =>
  readdirSync(folder).filter((file) => file.startsWith(prefix) && file.endsWith(".log"));
const bytesOf = (folder: string) =>
  readdirSync(folder)
    .filter((file) => /^(ingress|main).*log$/.test(file))
    .reduce((sum, file) => sum + statSync(join(folder, file)).size, 0);

type Pair = Awaited<ReturnType<typeof openPair>>;

async function acceptAndEnd(pair: Pair, count: number, body: Uint8Array): Promise<void> {
  const from = pair.entries.length;
  await Promise.all(Array.from({ length: count }, () => accept(pair, body)));
  await waitFor(() => pair.entries.length === from + count);
  const batch = pair.entries.slice(from);
  pair.journal.start(batch);
  await Promise.all(batch.map((entry) => endEntry(pair.journal, entry)));
  confirmAll(pair.journal);
}

describe("the journal's files", () => {
  test("are used again when nothing in them is needed, and what they held does not come back", async () => {
    const folder = temporaryFolder();
    const first = await openPair(folder, { segmentBytes: 64 * KB }, smallFiles);
    const inodes = new Set<number>();
    for (let round = 0; round < 60; round++) {
      await acceptAndEnd(first, 20, Buffer.alloc(2 * KB, round));
      await sleep(20);
      for (const file of filesOf(folder, "ingress-0")) inodes.add(statSync(join(folder, file)).ino);
    }
    await waitFor(() => filesOf(folder, "ingress-0").length <= 3);
    expect(filesOf(folder, "spare-").length).toBeLessThanOrEqual(4);
    const numbers = filesOf(folder, "ingress-0").map((file) => Number(file.split(".")[2]));
    expect(Math.max(...numbers)).toBeGreaterThan(20);
    expect(inodes.size).toBeLessThan(Math.max(...numbers));
    await waitFor(() => filesOf(folder, "main.").length <= 3);
    const left = await accept(first, Buffer.from("left"));
    await first.close();

    const second = await openTestJournal(folder);
    expect(second.entries.map(({ id }) => id)).toEqual([left]);
    expect(second.journal.reports(10, 1_000_000)).toEqual([]);
    expect(second.lines).toEqual([]);
    await second.journal.close();
  });

  test("with little that is needed are copied together, with where each entry stands", async () => {
    const folder = temporaryFolder();
    const options = { segmentBytes: 16 * KB, deadBytesMax: 128 * KB };
    const first = await openPair(folder, options, smallFiles);
    const started = newId();
    const running = newId();
    const waiting = newId();
    const reported = newId();
    const large = Buffer.alloc(300 * KB, 5);
    for (const id of [started, running, waiting, reported]) {
      await accept(first, id === waiting ? large : Buffer.from(id), metaOf(id));
    }
    const of = (id: string) => first.entries.find((entry) => entry.id === id)!;
    first.journal.start([of(started), of(running)]);
    await first.journal.markRunning(of(running));
    // What says so lies in a file with nothing else that is needed.
    while (filesOf(folder, "main.").length < 3) await acceptAndEnd(first, 50, Buffer.alloc(KB));
    const rejection = { id: newId(), json: '{"request":{"body":null}}', body: Buffer.from("kept") };
    await new Promise<void>((resolve) => first.log.appendRejection(rejection, () => resolve()));
    await first.journal.report(of(started), `${started}/1/1`, '{"a":1}', false);
    await endEntry(first.journal, of(reported), "ended");
    const held = first.journal.reports(10, 1_000_000);
    expect(held).toHaveLength(3);
    for (let round = 0; round < 10; round++) await acceptAndEnd(first, 50, Buffer.alloc(2 * KB));
    const isGone = (file: string) => !existsSync(join(folder, file));
    await waitFor(() => isGone("ingress-0.1.1.log") && isGone("main.1.1.log"));
    expect(first.journal.stats().compactions).toBeGreaterThan(0);
    expect(bytesOf(folder)).toBeLessThan(1024 * KB);
    // Copying comes to an end.
    const { compactions } = first.journal.stats();
    expect(compactions).toBeLessThan(20);
    await sleep(500);
    expect(first.journal.stats().compactions - compactions).toBeLessThan(5);
    expect(first.journal.load(of(started)).body!.toString()).toBe(started);
    expect(first.journal.load(of(waiting)).body!.equals(large)).toBe(true);
    first.journal.putBack(held);
    await first.close();

    const second = await openTestJournal(folder, options);
    const stateOf = (id: string) => {
      const entry = second.entries.find((one) => one.id === id);
      return entry && [entry.attempt, entry.crashes, second.journal.load(entry).body!.length];
    };
    expect(second.entries).toHaveLength(3);
    expect(stateOf(started)).toEqual([2, 0, 36]);
    expect(stateOf(running)).toEqual([2, 1, 36]);
    expect(stateOf(waiting)).toEqual([1, 0, large.length]);
    const reports = second.journal.reports(10, 1_000_000);
    expect(reports.map(({ key }) => key).sort()).toEqual(held.map(({ key }) => key).sort());
    expect(reports.find(({ key }) => key === rejection.id)!.json).toContain(
      Buffer.from("kept").toString("base64"),
    );
    second.journal.confirm(reports);
    for (const entry of second.entries) await endEntry(second.journal, entry);
    confirmAll(second.journal);
    expect(second.bounds.read().entries).toBe(0);
    await second.journal.close();
    const third = await openTestJournal(folder, options);
    expect(third.entries).toEqual([]);
    expect(third.journal.reports(10, 1_000_000)).toEqual([]);
    await third.journal.close();
  });

  test("that hold outcomes stay as long as those that hold what they are about", async () => {
    const folder = temporaryFolder();
    const first = await openPair(folder, { segmentBytes: 16 * KB });
    // All of it lies in the one file of the ingress log, which stays.
    for (let round = 0; round < 20; round++) await acceptAndEnd(first, 20, Buffer.alloc(100));
    await sleep(400);
    expect(filesOf(folder, "ingress-0").length).toBeLessThanOrEqual(2);
    expect(first.bounds.read().entries).toBe(0);
    await first.close();
    const second = await openTestJournal(folder, { segmentBytes: 16 * KB });
    expect(second.entries).toEqual([]);
    // Now that nothing is needed, all of them go.
    await waitFor(() => filesOf(folder, "ingress-0").length === 0 && filesOf(folder, "main.").length === 1);
    await second.journal.close();
  });
});

const canMount = (() => {
  const folder = join("/tmp", `switchyard-mount-${process.pid}`);
  try {
    execFileSync("mkdir", ["-p", folder]);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], { stdio: "ignore" });
    execFileSync("umount", [folder]);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
})();

/** A file system of its own, so small that it fills. */
function smallDisk(megabytes: number): string {
  const folder = temporaryFolder();
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m`, "tmpfs", folder]);
  onTestFinished(() => void execFileSync("umount", ["-l", folder]));
  return folder;
}

/** Takes all the room there is; returns the file that holds it. */
function fillUp(folder: string): string {
  const file = join(folder, `filler-${newId()}`);
  for (let bytes = 4096 * KB; bytes >= 512; bytes /= 2) {
    try {
      for (;;) appendFileSync(file, Buffer.alloc(bytes));
    } catch {
      // Less of it may fit still.
    }
  }
  return file;
}

describe.skipIf(!canMount)("on a disk that is full", () => {
  test("an ingress log refuses, keeps what it had accepted, and goes on by itself when there is room", async () => {
    const folder = smallDisk(16);
    const pair = await openPair(folder, {}, { segmentBytes: { least: 1024 * KB, most: 1024 * KB } });
    await waitFor(() => readdirSync(folder).includes("reserve"));
    const filler = join(folder, "filler");
    const accepted: string[] = [];
    const acceptOne = async () => accepted.push(await accept(pair, Buffer.alloc(100 * KB)));
    await acceptOne();
    await sleep(100);
    expect(() => writeFileSync(filler, Buffer.alloc(32 * 1024 * KB))).toThrow(/ENOSPC/);
    const refused = async () => {
      for (let tries = 0; tries < 100; tries++) await acceptOne();
    };
    await expect(refused()).rejects.toThrow(JournalFullError);
    expect(pair.log.isWell()).toBe(false);
    await expect(acceptOne()).rejects.toThrow(JournalFullError);
    expect(pair.log.stats().failures).toBeGreaterThan(0);
    expect(pair.bounds.read().entries).toBe(accepted.length);
    rmSync(filler);
    await waitFor(acceptOne);
    expect(pair.log.isWell()).toBe(true);
    await pair.close();
    const again = await openTestJournal(folder);
    expect(again.entries.map(({ id }) => id).sort()).toEqual([...accepted].sort());
    await again.journal.close();
  });

  test("of its own webhooks, the journal still writes their outcomes and so gets room again", async () => {
    const folder = smallDisk(24);
    const pair = await openPair(folder, {}, { segmentBytes: { least: 1024 * KB, most: 1024 * KB } });
    await waitFor(() => readdirSync(folder).includes("reserve"));
    const fill = async () => {
      for (;;) await accept(pair, Buffer.alloc(10 * KB));
    };
    await expect(fill()).rejects.toThrow(JournalFullError);
    const count = pair.entries.length;
    expect(count).toBeGreaterThan(500);
    let ended = 0;
    for (const entry of pair.entries.slice(0, count)) {
      await waitFor(async () => {
        await endEntry(pair.journal, entry, "x".repeat(12 * KB));
        return true;
      });
      confirmAll(pair.journal);
      ended++;
    }
    expect(ended).toBe(count);
    await waitFor(() => accept(pair, Buffer.alloc(10 * KB)));
    await pair.close();
    const again = await openTestJournal(folder);
    expect(again.entries).toHaveLength(pair.bounds.read().entries);
    await again.journal.close();
  }, 60_000);

  test("that entries are done is written later, and stays known as long as what they are made of", async () => {
    const folder = smallDisk(24);
    const pair = await openPair(
      folder,
      { segmentBytes: 16 * KB },
      { segmentBytes: { least: 1024 * KB, most: 1024 * KB } },
    );
    await waitFor(() => readdirSync(folder).includes("reserve"));
    const stays = await accept(pair);
    for (let count = 0; count < 300; count++) await accept(pair);
    await waitFor(() => pair.entries.length === 301);
    const [, ...ended] = pair.entries;
    await Promise.all(ended.map((entry) => endEntry(pair.journal, entry)));
    const held = pair.journal.reports(1000, 1024 * KB);
    expect(held).toHaveLength(300);
    const fillers: string[] = [];
    const isRefused = () => {
      fillers.push(fillUp(folder));
      return pair.journal.append(metaOf(newId()), Buffer.alloc(8 * KB)).then(
        () => false,
        (error) => error instanceof JournalFullError,
      );
    };
    await waitFor(isRefused);
    const { failures } = pair.journal.stats();
    await sleep(150);
    pair.journal.confirm(held);
    await waitFor(() => pair.journal.stats().failures > failures);
    for (const file of fillers) rmSync(file, { force: true });
    // Files that spoke of them come and go meanwhile, and the process may be killed at any time.
    const copies: string[] = [];
    for (let round = 0; round < 20; round++) {
      const id = newId();
      await waitFor(() => pair.journal.append(metaOf(id), Buffer.alloc(40 * KB)).then(() => true));
      await endEntry(pair.journal, pair.entries.find((entry) => entry.id === id)!);
      confirmAll(pair.journal);
      await sleep(40);
      copies.push(temporaryFolder());
      cpSync(folder, copies.at(-1)!, { recursive: true });
    }
    expect(pair.journal.stats().compactions).toBeGreaterThan(0);
    await pair.close();
    const wasEnded = new Set(ended.map(({ id }) => id));
    for (const found of [...copies, folder]) {
      const again = await openTestJournal(found);
      expect(again.entries.filter(({ id }) => wasEnded.has(id))).toEqual([]);
      expect(again.entries.some(({ id }) => id === stays)).toBe(true);
      await again.journal.close();
    }
  }, 60_000);

  test("a command, a start and an event are refused, and taken again when there is room", async () => {
    const folder = smallDisk(8);
    const { journal, entries, bounds } = await openTestJournal(folder);
    await waitFor(() => readdirSync(folder).includes("reserve"));
    await journal.append(metaOf(newId()), null);
    await journal.append(metaOf(newId()), null);
    const before = bounds.read();
    const fillers: string[] = [];
    const isRefused = () => {
      fillers.push(fillUp(folder));
      return journal.append(metaOf(newId()), Buffer.alloc(200 * KB)).then(
        () => false,
        (error) => error instanceof JournalFullError,
      );
    };
    await waitFor(isRefused);
    await expect(journal.report(entries[0]!, "k", "x".repeat(8000), true)).rejects.toThrow(JournalFullError);
    for (const file of fillers) rmSync(file, { force: true });
    await waitFor(async () => {
      journal.start([entries[0]!]);
      await endEntry(journal, entries[0]!);
      return true;
    });
    confirmAll(journal);
    expect(bounds.read().entries).toBeGreaterThanOrEqual(before.entries - 1);
    await journal.close();
  }, 60_000);
});
