/**
 * The main thread's side of the ingress threads: starts them, tells them what changes, hands on what they
 * tell. They listen on one port; each appends what it accepts to a log of its own.
 */
import { Worker } from "node:worker_threads";
import { type Config, setTransportLimits } from "../shared/config.ts";
import { ConfigurationError } from "../shared/errors.ts";
import type { RejectionEvent } from "../shared/reports.ts";
import type { AnsweredWebhook } from "./answeredWebhooks.ts";
import { type Answer, headersBytesMax } from "./ingress.ts";
import {
  type FromIngressThread,
  type IngressShared,
  type IngressStats,
  type IngressThreadData,
  ingressShared,
  type NoticeLevel,
  type ToIngressThread,
} from "./ingressMessages.ts";
import type { JournalBounds } from "./journal/bounds.ts";
import type { KeyUseReport } from "./keyUse.ts";
import type { ReplicaState } from "./replica/state.ts";

export interface IngressThreadsOptions {
  config: Config;
  journalFolder: string;
  journalBounds: JournalBounds;
  replicaFolder: string;
  resultsFolder: string;
  replica: ReplicaState;
  /** Null until the first feed page was applied: until then webhooks are answered 503. */
  pepper: Uint8Array | null;
  /** When the replica was last known to be what the control plane has; null for never. */
  currentAtMs: number | null;
  /** The log's file is on disk up to here. */
  onSynced(file: string, upTo: number): void;
  /** Refusals to be reported, in batches; those with their whole request are in the log instead. */
  onRejections(events: RejectionEvent[]): void;
  onKeyUse(uses: KeyUseReport[]): void;
  /** Webhooks that were answered and are to be logged or traced. */
  onAnswered(webhooks: AnsweredWebhook[]): void;
  onNotice(level: NoticeLevel, fields: Record<string, unknown>, message: string): void;
  /** A thread found its replica file damaged. */
  onDamagedReplica(generation: number, reason: string): void;
  /** The text of `/metrics`. */
  metrics(): Promise<string>;
  /** A thread died: nothing is served any more, so the process must end, and say why. */
  onFatal(error: Error): void;
}

export interface IngressThreads {
  /** The one that was taken, where the setting is 0. */
  port: number;
  /** Resolves when all threads serve this state of the replica, with this pepper. */
  refresh(replica: ReplicaState, pepper: Uint8Array | null): Promise<void>;
  /** Answers a request that waits; nothing happens where its sender is gone. */
  answer(logName: string, id: string, answer: Answer): void;
  /** The replica is what the control plane had at this time. */
  noteCurrent(atMs: number): void;
  /** New connections get the certificate that is in the files now; where that can't be used, the last one stays. */
  renewCertificate(): void;
  /** From now on webhooks are answered 503. */
  startDraining(): void;
  /** New connections are not accepted any more. */
  stopListening(): void;
  /** Requests that were begun and not answered yet. */
  openRequests(): number;
  /** One for each thread. */
  stats(): Promise<IngressStats[]>;
  /** Hands on what is left to tell, syncs and closes the logs, closes what is still open. */
  close(): Promise<void>;
}

/**
 * What is accepted lives until it is on disk, some milliseconds: in a small young generation much of it is
 * promoted, and collected dearly later.
 */
const youngGenerationMb = 64;
/** The caches take some 200 MB; without a limit the heap is let grow to several times that before it is tidied up. */
const oldGenerationMb = 768;

/** A thread that does not hear of it by then is stuck, and the process ends all the same. */
const closeTransportMs = 1_000;

