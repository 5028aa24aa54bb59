/** What an earlier process left in the journal: read from all of its segments, whatever state they are in. */
import { copyFile, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "pino";
import { messageOf } from "../../shared/errors.ts";
import { listBodies, makeBodiesFolder, removeUnusedBodies } from "./bodies.ts";
import { codeOf } from "./errors.ts";
import { addOther, HeldEntry, HeldReport } from "./held.ts";
import { ownLogName } from "./ownLog.ts";
import {
  besideFlag,
  readConfirmed,
  readEntryContent,
  readEntryHead,
  readEventHead,
  readItems,
  readRejectionContent,
  readRejectionHead,
  recordType,
  runningFlag,
  startedFlag,
  typeAt,
} from "./records.ts";
import { type Gap, scanSegment } from "./scan.ts";
import { isPartial, parseFile, readHeader, recordsFrom } from "./segments.ts";
import { addLive, newSegment, type Segment } from "./segmentTable.ts";

export interface Recovered {
  entries: HeldEntry[];
  /** Oldest first. */
  reports: HeldReport[];
  /** All sealed. */
  segments: Segment[];
  nextPosition: number;
  /** Damaged places: not those of an unfinished last write. */
  damaged: number;
  unfinishedWrites: number;
}

const readChunkBytes = 4 * 1024 * 1024;
/** Copies of damaged files that are kept; of further ones only the log tells. */
const damagedFilesMax = 16;

export async function recover(folder: string, logger: Logger): Promise<Recovered> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await makeBodiesFolder(folder);
  const bodies = await listBodies(folder);
  const files: string[] = [];
  for (const file of await readdir(folder)) {
    if (isPartial(file)) await rm(join(folder, file), { force: true });
    else if (parseFile(file) !== null) files.push(file);
  }
  const state = newState();
  // What happened to entries first, so that those that are done are not taken up at all.
  const isOwn = (file: string) => parseFile(file)!.log === ownLogName;
  for (const file of [...files.filter(isOwn), ...files.filter((file) => !isOwn(file))]) {
    await readSegment(folder, file, isOwn(file), state, logger);
  }
  const recovered = conclude(state);
  const used = [...recovered.entries, ...recovered.reports].flatMap((held) =>
    held.digest === null ? [] : [{ digest: held.digest, id: idOf(held) }],
  );
  await removeUnusedBodies(folder, bodies, used);
  return recovered;
}

const idOf = (held: HeldEntry | HeldReport): string =>
  held instanceof HeldEntry ? held.id : (held.rejectionId ?? "");

interface State {
  segments: Segment[];
  entries: Map<string, HeldEntry>;
  events: Map<number, { report: HeldReport; id: string }>;
  rejections: Map<string, HeldReport>;
  done: Set<string>;
  confirmed: Set<number>;
  started: Map<string, { attempt: number; segments: Segment[] }>;
  running: Map<string, { crashes: number; segments: Segment[] }>;
  /** Salts of the segments that each own segment speaks of. */
  salts: Map<Segment, Set<number>>;
  damaged: number;
  unfinishedWrites: number;
}

const newState = (): State => ({
  segments: [],
  entries: new Map(),
  events: new Map(),
  rejections: new Map(),
  done: new Set(),
  confirmed: new Set(),
  started: new Map(),
  running: new Map(),
  salts: new Map(),
  damaged: 0,
  unfinishedWrites: 0,
});

async function readSegment(
  folder: string,
  file: string,
  isOwn: boolean,
  state: State,
  logger: Logger,
): Promise<void> {
  let bytes: Buffer;
  try {
    bytes = await readWhole(join(folder, file));
  } catch (error) {
    state.damaged++;
    logger.error({ file, reason: messageOf(error) }, "a file of the journal can't be read");
    return;
  }
  const header = readHeader(bytes);
  // Where both copies of the header are gone, the first record still tells the salt.
  const isUnknown = "problem" in header && header.problem === "unknown version";
  const salt =
    "problem" in header
      ? bytes.length >= recordsFrom + 4
        ? bytes.readUInt32LE(recordsFrom)
        : 0
      : header.salt;
  if (isUnknown || (salt === 0 && bytes.length > 0)) {
    state.damaged++;
    logger.error(
      { file, bytes: bytes.length },
      isUnknown
        ? "a file of the journal is of a later release: it was put aside into journal/damaged"
        : "a file of the journal has lost its header: it was put aside into journal/damaged",
    );
    await putAside(folder, file, logger, rename);
    return;
  }
  const segment = newSegment(file, salt, isOwn, recordsFrom);
  segment.isSealed = true;
  state.segments.push(segment);
  const isRecycled = "problem" in header || header.isRecycled;
  const scan = await scanSegment(bytes, recordsFrom, salt, isRecycled, (at, length) =>
    take(state, segment, bytes, at, length),
  );
  segment.end = scan.end;
  if ("problem" in header && bytes.length > 0)
    scan.gaps.unshift({ from: 0, to: recordsFrom, isUnfinished: false });
  if (scan.gaps.length > 0) await reportDamage(folder, segment, scan.gaps, state, logger);
}

