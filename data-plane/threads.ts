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
import { createFifo } from "./fifo.ts";
import {
  type FromThread,
  noReports,
  type Reports,
  type TriggerOutcome,
  type Work,
  type WorkEnd,
} from "./runtime/messages.ts";
import { memoryBytes, startThread, type Thread } from "./thread.ts";

/** A piece of work. Each member but `work` is called from the pool, never after `onEnd`. */
export interface Job {
  work: Work;
  /** What it weighs in a thread's memory: the length of its body. */
  weight: number;
  timeoutMs: number;
  onReports(reports: Reports): void;
  onTrigger(outcome: TriggerOutcome): void;
  /** Its thread died beside others: it is about to run again, from the start. */
  onRerun(reason: string): void;
  onEnd(end: WorkEnd): void;
  /** Awaited when a thread is about to take the work. */
  beforeStart?: (() => Promise<void>) | undefined;
}

export interface Threads {
  run(job: Job): void;
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
  >;
  /** For the operator: a thread was lost, or flow code wrote outside of a run. */
  onNotice(level: "warn" | "debug", message: string): void;
}

interface Entry {
  id: number;
  job: Job;
  /** Its position among what was sent to its thread; infinite until it is sent. */
  sent: number;
  timer: NodeJS.Timeout;
  /** Why it was told to stop, once it is out of time. */
  stopped: string | null;
}

interface Room {
  thread: Thread;
  entries: Map<number, Entry>;
  weight: number;
  sent: number;
  /** For one piece of work at a time, which may have killed a thread. */
  isSolo: boolean;
  isReady: boolean;
  whenReady: (() => void)[];
  /** Takes no new work; ends when what runs has ended. */
  isRetired: boolean;
  /** Work that was given up for its time: its code may go on, so it may be to blame. */
  zombies: number;
  checksMissed: number;
}

