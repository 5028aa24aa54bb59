/** What an operator's Prometheus reads of the control plane. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { collectProcessMetrics, watchEventLoopDelay } from "../shared/eventLoopDelay.ts";
import type { ChangeFeed } from "./changeFeed.ts";
import { countCommands } from "./store/commandQueue.ts";
import { countWaitingRetries } from "./store/dueRetries.ts";
import type { IngestedCounts } from "./store/reportWriter.ts";
import type { Store } from "./store/store.ts";

export type ApiOutcome = "ok" | "refused" | "failed";
export type TokenOutcome = "ok" | "refused" | "failed";
export type PrunedKind = "record" | "audit";

export interface ControlMetrics {
  /** One request to the API: `kind` is that of its operation, or `none` where it had none to run. */
  apiRequest(kind: string, outcome: ApiOutcome, seconds: number): void;
  /** A batch of reports that was stored. */
  ingested(counts: IngestedCounts, seconds: number): void;
  /** Reported events that were not understood. */
  refusedEvents(count: number): void;
  /** A row of the audit log. */
  audited(outcome: string): void;
  pruned(kind: PrunedKind, count: number): void;
  /** Times of schedules that came: runs that were started, and those that were passed over. */
  scheduled(outcome: "started" | "skipped", count: number): void;
  /** A connection's OAuth server was asked for a token. */
  tokenFetched(outcome: TokenOutcome): void;
  /** In Prometheus' text format. */
  text(): Promise<string>;
  contentType: string;
}

/** What is measured on demand. */
interface Measured {
  store: Store;
  feed: ChangeFeed;
  dataDir: string;
}

const prefix = "switchyard_control_";
const requestBuckets = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export function createMetrics(measured: Measured): ControlMetrics {
  const register = new Registry();
  const registers = [register];
  collectProcessMetrics(register);
  addEventLoopDelay(register);
  const counter = <Label extends string>(name: string, help: string, labelNames: Label[] = []) =>
    new Counter({ name: `${prefix}${name}`, help, labelNames, registers });
  const histogram = <Label extends string>(name: string, help: string, labelNames: Label[] = []) =>
    new Histogram({ name: `${prefix}${name}`, help, labelNames, buckets: requestBuckets, registers });

  const requests = counter("api_requests_total", "Requests to the GraphQL API.", ["kind", "outcome"]);
  const requestSeconds = histogram(
    "api_request_seconds",
    "Time from an API request's head to its answer's end.",
    ["kind"],
  );
  const events = counter("ingested_events_total", "Reported events that were new and are stored.");
  const executions = counter("ingested_executions_total", "Executions whose first event was stored.");
  const ended = counter("ingested_execution_ends_total", "Executions whose end was stored.");
  const rejections = counter("ingested_rejections_total", "Rejections that were stored.");
  const refused = counter("ingestion_refused_events_total", "Reported events that were not understood.");
  const ingestionSeconds = histogram(
    "ingestion_seconds",
    "Time to store one batch of reports, its sync included.",
  );
  const audited = counter("audit_rows_total", "Rows written to the audit log.", ["outcome"]);
  const pruned = counter(
    "pruned_rows_total",
    "Rows deleted by retention: record for executions and rejections, audit for the audit log.",
    ["kind"],
  );
  const scheduled = counter(
    "schedule_ticks_total",
    "Times of schedules that came: started, or skipped while the flow's last run had not ended.",
    ["outcome"],
  );
  const tokens = counter(
    "token_fetches_total",
    "Requests for a token to the OAuth servers of connections: refused for good, or failed and tried again.",
    ["outcome"],
  );
  // There from the first scrape on, so that a rate can be taken of the first one that comes.
  for (const kind of ["query", "mutation", "subscription", "none"]) {
    for (const outcome of ["ok", "refused", "failed"]) requests.inc({ kind, outcome }, 0);
  }
  for (const kind of ["record", "audit"]) pruned.inc({ kind }, 0);
  for (const outcome of ["started", "skipped"]) scheduled.inc({ outcome }, 0);
  for (const outcome of ["ok", "refused", "failed"]) tokens.inc({ outcome }, 0);
  addFeedGauges(register, measured);
  addStoreGauges(register, measured);

  return {
    apiRequest(kind, outcome, seconds) {
      requests.inc({ kind, outcome });
      // A subscription lasts as long as its data plane does.
      if (kind !== "subscription") requestSeconds.observe({ kind }, seconds);
    },
    ingested(counts, seconds) {
      events.inc(counts.events);
      executions.inc(counts.executions);
      ended.inc(counts.ended);
      rejections.inc(counts.rejections);
      ingestionSeconds.observe(seconds);
    },
    refusedEvents: (count) => refused.inc(count),
    audited: (outcome) => audited.inc({ outcome }),
    tokenFetched: (outcome) => tokens.inc({ outcome }),
    pruned: (kind, count) => pruned.inc({ kind }, count),
    scheduled: (outcome, count) => scheduled.inc({ outcome }, count),
    text: () => register.metrics(),
    contentType: register.contentType,
  };
}

