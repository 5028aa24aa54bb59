import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Entry, type Journal, JournalFullError, openJournal } from "../data-plane/journal.ts";
import type { Pin } from "../data-plane/replica.ts";
import { newId } from "../shared/ids.ts";
import type { ExecutionEvent, RejectionEvent } from "../shared/reports.ts";
import { temporaryFolder } from "./support/temporaryFolder.ts";

const definitionPin: Pin = { key: "definition:d1", json: '{"a":1}' };
const integrationPin: Pin = { key: "integration:i1", json: '{"b":2}' };
const pins = [definitionPin, integrationPin];

const entryWith = (body: Uint8Array | null = null): Entry => ({
  id: newId(),
  attempt: 1,
  isSuspect: false,
  invokeType: "WEBHOOK",
  isDebug: false,
  replayOf: null,
  invokedBy: null,
  isEndpointTest: false,
  route: {
    kind: "flow",
    endpointKind: "flow",
    definitionPin: definitionPin.key,
    instancePin: null,
    integrationPin: integrationPin.key,
    definitionDigest: "d1",
    versionId: "v",
    versionNumber: 1,
    flowStableKey: "f",
    userId: null,
  },
  request: {
    method: "POST",
    pathFragment: "",
    query: "",
    headers: [["content-type", "text/plain"]],
    keyHmacs: [],
    remoteAddress: "127.0.0.1",
    receivedAtMs: 1,
    requestId: "r",
    token: "t",
  },
  body,
});

const endOf = (entry: Entry): ExecutionEvent => ({
  kind: "execution",
  id: entry.id,
  attempt: entry.attempt,
  sequence: 1,
  invokeType: "WEBHOOK",
  startedAtMs: 1,
  isDebug: false,
  target: {
    integrationId: "i",
    versionId: "v",
    versionNumber: 1,
    instanceId: null,
    customerId: null,
    customerUserId: null,
    flowId: null,
    flowConfigId: null,
    flowStableKey: null,
    flowName: null,
    preprocessFlowName: null,
  },
  request: null,
  replayOf: null,
  invokedBy: null,
  steps: [],
  logs: [],
  sections: [],
  finish: { status: "SUCCEEDED", endedAtMs: 2, errorCode: null, error: null, answerStatus: 200 },
});

const open = (folder: string, bounds: { entriesMax?: number; bytesMax?: number } = {}): Promise<Journal> =>
  openJournal({ folder, entriesMax: 1000, bytesMax: 64 * 1024 * 1024, ...bounds });

