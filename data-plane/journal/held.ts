/** What the main thread holds of what is in the journal: one small object an entry, one an event that waits. */
import { type EntryHead, isWaitingFlag } from "./records.ts";
import type { Segment } from "./segmentTable.ts";

/** Bytes of a log as they were read, while somebody may need them. */
export interface Chunk {
  readonly buffer: Buffer;
  /** Records in it that were not loaded yet. */
  live: number;
}

/** An entry that has not left the journal. What is not readonly belongs to the journal. */
export interface PendingEntry {
  readonly id: string;
  /** Which attempt the next (or present) run is, from 1. */
  attempt: number;
  /** How many attempts took the process down. */
  crashes: number;
  /** It was started by a process that died: that it runs must be on disk before it does. */
  isSuspect: boolean;
  readonly fairKey: string;
  readonly acceptedAtMs: number;
  /** The ingress log that it came in by, in this process; null where nobody waits for its answer there. */
  readonly logName: string | null;
  /** Its sender waits for more than that it is on disk (`isWaiting` of the meta, and it came in this process). */
  readonly isWaiting: boolean;
}

export class HeldEntry implements PendingEntry {
  readonly id: string;
  attempt: number;
  crashes: number;
  isSuspect = false;
  readonly fairKey: string;
  readonly acceptedAtMs: number;
  readonly logName: string | null;
  readonly isWaiting: boolean;
  readonly generation: number;
  /** What it counts for in the bounds. */
  weight: number;
  isStarted = false;
  isRunning = false;
  isEnded = false;
  /** Of its body, where that lies beside the journal. */
  digest: string | null = null;
  segment: Segment;
  at: number;
  length: number;
  chunk: Chunk | null = null;
  chunkAt = 0;
  /** Events that are not confirmed. */
  events = 0;
  /** The event that it ended with: kept on disk until the entry leaves. */
  end: HeldReport | null = null;
  /** Other segments that hold records of it. */
  others: Segment[] | null = null;

  constructor(head: EntryHead, logName: string | null, segment: Segment, at: number, length: number) {
    this.id = head.id;
    this.attempt = head.attempt;
    this.crashes = head.crashes;
    this.fairKey = head.fairKey;
    this.acceptedAtMs = head.acceptedAtMs;
    this.generation = head.generation;
    this.weight = head.weight;
    this.logName = logName;
    this.isWaiting = logName !== null && (head.flags & isWaitingFlag) !== 0;
    this.segment = segment;
    this.at = at;
    this.length = length;
  }
}

/** What waits to be reported. */
export interface StoredReport {
  /** `reportKey` of the event. */
  readonly key: string;
  /** JSON of a `ReportEvent`. */
  readonly json: string;
}

export class HeldReport {
  readonly key: string;
  readonly position: number;
  /** Null for rejections, and for events whose entry is gone already. */
  entry: HeldEntry | null;
  /** Kept refusals of an ingress log: their id; null for events. */
  readonly rejectionId: string | null;
  /** What `release` gives back of the bounds. */
  readonly weight: number;
  readonly entries: number;
  isEnd = false;
  /** Its finish carries states. */
  hasStates = false;
  isConfirmed = false;
  digest: string | null = null;
  segment: Segment;
  at: number;
  length: number;
  others: Segment[] | null = null;
  /** Null while it is on disk only. */
  json: string | null = null;

  constructor(
    facts: { key: string; position: number; rejectionId: string | null; weight: number; entries: number },
    entry: HeldEntry | null,
    segment: Segment,
    at: number,
    length: number,
  ) {
    this.key = facts.key;
    this.position = facts.position;
    this.rejectionId = facts.rejectionId;
    this.weight = facts.weight;
    this.entries = facts.entries;
    this.entry = entry;
    this.segment = segment;
    this.at = at;
    this.length = length;
  }
}

export function addOther(held: { segment: Segment; others: Segment[] | null }, segment: Segment): void {
  if (segment === held.segment) return;
  if (held.others === null) held.others = [segment];
  else if (!held.others.includes(segment)) held.others.push(segment);
}

/** All segments that hold a record of it. */
export const segmentsOf = (held: { segment: Segment; others: Segment[] | null }): Segment[] =>
  held.others === null ? [held.segment] : [held.segment, ...held.others];