async function readWhole(path: string): Promise<Buffer> {
  const handle = await open(path, "r");
  try {
    const { size } = await handle.stat();
    const bytes = Buffer.allocUnsafeSlow(size);
    let at = 0;
    while (at < size) {
      const { bytesRead } = await handle.read(bytes, at, Math.min(readChunkBytes, size - at), at);
      if (bytesRead === 0) break;
      at += bytesRead;
    }
    return bytes.subarray(0, at);
  } finally {
    await handle.close();
  }
}

async function reportDamage(
  folder: string,
  segment: Segment,
  gaps: Gap[],
  state: State,
  logger: Logger,
): Promise<void> {
  const damage = gaps.filter(({ isUnfinished }) => !isUnfinished);
  state.damaged += damage.length;
  state.unfinishedWrites += gaps.length - damage.length;
  const ranges = (of: Gap[]) => of.slice(0, 20).map(({ from, to }) => `${from}-${to}`);
  if (damage.length > 0) {
    logger.error(
      { file: segment.file, ranges: ranges(damage) },
      "the journal is damaged: records in these byte ranges are lost, the rest was recovered; the file was copied to journal/damaged",
    );
  }
  const unfinished = gaps.filter(({ isUnfinished }) => isUnfinished);
  if (unfinished.length > 0) {
    logger.warn(
      { file: segment.file, ranges: ranges(unfinished) },
      "the last write to the journal did not finish: nothing of these byte ranges was answered; the file was copied to journal/damaged",
    );
  }
  await putAside(folder, segment.file, logger, copyFile, segment.salt);
}

/** Once a file and life: as long as a damaged file is in use it is found damaged at each start. */
async function putAside(
  folder: string,
  file: string,
  logger: Logger,
  move: (from: string, to: string) => Promise<void>,
  salt = 0,
): Promise<void> {
  const damaged = join(folder, "damaged");
  const name = `${file}-${salt.toString(16)}-`;
  try {
    await mkdir(damaged, { recursive: true, mode: 0o700 });
    const there = await readdir(damaged);
    if (move === copyFile && (there.some((one) => one.startsWith(name)) || there.length >= damagedFilesMax))
      return;
    await move(join(folder, file), join(damaged, `${name}${Date.now()}`));
  } catch (error) {
    logger.error(
      { file, code: codeOf(error), reason: messageOf(error) },
      "the damaged file could not be put aside",
    );
  }
}

function take(state: State, segment: Segment, bytes: Buffer, at: number, length: number): void {
  switch (typeAt(bytes, at)) {
    case recordType.entry:
      takeEntry(state, segment, bytes, at, length);
      return;
    case recordType.rejection:
      takeRejection(state, segment, bytes, at, length);
      return;
    case recordType.event:
      takeEvent(state, segment, bytes, at, length);
      return;
    case recordType.started:
      for (const { id, number } of readItems(bytes, at)) {
        const known = state.started.get(id);
        if (known === undefined) state.started.set(id, { attempt: number, segments: [segment] });
        else {
          known.attempt = Math.max(known.attempt, number);
          known.segments.push(segment);
        }
      }
      return;
    case recordType.running:
      for (const { id, number } of readItems(bytes, at)) {
        const known = state.running.get(id);
        if (known === undefined) state.running.set(id, { crashes: number, segments: [segment] });
        else {
          known.crashes = Math.max(known.crashes, number);
          known.segments.push(segment);
        }
      }
      return;
    case recordType.done:
      for (const { id, number } of readItems(bytes, at)) {
        state.done.add(id);
        saltsOf(state, segment).add(number);
      }
      return;
    case recordType.confirmed:
      for (const { salt, position } of readConfirmed(bytes, at)) {
        state.confirmed.add(position);
        saltsOf(state, segment).add(salt);
      }
      return;
  }
}

function saltsOf(state: State, segment: Segment): Set<number> {
  let salts = state.salts.get(segment);
  if (salts === undefined) {
    salts = new Set();
    state.salts.set(segment, salts);
  }
  return salts;
}