describe("the journal", () => {
  test("hands out after a restart what was not ended, with its pins, its body, and its attempt counted", async () => {
    const folder = temporaryFolder();
    const first = await open(folder);
    const [ended, left] = [entryWith(Buffer.from("one")), entryWith(Buffer.from("two"))];
    await Promise.all([first.append(ended!, pins, false), first.append(left!, pins, false)]);
    await first.report(endOf(ended!), true);
    await first.close();

    const second = await open(folder);
    const claimed = await second.claim(10);
    expect(claimed.map(({ entry }) => entry.id)).toEqual([left!.id]);
    expect(claimed[0]).toMatchObject({ crashes: 0, entry: { attempt: 2, isSuspect: true } });
    expect(Buffer.from(claimed[0]!.entry.body!).toString()).toBe("two");
    expect(claimed[0]!.pins).toEqual({
      [definitionPin.key]: definitionPin.json,
      [integrationPin.key]: integrationPin.json,
    });
    expect(await second.claim(10)).toEqual([]);
    const reports = await second.reports(0, 10, 1_000_000);
    expect(reports).toMatchObject([
      { event: { id: ended!.id, request: { body: Buffer.from("one").toString("base64") } } },
    ]);
    await second.confirm(reports.map(({ position }) => position));
    expect(second.stats().entries).toBe(1);
    await second.close();
  });

  test("counts deaths of the process only against what was marked as running, and hands the others out first", async () => {
    const folder = temporaryFolder();
    let journal = await open(folder);
    const [marked, waiting] = [entryWith(), entryWith()];
    await journal.append(marked!, pins, false);
    await journal.append(waiting!, pins, false);
    for (let death = 1; death <= 3; death++) {
      await journal.markRunning(marked!.id);
      await journal.close();
      journal = await open(folder);
      const claimed = await journal.claim(10);
      expect(claimed.map(({ entry, crashes }) => [entry.id, crashes])).toEqual([
        [waiting!.id, 0],
        [marked!.id, death],
      ]);
    }
    await journal.close();
  });

  test("an entry that is there already is not taken twice", async () => {
    const journal = await open(temporaryFolder());
    const entry = entryWith();
    expect(await journal.append(entry, pins, false)).toBe(true);
    expect(await journal.append(entry, pins, false)).toBe(false);
    expect(journal.stats().entries).toBe(1);
    await journal.close();
  });

  test("held entries are handed out in the same process, unsuspected", async () => {
    const journal = await open(temporaryFolder());
    const entry = entryWith();
    await journal.append(entry, pins, true);
    expect(await journal.claim(10)).toMatchObject([
      { entry: { id: entry.id, attempt: 1, isSuspect: false } },
    ]);
    await journal.close();
  });

  test("large bodies lie beside the database, are shared, and go when nobody needs them", async () => {
    const folder = temporaryFolder();
    const bodies = () => readdirSync(join(folder, "bodies"));
    const journal = await open(folder);
    const body = Buffer.alloc(400 * 1024, 7);
    const [one, two] = [entryWith(body), entryWith(body)];
    await journal.append(one!, pins, false);
    await journal.append(two!, pins, false);
    expect(bodies()).toHaveLength(1);
    expect(statSync(join(folder, "bodies", bodies()[0]!)).mode & 0o077).toBe(0);
    const confirmEnd = async (entry: Entry) => {
      await journal.report(endOf(entry), true);
      const found = (await journal.reports(0, 10, 10_000_000)).filter(({ event }) => event.id === entry.id);
      expect(found[0]!.event).toMatchObject({ request: { body: body.toString("base64") } });
      await journal.confirm(found.map(({ position }) => position));
    };
    await confirmEnd(one!);
    expect(bodies()).toHaveLength(1);
    await confirmEnd(two!);
    expect(bodies()).toHaveLength(0);
    await journal.close();
  });

  test("is full at its bound in count and in bytes, for refusals that are kept too, and has room again after", async () => {
    const journal = await open(temporaryFolder(), { entriesMax: 2, bytesMax: 100_000 });
    const [one, two] = [entryWith(), entryWith()];
    await journal.append(one!, pins, false);
    await journal.append(two!, pins, false);
    await expect(journal.append(entryWith(), pins, false)).rejects.toThrow(JournalFullError);
    const rejection: RejectionEvent = {
      kind: "rejection",
      id: newId(),
      atMs: 1,
      code: "FLOW_NOT_FOUND",
      status: 422,
      reason: "",
      requestId: "r",
      integrationId: null,
      instanceId: null,
      customerId: null,
      method: "POST",
      remoteAddress: "",
      count: 1,
      request: { ...entryWith().request, body: "x".repeat(120_000) },
    };
    await expect(journal.report(rejection, false)).rejects.toThrow(JournalFullError);
    await journal.report(endOf(one!), true);
    const reports = await journal.reports(0, 10, 1_000_000);
    await journal.confirm(reports.map(({ position }) => position));
    expect(await journal.append(entryWith(), pins, false)).toBe(true);
    await journal.close();
  });

  test("many appends at once are few commits", async () => {
    const journal = await open(temporaryFolder());
    await Promise.all(Array.from({ length: 500 }, () => journal.append(entryWith(), pins, false)));
    expect(journal.stats()).toMatchObject({ entries: 500 });
    expect(journal.stats().commits).toBeLessThan(100);
    await journal.close();
  });

  test("a file that is not a journal is left as it is, and said so", async () => {
    const folder = temporaryFolder();
    const { mkdirSync, writeFileSync, readFileSync } = await import("node:fs");
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "journal.db"), "not a database at all, but somebody's");
    await expect(open(folder)).rejects.toThrow(/journal\.db/);
    expect(readFileSync(join(folder, "journal.db"), "utf8")).toContain("somebody's");
    expect(existsSync(join(folder, "journal.db"))).toBe(true);
  });
});
