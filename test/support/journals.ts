/** Journals for tests: an ingress log and the main thread's side over one folder, as a data plane has them. */
import type { Logger } from "pino";
import { type JournalBounds, newJournalBounds, weightOf } from "../../data-plane/journal/bounds.ts";
import { type EntryMeta, fairKeyOf } from "../../data-plane/journal/entry.ts";
import {
  type Journal,
  type JournalOptions,
  openJournal,
  type PendingEntry,
  type StoredReport,
} from "../../data-plane/journal/journal.ts";
import { type Log, type LogOptions, openLog } from "../../data-plane/journal/log.ts";
import type { NewEntry } from "../../data-plane/journal/records.ts";
import { newId } from "../../shared/ids.ts";

export interface LoggedLine {
  level: string;
  fields: Record<string, unknown>;
  message: string;
}

export interface TestJournal {
  journal: Journal;
  bounds: JournalBounds;
  /** What came through `onEntry`, in order. */
  entries: PendingEntry[];
  lines: LoggedLine[];
}

type Opening = Partial<JournalOptions> & { entriesMax?: number; bytesMax?: number };

export async function openTestJournal(folder: string, options: Opening = {}): Promise<TestJournal> {
  const { entriesMax = 1_000_000, bytesMax = 8 * 1024 ** 3, ...rest } = options;
  const bounds = newJournalBounds({ entriesMax, bytesMax });
  const entries: PendingEntry[] = [];
  const lines: LoggedLine[] = [];
  const note = (level: string) => (fields: Record<string, unknown>, message: string) =>
    void lines.push({ level, fields, message });
  const logger = { info: note("info"), warn: note("warn"), error: note("error") } as unknown as Logger;
  const onEntry = (pending: PendingEntry) => void entries.push(pending);
  const journal = await openJournal({ folder, bounds, onEntry, logger, ...rest });
  journal.resume();
  return { journal, bounds, entries, lines };
}

export const openTestLog = (folder: string, options: Partial<LogOptions> = {}): Promise<Log> =>
  openLog({ folder, name: "ingress-0", onSynced: () => {}, onNotice: () => {}, ...options });

/** Both, with the one following the other. */
export async function openPair(folder: string, options: Opening = {}, logOptions: Partial<LogOptions> = {}) {
  const opened = await openTestJournal(folder, options);
  const log = await openTestLog(folder, { onSynced: opened.journal.follow, ...logOptions });
  const close = async () => {
    await log.close();
    await opened.journal.close();
  };
  return { ...opened, log, close };
}

export const metaOf = (id: string, instanceId = "instance-1"): EntryMeta => ({
  id,
  invokeType: "WEBHOOK",
  isDebug: false,
  replayOf: null,
  invokedBy: null,
  isEndpointTest: false,
  isWaiting: false,
  route: {
    kind: "flow",
    endpointKind: "flow",
    generation: 1,
    instanceId,
    instanceVersion: 1,
    integrationId: "integration-1",
    integrationVersion: 1,
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
    receivedAtMs: 1_700_000_000_000,
    requestId: "r",
    token: "t",
  },
});

export const newEntryOf = (meta: EntryMeta, body: Uint8Array | null): NewEntry => ({
  id: meta.id,
  fairKey: fairKeyOf(meta),
  generation: meta.route.generation,
  acceptedAtMs: meta.request.receivedAtMs,
  isWaiting: meta.isWaiting,
  metaJson: JSON.stringify(meta),
  body,
});

/** What an ingress thread does: reserves, appends, gives back where that fails. Resolves with the id. */
export function accept(
  { log, bounds }: { log: Log; bounds: JournalBounds },
  body: Uint8Array | null = null,
  meta = metaOf(newId()),
): Promise<string> {
  const entry = newEntryOf(meta, body);
  const weight = weightOf(entry.metaJson.length, body?.byteLength ?? 0);
  return new Promise((resolve, reject) => {
    if (!bounds.tryReserve(weight)) return reject(new Error("no room"));
    log.appendEntry(entry, (error) => {
      if (error === null) return resolve(meta.id);
      bounds.release(1, weight);
      reject(error);
    });
  });
}

export const eventJsonOf = (id: string, filler = ""): string =>
  JSON.stringify({ kind: "execution", id, filler });

export const endEntry = (journal: Journal, pending: PendingEntry, filler = ""): Promise<void> =>
  journal.report(pending, `${pending.id}/${pending.attempt}/1`, eventJsonOf(pending.id, filler), true);

/** All that waits, confirmed. */
export function confirmAll(journal: Journal): StoredReport[] {
  const all: StoredReport[] = [];
  for (;;) {
    const reports = journal.reports(500, 64 * 1024 * 1024);
    if (reports.length === 0) return all;
    journal.confirm(reports);
    all.push(...reports);
  }
}

export const bodyTextOf = (journal: Journal, pending: PendingEntry): string | undefined =>
  journal.load(pending).body?.toString();