function takeEntry(state: State, segment: Segment, bytes: Buffer, at: number, length: number): void {
  const head = readEntryHead(bytes, at);
  const attempt = head.attempt + ((head.flags & startedFlag) === 0 ? 0 : 1);
  const crashes = head.crashes + ((head.flags & runningFlag) === 0 ? 0 : 1);
  const known = state.entries.get(head.id);
  if (known !== undefined) {
    known.attempt = Math.max(known.attempt, attempt);
    known.crashes = Math.max(known.crashes, crashes);
    addOther(known, segment);
    return;
  }
  const entry = new HeldEntry(head, null, segment, at, length);
  entry.attempt = attempt;
  entry.crashes = crashes;
  if ((head.flags & besideFlag) !== 0) entry.digest = readEntryContent(bytes, at).digest;
  state.entries.set(head.id, entry);
}

function takeRejection(state: State, segment: Segment, bytes: Buffer, at: number, length: number): void {
  const { id, weight } = readRejectionHead(bytes, at);
  const known = state.rejections.get(id);
  if (known !== undefined) {
    addOther(known, segment);
    return;
  }
  const facts = { key: id, position: 0, rejectionId: id, weight, entries: 1 };
  const report = new HeldReport(facts, null, segment, at, length);
  report.digest = readRejectionContent(bytes, at).digest;
  state.rejections.set(id, report);
}

function takeEvent(state: State, segment: Segment, bytes: Buffer, at: number, length: number): void {
  const { position, id, key, isEnd, hasStates, weight } = readEventHead(bytes, at);
  const known = state.events.get(position);
  if (known !== undefined) {
    addOther(known.report, segment);
    return;
  }
  const facts = { key, position, rejectionId: null, weight, entries: 0 };
  const report = new HeldReport(facts, null, segment, at, length);
  report.isEnd = isEnd;
  report.hasStates = hasStates;
  state.events.set(position, { report, id });
}

/** Brings together what the records say. */
function conclude(state: State): Recovered {
  const reports: HeldReport[] = [];
  let nextPosition = 1;
  for (const position of state.confirmed) nextPosition = Math.max(nextPosition, position + 1);
  for (const { report, id } of [...state.events.values()].sort(
    (a, b) => a.report.position - b.report.position,
  )) {
    nextPosition = Math.max(nextPosition, report.position + 1);
    const isConfirmed = state.confirmed.has(report.position);
    const entry = state.done.has(id) ? undefined : state.entries.get(id);
    if (entry !== undefined) {
      report.entry = entry;
      addOther(entry, report.segment);
      for (const other of report.others ?? []) addOther(entry, other);
      if (report.isEnd) {
        entry.isEnded = true;
        entry.end = report;
      }
    }
    if (state.done.has(id) || isConfirmed) {
      report.isConfirmed = true;
      if (entry !== undefined && report.isEnd) addLive(report.segment, report.length);
      continue;
    }
    if (entry !== undefined) entry.events++;
    addLive(report.segment, report.length);
    reports.push(report);
  }
  for (const [id, report] of state.rejections) {
    if (state.done.has(id)) continue;
    addLive(report.segment, report.length);
    reports.push(report);
  }
  const entries: HeldEntry[] = [];
  for (const entry of state.entries.values()) {
    // Ended and all confirmed, but its DONE is missing: the next lines of the reporter's end would have written it.
    if (state.done.has(entry.id)) continue;
    const started = state.started.get(entry.id);
    const running = state.running.get(entry.id);
    if (started !== undefined) entry.attempt = Math.max(entry.attempt, started.attempt + 1);
    if (running !== undefined) entry.crashes = Math.max(entry.crashes, running.crashes + 1);
    for (const segment of [...(started?.segments ?? []), ...(running?.segments ?? [])]) {
      segment.speaksOf.add(entry.segment);
      for (const other of entry.others ?? []) segment.speaksOf.add(other);
    }
    entry.isSuspect = entry.attempt > 1;
    addLive(entry.segment, entry.length);
    entries.push(entry);
  }
  const bySalt = new Map(state.segments.map((segment) => [segment.salt, segment]));
  for (const [segment, salts] of state.salts) {
    for (const salt of salts) {
      const spokenOf = bySalt.get(salt);
      if (spokenOf !== undefined) segment.speaksOf.add(spokenOf);
    }
  }
  for (const segment of state.segments) segment.speaksOf.delete(segment);
  entries.sort((a, b) => a.crashes - b.crashes || a.acceptedAtMs - b.acceptedAtMs);
  const { segments, damaged, unfinishedWrites } = state;
  return { entries, reports, segments, nextPosition, damaged, unfinishedWrites };
}