/** Checks in a row without a heartbeat. Counted, not timed: a laptop that slept blocked no thread. */
const checksMissedMax = 5;
const beatsPerCheck = 3;
const checkIntervalMaxMs = 2000;
/** Suspects run alone, so a few threads more bound how long the others wait. */
const soloThreadsMin = 4;
/** Base64 bodies of a thread's runs may take this share of its heap: they are decoded, parsed and kept too. */
const weightShareOfMemory = 1 / 16;
/** How long a run that is out of time has to hand over what it wrote. */
const stopAnswerTimeoutMs = 1000;
const restartDelayMs = 1000;

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
  let threadsLost = 0;
  let isStopped = false;
  const checking = setInterval(checkRooms, checkIntervalMs);
  checking.unref();
  for (let i = 0; i < config.runThreads; i++) openRoom(false);

  function openRoom(isSolo: boolean): Room {
    const room: Room = {
      thread: startThread({
        memoryMb: config.runMemoryMb,
        beatIntervalMs: Math.max(10, Math.floor(checkIntervalMs / beatsPerCheck)),
        answerBytesMax: config.bodyBytesMax,
        onMessage: (message) => handle(room, message),
        onExit: (reason) => lose(room, "RUN_KILLED_THREAD", reason),
      }),
      entries: new Map(),
      weight: 0,
      sent: 0,
      isSolo,
      isReady: false,
      whenReady: [],
      isRetired: false,
      zombies: 0,
      checksMissed: 0,
    };
    rooms.add(room);
    return room;
  }

  function assign(): void {
    if (isStopped) return;
    for (let job = queue.peek(); job !== undefined; job = queue.peek()) {
      const room = roomFor(job);
      if (room === undefined) break;
      queue.shift();
      begin(room, job);
    }
    for (let job = suspects.peek(); job !== undefined; job = suspects.peek()) {
      const solos = [...rooms].filter((room) => room.isSolo);
      const free = solos.find((room) => room.entries.size === 0 && !room.isRetired);
      if (free === undefined && solos.length >= soloThreadsMax) break;
      suspects.shift();
      begin(free ?? openRoom(true), job);
    }
    if (suspects.size() === 0) {
      for (const room of rooms) if (room.isSolo && room.entries.size === 0) close(room);
    }
  }

  /** The least busy thread that has room and whose event loop turns. */
  function roomFor(job: Job): Room | undefined {
    let best: Room | undefined;
    for (const room of rooms) {
      const isFull =
        room.entries.size >= config.runsPerThreadMax ||
        (room.entries.size > 0 && room.weight + job.weight > weightMax);
      if (room.isSolo || room.isRetired || isFull || room.checksMissed > 1) continue;
      if (best === undefined || room.entries.size < best.entries.size) best = room;
    }
    return best;
  }

  function begin(room: Room, job: Job): void {
    const id = nextId++;
    const timer = setTimeout(() => timeOut(room, id), job.timeoutMs);
    const entry: Entry = { id, job, sent: Number.POSITIVE_INFINITY, timer, stopped: null };
    room.weight += job.weight;
    room.entries.set(id, entry);
    const send = () => {
      if (!rooms.has(room) || room.entries.get(id) !== entry) return;
      entry.sent = ++room.sent;
      room.thread.send({ kind: "start", id, work: job.work });
    };
    const { beforeStart } = job;
    if (beforeStart === undefined) send();
    else whenReady(room, () => void beforeStart().then(send, send));
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
    } else if (message.kind === "output")
      onNotice("debug", `Flow code wrote outside of a run: ${message.text}`);
    else {
      const entry = room.entries.get(message.id);
      if (entry === undefined) return;
      if (message.kind === "progress") {
        entry.job.onReports(message.reports);
        return;
      }
      if (message.kind === "trigger") {
        entry.job.onReports(message.reports);
        entry.job.onTrigger(message.outcome);
        return;
      }
      end(room, entry, message.end);
      if (room.isRetired && room.entries.size === 0) close(room);
      assign();
    }
  }

  function end(room: Room, entry: Entry, ended: WorkEnd): void {
    remove(room, entry);
    if (ended.trigger !== null) entry.job.onTrigger(ended.trigger);
    entry.job.onEnd(ended);
  }

  function remove(room: Room, entry: Entry): void {
    clearTimeout(entry.timer);
    room.entries.delete(entry.id);
    room.weight -= entry.job.weight;
  }

  /** The run is told to hand over what it wrote; its thread takes nothing more, for its code may go on. */
  function timeOut(room: Room, id: number): void {
    const entry = room.entries.get(id);
    if (entry === undefined) return;
    if (entry.sent > room.thread.taken()) {
      // It waited for its thread, to start up or to turn: its time begins now.
      entry.timer = setTimeout(() => timeOut(room, id), entry.job.timeoutMs);
      return;
    }
    if (room.checksMissed > 0) {
      // Its thread is blocked, maybe by another run: whose fault the delay is comes out first.
      entry.timer = setTimeout(() => timeOut(room, id), checkIntervalMs);
      return;
    }
    const error = `The run took longer than ${entry.job.timeoutMs} ms.`;
    entry.stopped = error;
    room.thread.send({ kind: "stop", id, errorCode: "RUN_TIMEOUT", error });
    room.zombies++;
    retire(room);
    entry.timer = setTimeout(() => {
      if (!room.entries.has(id)) return;
      end(room, entry, failed("RUN_TIMEOUT", error, reportsOf(room, id)));
      if (room.entries.size === 0) close(room);
      assign();
    }, stopAnswerTimeoutMs);
  }

  function retire(room: Room): void {
    if (room.isRetired) return;
    room.isRetired = true;
    if (!room.isSolo && !isStopped) openRoom(false);
  }

  function close(room: Room): void {
    if (!rooms.delete(room)) return;
    room.thread.terminate();
  }

  function checkRooms(): void {
    for (const room of rooms) {
      if (!room.isReady) continue;
      room.checksMissed = room.thread.hasBeaten() ? 0 : room.checksMissed + 1;
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
      if (entry.stopped === null) (entry.sent <= taken ? begun : waiting).push(entry);
      else end(room, entry, failed("RUN_TIMEOUT", entry.stopped, reportsOf(room, entry.id)));
    }
    for (const entry of waiting.reverse()) {
      remove(room, entry);
      (room.isSolo ? suspects : queue).unshift(entry.job);
    }
    onNotice("warn", `A run thread was lost with ${begun.length} runs on it. ${reason}`);
    const isKnown = begun.length === 1 && room.zombies === 0;
    for (const entry of begun) {
      const reports = reportsOf(room, entry.id);
      if (isKnown) {
        end(room, entry, failed(code, reason, reports));
        continue;
      }
      remove(room, entry);
      entry.job.onReports(reports);
      entry.job.onRerun(reason);
      suspects.push(entry.job);
    }
    if (!room.isSolo && !room.isRetired && !isStopped) replace(room);
    // A thread that does not even start is not tried in a loop: the next check goes on.
    if (room.isReady) assign();
  }

  function replace(room: Room): void {
    if (room.isReady) openRoom(false);
    else setTimeout(() => isStopped || openRoom(false), restartDelayMs).unref();
  }

  return {
    run(job) {
      queue.push(job);
      assign();
    },
    stop() {
      isStopped = true;
      clearInterval(checking);
      for (const room of [...rooms]) {
        for (const entry of room.entries.values()) clearTimeout(entry.timer);
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

function failed(errorCode: ExecutionErrorCode, error: string, reports: Reports): WorkEnd {
  return { status: "FAILED", errorCode, error, endedAtMs: Date.now(), result: null, reports, trigger: null };
}

/** What the run wrote and its thread did not send any more. */
function reportsOf(room: Room, id: number): Reports {
  const reports = noReports();
  for (const word of room.thread.lastWords()) {
    if (word.id !== id) continue;
    if (word.log !== undefined) reports.logs.push(word.log);
    else if (word.step !== undefined) reports.steps.push(word.step);
    else reports.sections.push(word.section);
  }
  return reports;
}
