/**
 * The threads that flows run in, and who is to blame when one dies.
 *
 * A thread runs many pieces of work at once. When it dies (blocked, out of memory, exited), work that it had
 * not begun goes back to the head of the queue. If one piece was running, it is charged. If several were,
 * nobody knows which one did it: each runs again alone in a thread, and whoever kills its thread again is
 * charged, and only that one.
 */
import type { Config } from "../shared/config.ts";
import type { ExecutionErrorCode } from "../shared/errors.ts";
import type { RunContext } from "./contexts.ts";
import { createFifo } from "./fifo.ts";
import { resultsFolder } from "./resultFiles.ts";
import { startRunProcess } from "./runProcess.ts";
import type { LastWord, WordKind } from "./runtime/lastWords.ts";
import {
  type FromThread,
  type PlainEnds,
  type PrepareWork,
  plainEndMembers,
  type ReportTexts,
  type TriggerOutcome,
  type WorkEnd,
} from "./runtime/messages.ts";
import { type RunToSend, sizeOfRun } from "./runtime/runBatch.ts";
import { memoryBytes, startThread, type Thread } from "./thread.ts";
import { createThreadContexts, type ThreadContexts } from "./threadContexts.ts";

/** A run of one part of an execution, as a thread gets it. */
export interface RunWork extends Omit<RunToSend, "id" | "context"> {
  kind: "run";
  context: RunContext;
}

/** A piece of work. Its members that are called are called from the pool, never after `onEnd`. */
export interface Job {
  work: RunWork | ({ kind: "prepare" } & PrepareWork);
  timeoutMs: number;
  /** Told before `onTrigger` or `onRerun` where both come at once. */
  onReports(reports: ReportTexts): void;
  onTrigger(outcome: TriggerOutcome): void;
  /** Its thread died beside others: it is about to run again, from the start. */
  onRerun(reason: string): void;
  /** It took its thread down; told before the end. */
  onCharged?(reason: string): void;
  /** `thread`: the number of the one that it ran on. */
  onEnd(end: WorkEnd, thread: number): void;
  /** Awaited when a thread is about to take the work. */
  beforeStart?: (() => Promise<void>) | undefined;
}

export interface Threads {
  run(job: Job): void;
  /** The same for many, which go to their threads together. */
  runAll(jobs: readonly Job[]): void;
  /** Ends the run of this execution, where a thread has it; false where none has (yet). */
  cancel(executionId: string, reason: string): boolean;
  stop(): void;
  stats(): ThreadsStats;
}

export interface ThreadsStats {
  threads: number;
  running: number;
  waiting: number;
  /** Threads that died or were ended since the start. */
  threadsLost: number;
}

export interface ThreadsOptions {
  config: Pick<
    Config,
    | "runThreads"
    | "runsPerThreadMax"
    | "runBlockedTimeoutMs"
    | "runTimeoutMs"
    | "runMemoryMb"
    | "bodyBytesMax"
    | "storedResultBytesMax"
    | "dataDir"
    | "outbound"
    | "runIsolation"
    | "runProcessesMax"
  >;
  /** For the operator: a thread was lost, or flow code wrote outside of a run. */
  onNotice(level: "warn" | "debug", message: string): void;
}

interface Entry {
  id: number;
  /** Let go of at the end: see `running` in runtime/thread.ts. */
  job: Job;
  /** Its position among what was sent to its thread; infinite until it is sent. */
  sent: number;
  /** When its time is up, by the clock that is never set (`performance.now()`). */
  dueAtMs: number;
  /** Why it was told to stop: out of time, or canceled. */
  stopped: { code: ExecutionErrorCode; error: string } | null;
  weight: number;
  /** What it wrote was told up to here. */
  nextSequence: number;
  sectionCount: number;
}