/** Throws `ConfigurationError` where the port is taken. */
export async function startIngressThreads(options: IngressThreadsOptions): Promise<IngressThreads> {
  setTransportLimits({ headersBytesMax });
  const ask = createQuestions();
  const threads: IngressThread[] = [];
  const acceptor = () => threads[0]!;
  let isClosing = false;
  const start = (index: number) =>
    startThread(options, index, ask, {
      onApp: (descriptor, replaces) => acceptor().post({ kind: "app", descriptor, replaces }),
      onExit(logName, error) {
        if (!isClosing) options.onFatal(new Error(`The ingress thread ${logName} died.`, { cause: error }));
      },
    });
  // Node aborts where it ends a thread that has sockets of uWebSockets.js open, and the exit code is lost.
  const closeTransports = () => {
    for (const thread of threads) thread.closeTransport();
  };
  process.on("exit", closeTransports);
  const close = async () => {
    isClosing = true;
    await Promise.all(threads.map((thread) => thread.close()));
    process.off("exit", closeTransports);
  };
  const ports: (number | null)[] = [];
  try {
    for (let index = 0; index < options.config.ingressThreads; index++) {
      const thread = start(index);
      threads.push(thread);
      // One after the other: the first must listen before the others hand their apps to it.
      ports.push(await thread.started);
    }
  } catch (error) {
    await close();
    throw error;
  }
  const byLogName = new Map(threads.map((thread) => [thread.logName, thread]));
  const tellAll = (message: ToIngressThread) => {
    for (const thread of threads) thread.post(message);
  };
  return {
    port: ports[0]!,
    async refresh(replica, pepper) {
      await Promise.all(
        threads.map((thread) =>
          ask.number((number) => thread.post({ kind: "refresh", number, replica, pepper })),
        ),
      );
    },
    answer: (logName, id, answer) => byLogName.get(logName)?.answer(id, answer),
    noteCurrent: (atMs) => tellAll({ kind: "current", atMs }),
    renewCertificate: () => tellAll({ kind: "renewCertificate" }),
    startDraining: () => tellAll({ kind: "startDraining" }),
    stopListening: () => acceptor().post({ kind: "stopListening" }),
    openRequests: () => threads.reduce((sum, { shared }) => sum + shared.openRequests(), 0),
    stats: () =>
      Promise.all(
        threads.map((thread) => ask.number<IngressStats>((number) => thread.post({ kind: "stats", number }))),
      ),
    close,
  };
}

interface IngressThread {
  logName: string;
  shared: IngressShared;
  /** Its port, or null where another one listens. */
  started: Promise<number | null>;
  post(message: ToIngressThread): void;
  answer(id: string, answer: Answer): void;
  close(): Promise<void>;
  /** Blocks until it has let go of its port and connections. */
  closeTransport(): void;
}

/** Questions to threads, told apart by numbers. */
interface Questions {
  number<Reply = null>(send: (number: number) => void): Promise<Reply>;
  reply(number: number, reply: unknown): void;
}

function createQuestions(): Questions {
  const open = new Map<number, (reply: never) => void>();
  let last = 0;
  return {
    number: (send) =>
      new Promise((resolve) => {
        open.set(++last, resolve);
        send(last);
      }),
    reply(number, reply) {
      const resolve = open.get(number);
      open.delete(number);
      resolve?.(reply as never);
    },
  };
}