/** Each measures for itself: they are collected side by side. */
function addFeedGauges(register: Registry, { feed }: Measured): void {
  const registers = [register];
  new Gauge({
    name: `${prefix}feed_version`,
    help: "The version of the newest change of configuration.",
    registers,
    async collect() {
      this.set((await feed.state()).version);
    },
  });
  new Gauge({
    name: `${prefix}feed_subscribers`,
    help: "Data planes that are connected to the feed.",
    registers,
    collect() {
      this.set(feed.subscribers().length);
    },
  });
  new Gauge({
    name: `${prefix}feed_acknowledged_version`,
    help: "The version of the feed that each connected data plane has said that it serves.",
    labelNames: ["data_plane"],
    registers,
    collect() {
      this.reset();
      for (const { name, servedVersion } of feed.subscribers()) this.set({ data_plane: name }, servedVersion);
    },
  });
  new Gauge({
    name: `${prefix}feed_lag_versions`,
    help: "How many versions each connected data plane is behind.",
    labelNames: ["data_plane"],
    registers,
    async collect() {
      const { version } = await feed.state();
      this.reset();
      for (const { name, servedVersion } of feed.subscribers()) {
        this.set({ data_plane: name }, Math.max(0, version - servedVersion));
      }
    },
  });
}

function addEventLoopDelay(register: Registry): void {
  const delay = watchEventLoopDelay();
  const gauge = (which: "p50" | "p99" | "max", whose: string, collect?: () => void) =>
    new Gauge({
      name: `${prefix}event_loop_delay_${which}_seconds`,
      help: `${whose} event-loop delay since the last scrape.`,
      registers: [register],
      ...(collect === undefined ? {} : { collect }),
    });
  // The first one reads for all, since reading begins anew.
  const p50 = gauge("p50", "Median", () => {
    const delays = delay.sinceLastRead();
    p50.set(delays.p50 / 1000);
    p99.set(delays.p99 / 1000);
    max.set(delays.max / 1000);
  });
  const p99 = gauge("p99", "99th percentile of the");
  const max = gauge("max", "Longest");
}

function addStoreGauges(register: Registry, { store, dataDir }: Measured): void {
  const registers = [register];
  new Gauge({
    name: `${prefix}commands`,
    help: "Commands that wait for a data plane (queued), or that one is carrying out (leased).",
    labelNames: ["state"],
    registers,
    async collect() {
      const { queued, leased } = await countCommands(store);
      this.set({ state: "queued" }, queued);
      this.set({ state: "leased" }, leased);
    },
  });
  new Gauge({
    name: `${prefix}retries_waiting`,
    help: "Failed executions that are to be run again.",
    registers,
    async collect() {
      this.set(await countWaitingRetries(store));
    },
  });
  new Gauge({
    name: `${prefix}database_bytes`,
    help: "Size of each database on disk, with its write-ahead log.",
    labelNames: ["database"],
    registers,
    async collect() {
      for (const database of ["config", "executions"]) {
        const file = join(dataDir, "control", `${database}.db`);
        const sizes = await Promise.all([file, `${file}-wal`].map(sizeOf));
        this.set({ database }, sizes[0]! + sizes[1]!);
      }
    },
  });
}

const sizeOf = (file: string): Promise<number> =>
  stat(file).then(
    ({ size }) => size,
    () => 0,
  );