interface Room {
  /** For people: never used twice. */
  number: number;
  thread: Thread;
  contexts: ThreadContexts;
  entries: Map<number, Entry>;
  /** What is sent at the end of the turn. */
  outgoing: Entry[];
  weight: number;
  sent: number;
  /** For one piece of work at a time, which may have killed a thread. */
  isSolo: boolean;
  /** What may run there: see `placeKey`. */
  key: string;
  usedAtMs: number;
  isReady: boolean;
  whenReady: (() => void)[];
  /** Takes no new work; ends when what runs has ended. */
  isRetired: boolean;
  /** Work that was given up for its time: its code may go on, so it may be to blame. */
  zombies: number;
  checksMissed: number;
  /** At the last check it had nothing to do, and so no heartbeat. */
  wasAtRest: boolean;
}

/** Checks in a row without a heartbeat. Counted, not timed: a laptop that slept blocked no thread. */
const checksMissedMax = 5;
const beatsPerCheck = 3;
const checkIntervalMaxMs = 2000;
/** Suspects run alone, so a few threads more bound how long the others wait. */
const soloThreadsMin = 4;
/** What a thread's runs are sent may take this share of its heap: they are decoded, parsed and kept too. */
const weightShareOfMemory = 1 / 16;
/** How long a run that is out of time has to hand over what it wrote. */
const stopAnswerTimeoutMs = 1000;
const restartDelayMs = 1000;
/** One sweep looks at what is out of time, instead of a timer for each run: late by a tenth at most. */
const sweepMs = { least: 10, most: 250 };
/** A body above this goes alone, so that its thread need not copy it out of the batch. */
const aloneBytes = 64 * 1024;
const batchBytesMax = 1024 * 1024;