function startThread(
  options: IngressThreadsOptions,
  index: number,
  questions: Questions,
  events: {
    onApp(descriptor: unknown, replaces: unknown): void;
    onExit(logName: string, error: unknown): void;
  },
): IngressThread {
  const logName = `ingress-${index}`;
  const shared = ingressShared();
  const worker = new Worker(new URL("./ingressThread.ts", import.meta.url), {
    name: logName,
    workerData: dataFor(options, index, logName, shared),
    resourceLimits: {
      maxYoungGenerationSizeMb: youngGenerationMb,
      maxOldGenerationSizeMb: oldGenerationMb,
    },
  });
  const post = (message: ToIngressThread) => worker.postMessage(message);
  const follow = followLog(shared, options.onSynced);
  const started = Promise.withResolvers<number | null>();
  const exited = Promise.withResolvers<void>();
  let answers: { id: string; answer: Answer }[] = [];
  let failure: unknown;

  const onMessage = (message: FromIngressThread) => {
    switch (message.kind) {
      case "started":
        return started.resolve(message.port);
      case "cannotStart":
        return started.reject(
          message.isConfiguration ? new ConfigurationError(message.message) : new Error(message.message),
        );
      case "app":
        return events.onApp(message.descriptor, message.replaces);
      case "refreshed":
        return questions.reply(message.number, null);
      case "stats":
        return questions.reply(message.number, message.stats);
      case "synced":
        return follow.synced();
      case "logFile":
        return follow.begin(message.file, message.number);
      case "logFileEnded":
        return follow.end(message.file, message.upTo);
      case "rejections":
        return options.onRejections(message.events);
      case "keyUse":
        return options.onKeyUse(message.uses);
      case "answered":
        return options.onAnswered(message.webhooks);
      case "notice":
        return options.onNotice(message.level, message.fields, message.message);
      case "damagedReplica":
        return options.onDamagedReplica(message.generation, message.reason);
      case "metrics": {
        const { number } = message;
        return void options.metrics().then(
          (text) => post({ kind: "metrics", number, text }),
          () => post({ kind: "metrics", number, text: null }),
        );
      }
    }
  };
  worker.on("message", onMessage);
  worker.on("error", (error) => {
    failure = error;
  });
  worker.on("exit", () => {
    isAlive = false;
    const error = failure ?? new Error("It ended.");
    started.reject(error);
    exited.resolve();
    // One that never started is told of by `started`.
    if (hasStarted) events.onExit(logName, error);
  });
  let hasStarted = false;
  let isAlive = false;
  started.promise.then(
    () => {
      hasStarted = true;
      isAlive = true;
    },
    () => {},
  );
  return {
    logName,
    shared,
    started: started.promise,
    post,
    answer(id, answer) {
      // All of one turn go as one message.
      if (answers.length === 0)
        setImmediate(() => {
          post({ kind: "answers", answers });
          answers = [];
        });
      answers.push({ id, answer });
    },
    close() {
      if (hasStarted) post({ kind: "close" });
      else void worker.terminate();
      return exited.promise;
    },
    closeTransport() {
      if (!isAlive) return;
      post({ kind: "closeTransport" });
      shared.waitForTransportClosed(closeTransportMs);
    },
  };
}

/** Turns the thread's announcements into positions of its files. */
function followLog(shared: IngressShared, onSynced: IngressThreadsOptions["onSynced"]) {
  let file = "";
  let fileNumber = 0;
  const synced = () => {
    const position = shared.takeSynced();
    // Of a file that is not known yet its own message is on the way.
    if (position.fileNumber === fileNumber && position.upTo > 0) onSynced(file, position.upTo);
  };
  return {
    synced,
    begin(name: string, number: number) {
      file = name;
      fileNumber = number;
      synced();
    },
    end: onSynced,
  };
}

function dataFor(
  options: IngressThreadsOptions,
  index: number,
  logName: string,
  shared: IngressShared,
): IngressThreadData {
  const { config } = options;
  return {
    config: {
      host: config.host,
      ingressPort: config.ingressPort,
      ingressThreads: config.ingressThreads,
      bodyBytesMax: config.bodyBytesMax,
      requestTimeoutMs: config.requestTimeoutMs,
      endpointRequestsPerSecond: config.endpointRequestsPerSecond,
      wrongKeysPerMinute: config.wrongKeysPerMinute,
      maxStalenessSeconds: config.maxStalenessSeconds,
      trustedProxies: config.trustedProxies,
      ingressTls: config.ingressTls,
      metricsToken: config.metricsToken,
      logEvents: config.logEvents,
      logSample: config.logSample,
      traceEndpoint: config.traceEndpoint,
      journalEntriesMax: config.journalEntriesMax,
      journalBytesMax: config.journalBytesMax,
    },
    logName,
    journalFolder: options.journalFolder,
    replicaFolder: options.replicaFolder,
    resultsFolder: options.resultsFolder,
    replica: options.replica,
    pepper: options.pepper,
    currentAtMs: options.currentAtMs,
    journalBounds: options.journalBounds.shared,
    shared: shared.buffer,
    isListening: index === 0,
  };
}
