/**
 * What an operator's Prometheus reads of the data plane. All of it is read at a scrape from counters that the parts
 * keep anyhow: nothing is done for it between two scrapes.
 */
import { stat } from "node:fs/promises";
import { getHeapStatistics } from "node:v8";
import { Counter, Gauge, type Histogram, Registry } from "prom-client";
import { collectProcessMetrics, watchEventLoopDelay } from "../shared/eventLoopDelay.ts";
import type { ExecutionsStats } from "./executions.ts";
import type { FeedStats } from "./feedClient.ts";
import type { IngressStats } from "./ingressMessages.ts";
import type { JournalStats } from "./journal/journal.ts";
import { syncBucketsMs } from "./journal/syncTimes.ts";
import type { ReplicaReaderStats } from "./replica/reader.ts";
import type { ReplicaState } from "./replica/state.ts";
import type { ReporterStats } from "./reporter.ts";
import { runBucketsMs } from "./runStats.ts";
import type { StatesStats } from "./states/states.ts";
import type { ThreadsStats } from "./threads.ts";
import type { TracingStats } from "./tracing.ts";

/** Each tells of now. */
export interface MeasuredParts {
  /** One for each ingress thread. */
  ingress(): Promise<IngressStats[]>;
  journal(): JournalStats;
  executions(): ExecutionsStats;
  threads(): ThreadsStats;
  reporter(): ReporterStats;
  states(): StatesStats;
  feed(): FeedStats;
  /** When the replica was last known to be what the control plane has; null for never. */
  currentAtMs(): number | null;
  replica(): ReplicaState;
  replicaReader(): ReplicaReaderStats;
  /** Null where nothing is traced. */
  tracing(): TracingStats | null;
}

export interface DataMetrics {
  /** In Prometheus' text format. */
  text(): Promise<string>;
  stop(): void;
}

const prefix = "switchyard_data_";
/** A thread that does not answer by then is left out. */
const ingressTimeoutMs = 2_000;

export function createMetrics(parts: MeasuredParts): DataMetrics {
  const register = new Registry();
  collectProcessMetrics(register);
  const delay = watchEventLoopDelay();
  const families = [
    addIngress(register),
    addJournal(register),
    addRuns(register),
    addReports(register),
    addFeed(register),
    addThreads(register),
  ];

  const measure = async (): Promise<Measured> => {
    const { file, generation, version } = parts.replica();
    const [ingress, replicaBytes] = await Promise.all([inTime(parts.ingress()), sizeOf(file)]);
    const eventLoopDelayMs = delay.sinceLastRead();
    return {
      ingress,
      journal: parts.journal(),
      executions: parts.executions(),
      threads: parts.threads(),
      reporter: parts.reporter(),
      states: parts.states(),
      feed: parts.feed(),
      currentAtMs: parts.currentAtMs(),
      tracing: parts.tracing(),
      replica: { bytes: replicaBytes, generation, version },
      main: {
        eventLoopDelayMs,
        heapUsedBytes: getHeapStatistics().used_heap_size,
        replicaCachedBytes: parts.replicaReader().cachedBytes,
      },
    };
  };
  const scrape = async (): Promise<string> => {
    const measured = await measure();
    for (const set of families) set(measured);
    return register.metrics();
  };
  let scraping: Promise<string> | null = null;
  return {
    text() {
      // Two at a time would set the same gauges in turns.
      scraping ??= scrape().finally(() => {
        scraping = null;
      });
      return scraping;
    },
    stop: delay.stop,
  };
}

interface Measured {
  ingress: IngressStats[];
  journal: JournalStats;
  executions: ExecutionsStats;
  threads: ThreadsStats;
  reporter: ReporterStats;
  states: StatesStats;
  feed: FeedStats;
  currentAtMs: number | null;
  tracing: TracingStats | null;
  replica: { bytes: number; generation: number; version: number };
  main: Pick<IngressStats, "eventLoopDelayMs" | "heapUsedBytes" | "replicaCachedBytes">;
}

type SetFamily = (measured: Measured) => void;
type Labels = Record<string, string>;
/** A sample's labels and value. */
type Sample = readonly [labels: Labels, value: number];