export function createThreads({ config, onNotice }: ThreadsOptions): Threads {
  const rooms = new Set<Room>();
  const queue = createFifo<Job>();
  const suspects = createFifo<Job>();
  const soloThreadsMax = Math.max(soloThreadsMin, config.runThreads);
  const weightMax = memoryBytes(config.runMemoryMb) * weightShareOfMemory;
  const checkIntervalMs = Math.min(
    checkIntervalMaxMs,
    Math.ceil(config.runBlockedTimeoutMs / checksMissedMax),
  );
  const checksAllowed = Math.max(checksMissedMax, Math.ceil(config.runBlockedTimeoutMs / checkIntervalMs));
  let nextId = 1;
  let lastNumber = 0;
  let threadsLost = 0;
  let isStopped = false;
  const checking = setInterval(checkRooms, checkIntervalMs);
  checking.unref();
  const sweepIntervalMs = Math.max(sweepMs.least, Math.min(sweepMs.most, config.runTimeoutMs / 10));
  let sweeping: NodeJS.Timeout | null = null;
  /** With a process for each bundle they are opened when they are needed. */
  const isByBundle = config.runIsolation === "process" && config.runThreads > 0;
  const startRoom = isByBundle ? startRunProcess : startThread;
  if (!isByBundle) for (let i = 0; i < config.runThreads; i++) openRoom(false, "");

  function openRoom(isSolo: boolean, key: string): Room {
    const thread = startRoom({
      memoryMb: config.runMemoryMb,
      beatIntervalMs: Math.max(10, Math.floor(checkIntervalMs / beatsPerCheck)),
      answerBytesMax: config.bodyBytesMax,
      storedResults: { folder: resultsFolder(config.dataDir), bytesMax: config.storedResultBytesMax },
      outbound: config.outbound,
      onMessage: (message) => handle(room, message),
      onExit: (reason) => lose(room, "RUN_KILLED_THREAD", reason),
    });
    const room: Room = {
      thread,
      number: ++lastNumber,
      contexts: createThreadContexts(thread.send),
      entries: new Map(),
      outgoing: [],
      weight: 0,
      sent: 0,
      isSolo,
      key,
      usedAtMs: performance.now(),
      isReady: false,
      whenReady: [],
      isRetired: false,
      zombies: 0,
      checksMissed: 0,
      wasAtRest: true,
    };
    rooms.add(room);
    return room;
  }

  function assign(): void {
    if (isStopped) return;
    if (isByBundle) assignByBundle();
    for (let job = isByBundle ? undefined : queue.peek(); job !== undefined; job = queue.peek()) {
      const room = roomFor(weightOf(job), "");
      if (room === undefined) break;
      queue.shift();
      begin(room, job);
    }
    for (let job = suspects.peek(); job !== undefined; job = suspects.peek()) {
      const key = isByBundle ? placeKey(job) : "";
      const solos = [...rooms].filter((room) => room.isSolo);
      const idle = solos.filter((room) => room.entries.size === 0 && !room.isRetired);
      let free = idle.find((room) => room.key === key);
      if (free === undefined && solos.length >= soloThreadsMax) {
        if (idle.length === 0) break;
        close(idle[0]!);
      }
      free ??= openRoom(true, key);
      suspects.shift();
      begin(free, job);
    }
    for (const room of rooms) {
      sendOutgoing(room);
      if (room.isSolo && suspects.size() === 0 && room.entries.size === 0) close(room);
    }
  }

  /** Those whose bundle has no room wait; others go past them. The scheduler bounds how many are here. */
  function assignByBundle(): void {
    const waiting: Job[] = [];
    const full = new Set<string>();
    for (let job = queue.shift(); job !== undefined; job = queue.shift()) {
      const key = placeKey(job);
      const room = full.has(key) ? undefined : (roomFor(weightOf(job), key) ?? newRoomFor(key));
      if (room !== undefined) begin(room, job);
      else {
        full.add(key);
        waiting.push(job);
      }
    }
    for (const job of waiting) queue.push(job);
  }

  /** Where the bundle has none: a new one, or in the place of the one that was idle for the longest time. */
  function newRoomFor(key: string): Room | undefined {
    const all = [...rooms].filter((room) => !room.isSolo);
    if (all.some((room) => room.key === key && !room.isRetired)) return undefined;
    if (all.length >= config.runProcessesMax) {
      const idle = all.filter((room) => room.entries.size === 0);
      if (idle.length === 0) return undefined;
      close(idle.reduce((a, b) => (a.usedAtMs <= b.usedAtMs ? a : b)));
    }
    return openRoom(false, key);
  }

  /** The least busy thread that has room and whose event loop turns. */
  function roomFor(weight: number, key: string): Room | undefined {
    let best: Room | undefined;
    for (const room of rooms) {
      const isFull =
        room.entries.size >= config.runsPerThreadMax ||
        (room.entries.size > 0 && room.weight + weight > weightMax);
      if (room.isSolo || room.key !== key || room.isRetired || isFull || room.checksMissed > 1) continue;
      if (best === undefined || room.entries.size < best.entries.size) best = room;
    }
    return best;
  }

  function begin(room: Room, job: Job): void {
    const entry: Entry = {
      id: nextId++,
      job,
      sent: Number.POSITIVE_INFINITY,
      dueAtMs: performance.now() + job.timeoutMs,
      stopped: null,
      weight: weightOf(job),
      nextSequence: job.work.kind === "run" ? job.work.firstSequence : 0,
      sectionCount: 0,
    };
    room.weight += entry.weight;
    room.usedAtMs = entry.dueAtMs - job.timeoutMs;
    room.entries.set(entry.id, entry);
    sweeping ??= setInterval(sweep, sweepIntervalMs);
    const { beforeStart } = job;
    if (beforeStart === undefined) {
      room.outgoing.push(entry);
      return;
    }
    const send = () => {
      if (!rooms.has(room) || room.entries.get(entry.id) !== entry) return;
      room.outgoing.push(entry);
      sendOutgoing(room);
    };
    whenReady(room, () => void beforeStart().then(send, send));
  }

  /** In batches of a bounded size; `sent` counts in the order in which the thread will begin them. */
  function sendOutgoing(room: Room): void {
    if (room.outgoing.length === 0) return;
    let batch: RunToSend[] = [];
    let bytes = 0;
    const sendBatch = () => {
      if (batch.length > 0) {
        room.contexts.sendChanges();
        room.thread.sendRuns(batch);
      }
      batch = [];
      bytes = 0;
    };
    for (const entry of room.outgoing) {
      const { work } = entry.job;
      entry.sent = ++room.sent;
      if (work.kind === "prepare") {
        sendBatch();
        const { bundles, steps, dataSource } = work;
        room.thread.send({ kind: "prepare", id: entry.id, work: { bundles, steps, dataSource } });
        continue;
      }
      const isAlone = entry.weight > aloneBytes;
      if (isAlone || bytes + entry.weight > batchBytesMax) sendBatch();
      const { firstSequence, needsResult, needsRequest, meta, body } = work;
      const context = room.contexts.numberOf(work.context);
      batch.push({ id: entry.id, context, firstSequence, needsResult, needsRequest, meta, body });
      bytes += entry.weight;
      if (isAlone) sendBatch();
    }
    sendBatch();
    room.outgoing = [];
  }

  /** Once its thread has started up, so that nothing stands between the word and the deed. */
  function whenReady(room: Room, then: () => void): void {
    if (room.isReady) then();
    else room.whenReady.push(then);
  }

  function handle(room: Room, message: FromThread): void {
    if (message.kind === "ready") {
      room.isReady = true;
      for (const then of room.whenReady.splice(0)) then();
    } else if (message.kind === "worn") {
      onNotice("warn", "A run thread is replaced: its runs left too many timers or connections open.");
      retire(room);
    } else if (message.kind === "output")
      onNotice("debug", `Flow code wrote outside of a run: ${message.text}`);
    else if (message.kind === "ends") {
      handlePlainEnds(room, message.ends);
      afterEnds(room);
    } else {
      const entry = room.entries.get(message.id);
      if (entry === undefined) return;
      if (message.kind === "progress" || message.kind === "trigger") {
        entry.nextSequence = message.reports.nextSequence;
        entry.sectionCount = message.reports.sectionCount;
        entry.job.onReports(message.reports);
        if (message.kind === "trigger") entry.job.onTrigger(message.outcome);
        return;
      }
      end(room, entry, message.end);
      afterEnds(room);
    }
  }

  function handlePlainEnds(room: Room, ends: PlainEnds): void {
    for (let at = 0; at < ends.length; at += plainEndMembers) {
      const entry = room.entries.get(ends[at] as number);
      if (entry === undefined) continue;
      end(room, entry, {
        status: "SUCCEEDED",
        errorCode: null,
        error: null,
        endedAtMs: ends[at + 1] as number,
        result: null,
        reports: {
          nextSequence: ends[at + 2] as number,
          sectionCount: ends[at + 3] as number,
          logs: ends[at + 4] as string,
          steps: ends[at + 5] as string,
          sections: ends[at + 6] as string,
        },
        requestJson: ends[at + 7] as string | null,
        trigger: null,
      });
    }
  }

  function afterEnds(room: Room): void {
    if (room.isRetired && room.entries.size === 0) close(room);
    assign();
  }

  function end(room: Room, entry: Entry, ended: WorkEnd): void {
    remove(room, entry);
    const { job } = entry;
    entry.job = endedJob;
    if (ended.trigger !== null) job.onTrigger(ended.trigger);
    job.onEnd(ended, room.number);
  }

  function remove(room: Room, entry: Entry): void {
    room.entries.delete(entry.id);
    room.weight -= entry.weight;
  }

  function sweep(): void {
    const nowMs = performance.now();
    let entries = 0;
    for (const room of rooms) {
      entries += room.entries.size;
      for (const entry of room.entries.values()) if (entry.dueAtMs <= nowMs) timeOut(room, entry, nowMs);
    }
    if (entries > 0 || sweeping === null) return;
    clearInterval(sweeping);
    sweeping = null;
  }

  /** The run is told to hand over what it wrote; its thread takes nothing more, for its code may go on. */
  function timeOut(room: Room, entry: Entry, nowMs: number): void {
    const { job } = entry;
    if (entry.stopped !== null) {
      endStopped(room, entry, entry.stopped);
      if (room.entries.size === 0) close(room);
      assign();
    } else if (entry.sent > room.thread.taken()) {
      // It waited for its thread, to start up or to turn: its time begins now.
      entry.dueAtMs = nowMs + job.timeoutMs;
    } else if (room.checksMissed > 0) {
      // Its thread is blocked, maybe by another run: whose fault the delay is comes out first.
      entry.dueAtMs = nowMs + checkIntervalMs;
    } else {
      stopEntry(room, entry, "RUN_TIMEOUT", `The run took longer than ${job.timeoutMs} ms.`);
    }
  }

  function stopEntry(room: Room, entry: Entry, code: ExecutionErrorCode, error: string): void {
    entry.stopped = { code, error };
    entry.dueAtMs = performance.now() + stopAnswerTimeoutMs;
    room.thread.send({ kind: "stop", id: entry.id, errorCode: code, error });
    room.zombies++;
    retire(room);
  }

  const endStopped = (room: Room, entry: Entry, { code, error }: NonNullable<Entry["stopped"]>): void =>
    end(room, entry, failed(code, error, reportsOf(room, entry)));

  function cancelIn(room: Room, entry: Entry, reason: string): void {
    if (entry.stopped !== null) return;
    if (entry.sent !== Number.POSITIVE_INFINITY) {
      stopEntry(room, entry, "CANCELED", reason);
      return;
    }
    // It has not been sent.
    room.outgoing = room.outgoing.filter((other) => other !== entry);
    end(room, entry, failed("CANCELED", reason, null));
    afterEnds(room);
  }

  function retire(room: Room): void {
    if (room.isRetired) return;
    room.isRetired = true;
    if (!room.isSolo && !isStopped && !isByBundle) openRoom(false, "");
  }

  function close(room: Room): void {
    if (!rooms.delete(room)) return;
    room.thread.terminate();
  }

  function checkRooms(): void {
    for (const room of rooms) {
      if (!room.isReady) continue;
      const isAtRest = room.thread.rested() === room.sent;
      // What was sent a moment ago may not have been taken yet.
      const isWell = room.thread.hasBeaten() || isAtRest || room.wasAtRest;
      room.checksMissed = isWell ? 0 : room.checksMissed + 1;
      room.wasAtRest = isAtRest;
      if (room.checksMissed >= checksAllowed) {
        const reason = `The thread was blocked for ${config.runBlockedTimeoutMs} ms.`;
        lose(room, "RUN_BLOCKED_THREAD", reason);
      } else {
        void checkMemory(room);
      }
    }
    // A thread that was slow for a moment may take work again.
    assign();
  }

  async function checkMemory(room: Room): Promise<void> {
    if (room.entries.size === 0) return;
    const bytes = await room.thread.externalBytes();
    if (bytes <= memoryBytes(config.runMemoryMb) || !rooms.has(room)) return;
    lose(
      room,
      "RUN_KILLED_THREAD",
      `The thread held more than ${config.runMemoryMb} MB outside of its heap.`,
    );
  }

  function lose(room: Room, code: ExecutionErrorCode, reason: string): void {
    if (!rooms.delete(room)) return;
    room.thread.terminate(); // Handles what it had sent: some of the entries may have ended.
    threadsLost++;
    const taken = room.thread.taken();
    const begun: Entry[] = [];
    const waiting: Entry[] = [];
    for (const entry of room.entries.values()) {
      const ended = plainEndOf(room, entry);
      if (ended !== null) end(room, entry, ended);
      else if (entry.stopped === null) (entry.sent <= taken ? begun : waiting).push(entry);
      else endStopped(room, entry, entry.stopped);
    }
    for (const entry of waiting.reverse()) {
      remove(room, entry);
      (room.isSolo ? suspects : queue).unshift(entry.job);
    }
    onNotice("warn", `A run thread was lost with ${begun.length} runs on it. ${reason}`);
    const isKnown = begun.length === 1 && room.zombies === 0;
    for (const entry of begun) {
      const reports = reportsOf(room, entry);
      if (isKnown) {
        entry.job.onCharged?.(reason);
        end(room, entry, failed(code, reason, reports));
        continue;
      }
      remove(room, entry);
      if (reports !== null) entry.job.onReports(reports);
      entry.job.onRerun(reason);
      suspects.push(entry.job);
    }
    if (!room.isSolo && !room.isRetired && !isStopped) replace(room);
    // A thread that does not even start is not tried in a loop: the next check goes on.
    if (room.isReady) assign();
  }

  function replace(room: Room): void {
    if (isByBundle) return;
    if (room.isReady) openRoom(false, "");
    else setTimeout(() => isStopped || openRoom(false, ""), restartDelayMs).unref();
  }

  return {
    run(job) {
      queue.push(job);
      assign();
    },
    runAll(jobs) {
      for (const job of jobs) queue.push(job);
      assign();
    },
    cancel(executionId, reason) {
      const mark = `"id":"${executionId}","invokeType":`;
      for (const room of rooms) {
        for (const entry of room.entries.values()) {
          const { work } = entry.job;
          // Texts in a meta are escaped, so this is nowhere else in it.
          if (work.kind !== "run" || !work.meta.includes(mark)) continue;
          cancelIn(room, entry, reason);
          return true;
        }
      }
      return false;
    },
    stop() {
      isStopped = true;
      clearInterval(checking);
      if (sweeping !== null) clearInterval(sweeping);
      for (const room of [...rooms]) {
        room.entries.clear();
        close(room);
      }
    },
    stats() {
      let running = 0;
      for (const room of rooms) running += room.entries.size;
      return { threads: rooms.size, running, waiting: queue.size() + suspects.size(), threadsLost };
    },
  };
}

