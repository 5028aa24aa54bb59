/** What the main thread and an ingress thread tell each other, by message and through shared memory. */
import type { Config } from "../shared/config.ts";
import type { RejectionEvent } from "../shared/reports.ts";
import type { AnsweredWebhook } from "./answeredWebhooks.ts";
import type { Answer, IngressCounts } from "./ingress.ts";
import type { LogStats } from "./journal/log.ts";
import type { KeyUseReport } from "./keyUse.ts";
import type { ReplicaState } from "./replica/state.ts";

export type ConfigForIngress = Pick<
  Config,
  | "host"
  | "ingressPort"
  | "ingressThreads"
  | "bodyBytesMax"
  | "requestTimeoutMs"
  | "endpointRequestsPerSecond"
  | "wrongKeysPerMinute"
  | "maxStalenessSeconds"
  | "trustedProxies"
  | "ingressTls"
  | "metricsToken"
  | "logEvents"
  | "logSample"
  | "traceEndpoint"
  | "journalEntriesMax"
  | "journalBytesMax"
>;

/** What an ingress thread starts with. */
export interface IngressThreadData {
  config: ConfigForIngress;
  /** The name of its log. */
  logName: string;
  journalFolder: string;
  replicaFolder: string;
  /** Where large results are, for their senders to fetch. */
  resultsFolder: string;
  replica: ReplicaState;
  /** Null until the first feed page was applied. */
  pepper: Uint8Array | null;
  /** When the replica was last known to be what the control plane has; null for never. */
  currentAtMs: number | null;
  journalBounds: SharedArrayBuffer;
  shared: SharedArrayBuffer;
  /** The first thread listens; with several it hands the connections to them all in turn. */
  isListening: boolean;
}

export type ToIngressThread =
  | { kind: "refresh"; number: number; replica: ReplicaState; pepper: Uint8Array | null }
  | { kind: "answers"; answers: { id: string; answer: Answer }[] }
  | { kind: "current"; atMs: number }
  /** To the listening thread: an app of another thread, to hand connections to from now on. */
  | { kind: "app"; descriptor: unknown; replaces: unknown }
  | { kind: "renewCertificate" }
  | { kind: "startDraining" }
  | { kind: "stopListening" }
  | { kind: "stats"; number: number }
  | { kind: "metrics"; number: number; text: string | null }
  /** The process ends: lets go of the port and the connections, whatever is under way. */
  | { kind: "closeTransport" }
  | { kind: "close" };

export type FromIngressThread =
  /** `port` is null for a thread that does not listen. */
  | { kind: "started"; port: number | null }
  | { kind: "cannotStart"; message: string; isConfiguration: boolean }
  | { kind: "app"; descriptor: unknown; replaces: unknown }
  | { kind: "refreshed"; number: number }
  /** The log goes on in this file, which has this number in shared memory. */
  | { kind: "logFile"; file: string; number: number }
  /** No more comes to this file. */
  | { kind: "logFileEnded"; file: string; upTo: number }
  /** Look into shared memory. */
  | { kind: "synced" }
  | { kind: "rejections"; events: RejectionEvent[] }
  | { kind: "keyUse"; uses: KeyUseReport[] }
  | { kind: "answered"; webhooks: AnsweredWebhook[] }
  | { kind: "notice"; level: NoticeLevel; fields: Record<string, unknown>; message: string }
  | { kind: "damagedReplica"; generation: number; reason: string }
  | { kind: "stats"; number: number; stats: IngressStats }
  | { kind: "metrics"; number: number };

export type NoticeLevel = "debug" | "info" | "warn" | "error";

/** Counted since the thread started, but for what says otherwise. */
export interface IngressStats extends IngressCounts {
  logName: string;
  accepted: number;
  /** Bytes of accepted bodies, Content-Encoding undone. */
  acceptedBytes: number;
  /** Answers that were to be logged or traced and were not, since there were too many. */
  eventsLeftOut: number;
  /** Now. */
  openRequests: number;
  /** Now: requests whose record is not on disk yet. */
  waitingForJournal: number;
  log: LogStats;
  /** Since it was last asked for. */
  eventLoopDelayMs: { p50: number; p99: number; max: number };
  /** Now. */
  heapUsedBytes: number;
  /** Now: of the replica, in this thread's memory. */
  replicaCachedBytes: number;
}

/**
 * Where an ingress thread leaves what changes with every request or commit. How far its log is synced is written
 * first and then announced, unless an announcement is under way; who reads it takes the announcement back
 * first and then reads. So at most one is under way, and the last position is never missed.
 */
export interface IngressShared {
  readonly buffer: SharedArrayBuffer;
  setOpenRequests(count: number): void;
  openRequests(): number;
  /** True where the position must be announced. */
  setSynced(fileNumber: number, upTo: number): boolean;
  takeSynced(): { fileNumber: number; upTo: number };
  markTransportClosed(): void;
  /** Blocks. */
  waitForTransportClosed(timeoutMs: number): void;
}

export function ingressShared(buffer = new SharedArrayBuffer(24)): IngressShared {
  const positions = new BigInt64Array(buffer, 0, 1);
  const numbers = new Int32Array(buffer, 8, 3);
  return {
    buffer,
    setOpenRequests(count) {
      numbers[0] = count;
    },
    openRequests: () => Atomics.load(numbers, 0),
    setSynced(fileNumber, upTo) {
      Atomics.store(positions, 0, (BigInt(fileNumber) << 40n) | BigInt(upTo));
      return Atomics.exchange(numbers, 1, 1) === 0;
    },
    takeSynced() {
      Atomics.store(numbers, 1, 0);
      const position = Atomics.load(positions, 0);
      return { fileNumber: Number(position >> 40n), upTo: Number(position & 0xff_ffff_ffffn) };
    },
    markTransportClosed() {
      Atomics.store(numbers, 2, 1);
      Atomics.notify(numbers, 2);
    },
    waitForTransportClosed: (timeoutMs) => void Atomics.wait(numbers, 2, 0, timeoutMs),
  };
}