function addIngress(register: Registry): SetFamily {
  const { counter, gauge } = adder(register);
  const requests = counter("webhooks_total", "Requests to webhook URLs.");
  const accepted = counter("webhooks_accepted_total", "Webhooks that are on disk.");
  const bytes = counter("webhooks_accepted_bytes_total", "Bytes of their bodies, Content-Encoding undone.");
  const answers = counter("answers_total", "Answers to webhooks, by HTTP status.", ["status"]);
  const refusals = counter("refusals_total", "Webhooks answered with an error, by its code.", ["code"]);
  const open = gauge("open_requests", "Webhooks that were begun and are not answered yet.");
  const waiting = gauge("webhooks_waiting_for_disk", "Webhooks whose record is being written.");
  const leftOut = counter(
    "log_events_left_out_total",
    "Answers that were to be logged or traced and were too many.",
  );
  return ({ ingress }) => {
    const sum = (of: (stats: IngressStats) => number) => ingress.reduce((all, each) => all + of(each), 0);
    requests([[{}, sum((stats) => stats.requests)]]);
    accepted([[{}, sum((stats) => stats.accepted)]]);
    bytes([[{}, sum((stats) => stats.acceptedBytes)]]);
    answers(
      summed(
        "status",
        ingress.map((stats) => stats.answers),
      ),
    );
    refusals(
      summed(
        "code",
        ingress.map((stats) => stats.refusals),
      ),
    );
    open([[{}, sum((stats) => stats.openRequests)]]);
    waiting([[{}, sum((stats) => stats.waitingForJournal)]]);
    leftOut([[{}, sum((stats) => stats.eventsLeftOut)]]);
  };
}

function addJournal(register: Registry): SetFamily {
  const { counter, gauge, histogram } = adder(register);
  const entries = gauge("journal_entries", "Webhooks and kept refusals in the journal, against its bound.");
  const bytes = gauge("journal_bytes", "Bytes that they and their events count for, against the bound.");
  const physical = gauge("journal_physical_bytes", "Bytes of the journal's files.");
  const unfinished = gauge("journal_unfinished_entries", "Webhooks whose execution has not ended.");
  const age = gauge("journal_oldest_seconds", "Age of the oldest of them; 0 where there is none.");
  const damaged = counter(
    "journal_damaged_records_total",
    "Places of the journal that could not be read at the start: damaged, or a last write that was not finished.",
    ["kind"],
  );
  const recovered = counter(
    "journal_recovered_entries_total",
    "Webhooks that earlier processes left unfinished.",
  );
  const commits = counter("journal_commits_total", "Writes to each log of the journal.", ["log"]);
  const rows = counter("journal_rows_total", "Records in them.", ["log"]);
  const written = counter("journal_written_bytes_total", "Bytes in them.", ["log"]);
  const failures = counter("journal_failures_total", "Writes that failed.", ["log"]);
  const sync = histogram("journal_sync_seconds", "Time for what was written to be on disk.");
  return ({ journal, ingress }) => {
    entries([[{}, journal.entries]]);
    bytes([[{}, journal.bytes]]);
    physical([[{}, journal.physicalBytes]]);
    unfinished([[{}, journal.unfinished]]);
    age([[{}, ageSeconds(journal.oldestUnfinishedMs)]]);
    damaged([
      [{ kind: "damaged" }, journal.damaged],
      [{ kind: "unfinished" }, journal.unfinishedWrites],
    ]);
    recovered([[{}, journal.recovered]]);
    const logs = [
      { labels: { log: "main" }, stats: { ...journal, bytes: journal.writtenBytes } },
      ...ingress.map(({ logName, log }) => ({ labels: { log: logName }, stats: log })),
    ];
    commits(logs.map(({ labels, stats }) => [labels, stats.commits]));
    rows(logs.map(({ labels, stats }) => [labels, stats.rows]));
    written(logs.map(({ labels, stats }) => [labels, stats.bytes]));
    failures(logs.map(({ labels, stats }) => [labels, stats.failures]));
    sync(
      logs.map(({ labels, stats }) => ({
        labels,
        bucketsMs: syncBucketsMs,
        counts: stats.sync.buckets,
        sumMs: stats.sync.sumMs,
      })),
    );
  };
}