const endedJob: Job = {
  work: { kind: "prepare", bundles: {}, steps: [] },
  timeoutMs: 0,
  onReports() {},
  onTrigger() {},
  onRerun() {},
  onEnd() {},
};

/** Work with the same key shares a process, where each bundle has one of its own. */
function placeKey({ work }: Job): string {
  const bundles = work.kind === "run" ? work.context.code.bundles : work.bundles;
  return Object.values(bundles)
    .map(({ digest, owner }) => `${digest} ${owner ?? ""}`)
    .sort()
    .join();
}

const weightOf = ({ work }: Job): number => (work.kind === "run" ? sizeOfRun(work) : 0);

function failed(errorCode: ExecutionErrorCode, error: string, reports: ReportTexts | null): WorkEnd {
  return {
    status: "FAILED",
    errorCode,
    error,
    endedAtMs: Date.now(),
    result: null,
    reports,
    requestJson: null,
    trigger: null,
  };
}

/** The end of a run that went well, which its thread did not get to send. */
function plainEndOf(room: Room, entry: Entry): WorkEnd | null {
  const word = room.thread.lastWords().find(({ id, kind }) => id === entry.id && kind === "end");
  if (word === undefined) return null;
  return {
    status: "SUCCEEDED",
    errorCode: null,
    error: null,
    endedAtMs: Number(word.json),
    result: null,
    reports: reportsOf(room, entry),
    requestJson: null,
    trigger: null,
  };
}

/** What the run wrote and its thread did not send any more. */
function reportsOf(room: Room, { id, ...told }: Entry): ReportTexts | null {
  // It may have died between sending and clearing.
  const isNew = ({ kind, number }: LastWord) =>
    kind === "section" ? number > told.sectionCount : number >= told.nextSequence;
  const words = room.thread.lastWords().filter((word) => word.id === id && isNew(word));
  if (words.length === 0) return null;
  const texts = (kind: WordKind) =>
    words
      .filter((word) => word.kind === kind)
      .map(({ json }) => json)
      .join(",");
  let { nextSequence, sectionCount } = told;
  for (const { kind, number } of words) {
    if (kind === "section") sectionCount = Math.max(sectionCount, number);
    else nextSequence = Math.max(nextSequence, kind === "end" ? number : number + 1);
  }
  return {
    logs: texts("log"),
    steps: texts("step"),
    sections: texts("section"),
    nextSequence,
    sectionCount,
  };
}
