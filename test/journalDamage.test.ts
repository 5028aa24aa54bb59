/** What is read back from files that were cut off or changed: all that was not touched, and never anything else. */
import {
  appendFileSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { HeldEntry } from "../data-plane/journal/held.ts";
import {
  checkedLengthAt,
  copyEntry,
  entryBytesMax,
  isWaitingFlag,
  type NewEntry,
  newSalt,
  padded,
  readEntryContent,
  readEntryHead,
  readEventHead,
  readEventJson,
  readItems,
  readRejectionContent,
  readRejectionHead,
  recordType,
  rejectionBytesMax,
  runningFlag,
  startedFlag,
  typeAt,
  writeEntry,
  writeEvent,
  writeItems,
  writeRejection,
} from "../data-plane/journal/records.ts";
import { scanSegment } from "../data-plane/journal/scan.ts";
import { newId } from "../shared/ids.ts";
import { accept, bodyTextOf, endEntry, metaOf, openPair, openTestJournal } from "./support/journals.ts";
import { newTemporaryFolder, removeFolder, temporaryFolder } from "./support/temporaryFolder.ts";

const text = fc.string({ unit: "binary", maxLength: 60 });
const body = fc.option(fc.uint8Array({ maxLength: 300 }), { nil: null });
const newEntry: fc.Arbitrary<NewEntry> = fc.record({
  id: text,
  fairKey: text,
  generation: fc.nat(),
  acceptedAtMs: fc.double({ noNaN: true }),
  isWaiting: fc.boolean(),
  metaJson: fc.json(),
  body,
});
const stamp = fc.record({
  salt: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
  commit: fc.nat(),
  underWay: fc.integer({ min: 0, max: 2 ** 16 - 1 }),
});

describe("a record", () => {
  test("of an entry reads back as it was written, and a change of any of its bytes is noticed", () => {
    fc.assert(
      fc.property(newEntry, stamp, fc.nat(), fc.integer({ min: 1, max: 255 }), (entry, stamp, at, change) => {
        const buffer = Buffer.alloc(entryBytesMax(entry) + 8);
        const end = writeEntry(buffer, 8, stamp, entry, null, 2048);
        const length = checkedLengthAt(buffer, 8, end, stamp.salt);
        expect(8 + padded(length)).toBe(end);
        const { metaJson, body, isWaiting: _, ...facts } = entry;
        expect(readEntryHead(buffer, 8)).toMatchObject({ ...facts, weight: 2048, attempt: 1, crashes: 0 });
        const content = readEntryContent(buffer, 8);
        expect(content.json.toString()).toBe(metaJson);
        expect(content.body === null ? null : new Uint8Array(content.body)).toEqual(body);
        buffer[8 + (at % length)]! ^= change;
        expect(checkedLengthAt(buffer, 8, end, stamp.salt)).toBe(0);
      }),
    );
  });

  test("of an entry that is copied says where the entry stands, and keeps the rest", () => {
    const state = fc.record({
      attempt: fc.integer({ min: 1, max: 1000 }),
      crashes: fc.nat(1000),
      isStarted: fc.boolean(),
      isRunning: fc.boolean(),
    });
    fc.assert(
      fc.property(newEntry, stamp, stamp, state, (entry, from, to, state) => {
        const source = Buffer.alloc(entryBytesMax(entry));
        writeEntry(source, 0, from, entry, null, 1024);
        const copy = Buffer.alloc(source.length + 8);
        copyEntry(copy, 8, to, source, 0, state);
        expect(checkedLengthAt(copy, 8, copy.length, to.salt)).toBeGreaterThan(0);
        const { attempt, crashes, flags, ...rest } = readEntryHead(copy, 8);
        const isStarted = (flags & startedFlag) !== 0;
        expect({ attempt, crashes, isStarted, isRunning: (flags & runningFlag) !== 0 }).toEqual(state);
        expect((flags & isWaitingFlag) !== 0).toBe(entry.isWaiting);
        const { attempt: _a, crashes: _c, flags: _f, ...before } = readEntryHead(source, 0);
        expect(rest).toEqual(before);
        expect(readEntryContent(copy, 8)).toEqual(readEntryContent(source, 0));
      }),
    );
  });

  test("of another life of the file is none", () => {
    fc.assert(
      fc.property(newEntry, stamp, (entry, stamp) => {
        const buffer = Buffer.alloc(entryBytesMax(entry));
        const end = writeEntry(buffer, 0, stamp, entry, null, 1024);
        const salt = newSalt();
        fc.pre(salt !== stamp.salt);
        expect(checkedLengthAt(buffer, 0, end, salt)).toBe(0);
        // Nor if the mark alone were the same.
        buffer.writeUInt32LE(salt, 0);
        expect(checkedLengthAt(buffer, 0, end, salt)).toBe(0);
      }),
    );
  });

  test("of a refusal, an event and a list of ids reads back as it was written", () => {
    const digest = fc.option(fc.constant("ab".repeat(32)), { nil: null });
    const items = fc.array(fc.record({ id: text, number: fc.integer({ min: 0, max: 2 ** 32 - 1 }) }));
    fc.assert(
      fc.property(text, fc.json(), body, digest, items, stamp, (id, json, body, digest, items, stamp) => {
        const hasStates = items.length > 0;
        const rejection = { id, json, body };
        const buffer = Buffer.alloc(rejectionBytesMax(rejection) + 10_000);
        writeRejection(buffer, 0, stamp, rejection, body === null ? null : digest, 3072);
        expect(readRejectionHead(buffer, 0)).toEqual({ id, weight: 3072 });
        const content = readRejectionContent(buffer, 0);
        expect(content.json.toString()).toBe(json);
        expect(content.digest).toBe(body === null ? null : digest);
        if (digest === null && body !== null) expect(new Uint8Array(content.body!)).toEqual(body);
        const isEnd = body === null;
        const event = { position: 2 ** 40 + 1, id, key: `${id}/1`, json, isEnd, hasStates, weight: 1024 };
        writeEvent(buffer, 0, stamp, event);
        const { json: _, ...head } = event;
        expect(readEventHead(buffer, 0)).toEqual(head);
        expect(readEventJson(buffer, 0)).toBe(json);
        writeItems(buffer, 0, stamp, recordType.done, items);
        expect(typeAt(buffer, 0)).toBe(recordType.done);
        expect(readItems(buffer, 0)).toEqual(items);
      }),
    );
  });
});

/** Where each entry and event of the undamaged journal lies, and what it must read as. */
interface Place {
  file: string;
  from: number;
  to: number;
}

describe("a journal whose files were changed", () => {
  const original = newTemporaryFolder();
  const entries = new Map<string, Place & { body: string }>();
  const events = new Map<string, Place & { json: string }>();
  let files: string[] = [];

  beforeAll(async () => {
    const pair = await openPair(original, {}, { segmentBytes: { least: 16 * 1024, most: 16 * 1024 } });
    const bodies = new Map<string, string>();
    for (let index = 0; index < 40; index++) {
      const content = `${index}`.repeat(index * 20);
      bodies.set(await accept(pair, Buffer.from(content)), content);
    }
    for (const entry of pair.entries.slice(0, 10)) {
      pair.journal.start([entry]);
      await endEntry(pair.journal, entry, "e".repeat(500));
    }
    for (const entry of pair.entries.slice(10) as HeldEntry[]) {
      entries.set(entry.id, {
        file: entry.segment.file,
        from: entry.at,
        to: entry.at + entry.length,
        body: bodies.get(entry.id)!,
      });
    }
    const reports = pair.journal.reports(100, 1_000_000) as unknown as (HeldEntry & {
      key: string;
      json: string;
    })[];
    for (const { key, json, segment, at, length } of reports) {
      events.set(key, { file: segment.file, from: at, to: at + length, json });
    }
    await pair.close();
    files = [...new Set([...entries.values(), ...events.values()].map(({ file }) => file))];
    expect(files.length).toBeGreaterThan(3);
    expect(events.size).toBe(10);
  });
  afterAll(() => removeFolder(original));

  test("never fails to open, loses only what was touched, and yields nothing that was not written", async () => {
    const change = fc.record({
      file: fc.nat(),
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      length: fc.constantFrom(1, 1, 4, 64, 300, 3000),
      value: fc.integer({ min: 1, max: 255 }),
      kind: fc.constantFrom("flip", "flip", "flip", "zero", "cut"),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 6 }), async (changes) => {
        const folder = newTemporaryFolder();
        try {
          cpSync(original, folder, { recursive: true });
          const touched: Place[] = [];
          for (const { file: number, at, length, value, kind } of changes) {
            const file = files[number % files.length]!;
            const bytes = readFileSync(join(folder, file));
            if (bytes.length === 0) continue;
            const from = Math.floor(at * (bytes.length - 1));
            const to = kind === "cut" ? Infinity : Math.min(from + length, bytes.length);
            touched.push({ file, from, to });
            if (kind === "cut") {
              truncateSync(join(folder, file), from);
              continue;
            }
            for (let index = from; index < to; index++) {
              bytes[index] = kind === "zero" ? 0 : bytes[index]! ^ value;
            }
            writeFileSync(join(folder, file), bytes);
          }
          await checkRecovered(folder, touched);
        } finally {
          rmSync(folder, { recursive: true });
        }
      }),
      { numRuns: 120 },
    );
  }, 60_000);

  async function checkRecovered(folder: string, touched: Place[]): Promise<void> {
    const opened = await openTestJournal(folder);
    const isTouched = ({ file, from, to }: Place) =>
      touched.some((one) => one.file === file && one.from < to && from < one.to);
    // The salt stands in both copies of the header and in each record.
    const hasSalt = (file: string) =>
      [
        [0, 128],
        [128, 256],
        [256, 260],
      ].some(([from, to]) => !isTouched({ file, from: from!, to: to! }));
    const mustBeThere = (place: Place) => hasSalt(place.file) && !isTouched(place);
    const ended = new Set([...events.keys()].map((key) => key.split("/")[0]!));
    const found = new Set<string>();
    for (const entry of opened.entries) {
      found.add(entry.id);
      const known = entries.get(entry.id);
      // The outcome of one that ended may be among what was lost: it runs again.
      if (known === undefined) expect(ended.has(entry.id)).toBe(true);
      else expect(bodyTextOf(opened.journal, entry)).toBe(known.body);
    }
    for (const [id, place] of entries) if (mustBeThere(place)) expect(found.has(id)).toBe(true);
    const reported = new Set<string>();
    for (const { key, json } of opened.journal.reports(100, 10_000_000)) {
      reported.add(key);
      expect(json).toBe(events.get(key)?.json);
    }
    for (const [key, place] of events) if (mustBeThere(place)) expect(reported.has(key)).toBe(true);
    await opened.journal.close();
  }

  const copyOfOriginal = () => {
    const folder = temporaryFolder();
    cpSync(original, folder, { recursive: true });
    return folder;
  };
  const damagedFiles = (folder: string) =>
    existsSync(join(folder, "damaged")) ? readdirSync(join(folder, "damaged")) : [];

  test("keeps a damaged file aside, once, and says which bytes are lost", async () => {
    const folder = copyOfOriginal();
    const [id, place] = [...entries][3]!;
    const path = join(folder, place.file);
    const bytes = readFileSync(path);
    bytes[place.from + 30]! ^= 1;
    writeFileSync(path, bytes);
    for (const _start of [1, 2]) {
      const opened = await openTestJournal(folder);
      expect(opened.entries.map((entry) => entry.id)).not.toContain(id);
      expect(opened.entries).toHaveLength(entries.size - 1);
      expect(opened.journal.stats().damaged).toBe(1);
      const error = opened.lines.find(({ level }) => level === "error");
      expect(error?.fields).toEqual({ file: place.file, ranges: [`${place.from}-${padded(place.to)}`] });
      expect(damagedFiles(folder)).toHaveLength(1);
      expect(readFileSync(join(folder, "damaged", damagedFiles(folder)[0]!)).equals(bytes)).toBe(true);
      await opened.journal.close();
    }
  });

  test("takes a last write that did not finish for what it is", async () => {
    const folder = copyOfOriginal();
    const file = files.find((name) => name.startsWith("main."))!;
    appendFileSync(join(folder, file), Buffer.from("half a record"));
    const opened = await openTestJournal(folder);
    expect(opened.entries).toHaveLength(entries.size);
    expect(opened.journal.stats().damaged).toBe(0);
    expect(opened.lines).toMatchObject([{ level: "warn", fields: { file } }]);
    await opened.journal.close();
  });

  test("takes the last two writes, where both were under way, for that, and an earlier one for damage", async () => {
    const salt = newSalt();
    const recordOf = (stamp: { commit: number; underWay: number }): Buffer => {
      const entry: NewEntry = {
        id: newId(),
        fairKey: "f",
        generation: 1,
        acceptedAtMs: 0,
        isWaiting: false,
        metaJson: "{}",
        body: null,
      };
      const buffer = Buffer.alloc(entryBytesMax(entry));
      return buffer.subarray(0, writeEntry(buffer, 0, { salt, ...stamp }, entry, null, 0));
    };
    const gapsOf = async (stamps: { commit: number; underWay: number; isLost?: boolean }[]) => {
      const bytes = Buffer.concat(
        stamps.map((stamp) => (stamp.isLost ? Buffer.alloc(recordOf(stamp).length) : recordOf(stamp))),
      );
      const { gaps } = await scanSegment(bytes, 0, salt, false, () => {});
      return gaps.map(({ isUnfinished }) => (isUnfinished ? "unfinished" : "damaged"));
    };
    const first = { commit: 1, underWay: 0 };
    const lost = { commit: 2, underWay: 0, isLost: true };
    expect(await gapsOf([first, lost, { commit: 3, underWay: 1 }])).toEqual(["unfinished"]);
    expect(await gapsOf([first, lost, { commit: 3, underWay: 0 }])).toEqual(["damaged"]);
    expect(await gapsOf([first, lost, { commit: 3, underWay: 1 }, { commit: 4, underWay: 1 }])).toEqual([
      "damaged",
    ]);
    expect(await gapsOf([first, { ...first, isLost: true }, first])).toEqual(["unfinished"]);
    expect(await gapsOf([first, { ...first, isLost: true }, first, { commit: 2, underWay: 0 }])).toEqual([
      "damaged",
    ]);
  });

  test("puts a file of a later release's format aside", async () => {
    const folder = copyOfOriginal();
    const place = entries.get([...entries.keys()].at(-1)!)!;
    const path = join(folder, place.file);
    const bytes = readFileSync(path);
    const { crc32 } = await import("node:zlib");
    for (const at of [0, 128]) {
      bytes.writeUInt32LE(99, at + 8);
      bytes.writeUInt32LE(crc32(bytes.subarray(at, at + 124)), at + 124);
    }
    writeFileSync(path, bytes);
    const opened = await openTestJournal(folder);
    expect(opened.lines).toMatchObject([{ level: "error", fields: { file: place.file } }]);
    expect(existsSync(path)).toBe(false);
    expect(readFileSync(join(folder, "damaged", damagedFiles(folder)[0]!)).equals(bytes)).toBe(true);
    await opened.journal.close();
  });

  test("a record that is damaged while the process runs is not handed out", async () => {
    const folder = temporaryFolder();
    const pair = await openPair(folder);
    const id = newId();
    await accept(pair, Buffer.from("whole"), metaOf(id));
    const entry = pair.entries[0] as HeldEntry;
    pair.journal.start([entry]);
    expect(bodyTextOf(pair.journal, entry)).toBe("whole");
    const path = join(folder, entry.segment.file);
    const bytes = readFileSync(path);
    bytes[entry.at + entry.length - 1]! ^= 1;
    writeFileSync(path, bytes);
    expect(() => pair.journal.load(entry)).toThrow(/was changed on disk/);
    await pair.close();
  });
});