function addRuns(register: Registry): SetFamily {
  const { counter, gauge, histogram } = adder(register);
  const runs = counter("runs_total", "Executions that ended, by outcome.", ["outcome"]);
  const failed = counter("runs_failed_total", "Those that failed, by error code.", ["code"]);
  const seconds = histogram("run_seconds", "From when a slot was free for it to a run's end.");
  const running = gauge("runs_running", "Executions that have a slot.");
  const waiting = gauge("runs_waiting", "Executions that wait for a slot.");
  const stuck = gauge(
    "runs_waiting_for_replica",
    "Executions that wait for the configuration to be fetched.",
  );
  const heldRuns = gauge("runs_held_back", "Executions that wait while their version is held back.");
  const heldVersions = gauge("versions_held_back", "Versions whose runs keep taking threads down.");
  const unrecorded = gauge("runs_unrecorded", "Events of runs that the journal does not take now.");
  const threads = gauge("run_threads", "Threads that run flows.");
  const replaced = counter("threads_replaced_total", "Run threads that died or were ended.");
  return ({ executions, threads: pool }) => {
    runs([
      [{ outcome: "succeeded" }, executions.succeeded],
      [{ outcome: "failed" }, executions.failed],
    ]);
    failed(summed("code", [executions.failedByCode]));
    seconds([
      {
        labels: {},
        bucketsMs: runBucketsMs,
        counts: executions.runMs.counts,
        sumMs: executions.runMs.sum,
      },
    ]);
    running([[{}, executions.running]]);
    waiting([[{}, executions.waiting]]);
    stuck([[{}, executions.waitingForReplica]]);
    heldRuns([[{}, executions.heldBack]]);
    heldVersions([[{}, executions.versionsHeldBack]]);
    unrecorded([[{}, executions.unrecorded]]);
    threads([[{}, pool.threads]]);
    replaced([[{}, pool.threadsLost]]);
  };
}

function addReports(register: Registry): SetFamily {
  const { counter, gauge } = adder(register);
  const waiting = gauge("reports_waiting", "Events that the control plane has not confirmed.");
  const lag = gauge("report_lag_seconds", "Since when the oldest of them waits, about.");
  const confirmed = counter("reports_confirmed_total", "Events that the control plane has stored.");
  const refused = counter("reports_refused_total", "Events that it did not understand.");
  const failures = counter("report_failures_total", "Batches of events that could not be delivered.");
  const states = gauge(
    "states_unconfirmed",
    "Events with states of flows that the control plane has not confirmed.",
  );
  const stateWaits = gauge("states_waiting_runs", "Runs that wait to hear what state their flow keeps.");
  const spans = counter("trace_spans_total", "Spans, by what became of them.", ["outcome"]);
  return ({ reporter, states: kept, journal, tracing }) => {
    states([[{}, kept.unconfirmed]]);
    stateWaits([[{}, kept.waiting]]);
    waiting([[{}, journal.waitingReports]]);
    lag([[{}, reporter.lagMs / 1000]]);
    confirmed([[{}, reporter.confirmed]]);
    refused([[{}, reporter.refused]]);
    failures([[{}, reporter.failures]]);
    const { exported, failed, dropped } = tracing ?? { exported: 0, failed: 0, dropped: 0 };
    spans([
      [{ outcome: "exported" }, exported],
      [{ outcome: "failed" }, failed],
      [{ outcome: "dropped" }, dropped],
    ]);
  };
}

function addFeed(register: Registry): SetFamily {
  const { gauge } = adder(register);
  const version = gauge("feed_version", "The version of the configuration that is served.");
  const lag = gauge("feed_lag_versions", "Versions that it is behind what the control plane told of.");
  const age = gauge(
    "feed_current_seconds",
    "Since when it was last known to be the newest; NaN where it never was.",
  );
  const connected = gauge("control_plane_connected", "1 while the control plane is in reach.");
  const generation = gauge("replica_generation", "The number of the replica's file.");
  const bytes = gauge("replica_bytes", "Its size.");
  const cached = gauge("replica_cached_bytes", "What of it each thread holds in memory, about.", ["thread"]);
  return ({ feed, replica, currentAtMs, ingress, main }) => {
    version([[{}, replica.version]]);
    lag([[{}, feed.lag]]);
    age([[{}, currentAtMs === null ? Number.NaN : ageSeconds(currentAtMs)]]);
    connected([[{}, feed.isConnected ? 1 : 0]]);
    generation([[{}, replica.generation]]);
    bytes([[{}, replica.bytes]]);
    cached(byThread(main, ingress, ({ replicaCachedBytes }) => replicaCachedBytes));
  };
}

function addThreads(register: Registry): SetFamily {
  const { gauge } = adder(register);
  const help = (which: string) => `${which} event-loop delay since the last scrape, by thread.`;
  const p50 = gauge("event_loop_delay_p50_seconds", help("Median"), ["thread"]);
  const p99 = gauge("event_loop_delay_p99_seconds", help("99th percentile of the"), ["thread"]);
  const max = gauge("event_loop_delay_max_seconds", help("Longest"), ["thread"]);
  const heap = gauge("heap_used_bytes", "JavaScript heap in use, by thread.", ["thread"]);
  return ({ main, ingress }) => {
    p50(byThread(main, ingress, ({ eventLoopDelayMs }) => eventLoopDelayMs.p50 / 1000));
    p99(byThread(main, ingress, ({ eventLoopDelayMs }) => eventLoopDelayMs.p99 / 1000));
    max(byThread(main, ingress, ({ eventLoopDelayMs }) => eventLoopDelayMs.max / 1000));
    heap(byThread(main, ingress, ({ heapUsedBytes }) => heapUsedBytes));
  };
}

function byThread(
  main: Measured["main"],
  ingress: readonly IngressStats[],
  value: (stats: Measured["main"]) => number,
): Sample[] {
  return [
    [{ thread: "main" }, value(main)],
    ...ingress.map((stats): Sample => [{ thread: stats.logName }, value(stats)]),
  ];
}

/** Counts by the members of records, as samples with that label. */
function summed(label: string, records: readonly Record<string, number>[]): Sample[] {
  const sums = new Map<string, number>();
  for (const record of records)
    for (const [key, count] of Object.entries(record)) sums.set(key, (sums.get(key) ?? 0) + count);
  return [...sums].map(([key, count]) => [{ [label]: key }, count]);
}

interface Times {
  labels: Labels;
  bucketsMs: readonly number[];
  /** One more than `bucketsMs`: each counts in one only, the last is for what took longer. */
  counts: readonly number[];
  sumMs: number;
}

/** Makes metrics that are set as a whole at each scrape. */
function adder(register: Registry) {
  const registers = [register];
  return {
    counter(name: string, help: string, labelNames: string[] = []) {
      const counter = new Counter({ name: `${prefix}${name}`, help, labelNames, registers });
      return (samples: readonly Sample[]) => {
        counter.reset();
        for (const [labels, value] of samples) counter.inc(labels, value);
      };
    },
    gauge(name: string, help: string, labelNames: string[] = []) {
      const gauge = new Gauge({ name: `${prefix}${name}`, help, labelNames, registers });
      return (samples: readonly Sample[]) => {
        gauge.reset();
        for (const [labels, value] of samples) gauge.set(labels, value);
      };
    },
    /** prom-client's own observes one by one; these were counted where they happened. */
    histogram(name: string, help: string) {
      let values: HistogramValue[] = [];
      const metric = {
        name: `${prefix}${name}`,
        get: async () => ({
          name: `${prefix}${name}`,
          help,
          type: "histogram",
          aggregator: "sum",
          values,
        }),
        reset() {},
      };
      register.registerMetric(metric as unknown as Histogram);
      return (times: readonly Times[]) => {
        values = times.flatMap((each) => histogramValues(metric.name, each));
      };
    },
  };
}

interface HistogramValue {
  metricName: string;
  labels: Record<string, string | number>;
  value: number;
}

function histogramValues(name: string, { labels, bucketsMs, counts, sumMs }: Times): HistogramValue[] {
  let count = 0;
  const buckets = counts.map((each, index): HistogramValue => {
    count += each;
    const le = index < bucketsMs.length ? bucketsMs[index]! / 1000 : "+Inf";
    return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: count };
  });
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: sumMs / 1000 },
    { metricName: `${name}_count`, labels, value: count },
  ];
}

const ageSeconds = (sinceMs: number | null): number =>
  sinceMs === null ? 0 : Math.max(0, Date.now() - sinceMs) / 1000;

async function inTime(stats: Promise<IngressStats[]>): Promise<IngressStats[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<IngressStats[]>((resolve) => {
    timer = setTimeout(resolve, ingressTimeoutMs, []);
  });
  const all = await Promise.race([stats, late]);
  clearTimeout(timer);
  return all;
}

const sizeOf = (file: string): Promise<number> =>
  stat(file).then(
    ({ size }) => size,
    () => 0,
  );
