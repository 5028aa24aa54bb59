/**
 * Every setting, read from the environment in this file only. Each has a default that works, a unit in its
 * name, and a row in the README's table.
 */
import { resolve } from "node:path";
import { ConfigurationError } from "./errors.ts";
import type { OutboundMode, OutboundSettings } from "./outbound.ts";

type Environment = Record<string, string | undefined>;

const settings = {
  SWITCHYARD_DATA_DIR: text("./data"),
  SWITCHYARD_CONTROL_PORT: port(4000),
  SWITCHYARD_INGRESS_PORT: port(4001),
  SWITCHYARD_HOST: text("127.0.0.1"),
  SWITCHYARD_ADMIN_TOKEN: optionalText(),
  SWITCHYARD_MASTER_KEY: optionalText(),
  SWITCHYARD_CONTROL_URL: optionalText(),
  SWITCHYARD_DATA_PLANE_TOKEN: optionalText(),
  SWITCHYARD_DATA_PLANE_NAME: text("data-plane-1"),
  SWITCHYARD_PUBLIC_CONTROL_URL: optionalText(),
  SWITCHYARD_PUBLIC_INGRESS_URL: optionalText(),
  SWITCHYARD_LOG_LEVEL: oneOf("info", ["trace", "debug", "info", "warn", "error", "silent"]),

  SWITCHYARD_BODY_BYTES_MAX: whole(6 * 1024 * 1024, 1024, 64 * 1024 * 1024),
  SWITCHYARD_REQUEST_TIMEOUT_MS: whole(10_000, 100, 120_000),
  SWITCHYARD_ENDPOINT_REQUESTS_PER_SECOND: whole(0, 0, 1_000_000),
  SWITCHYARD_TRIGGER_RESPONSE_TIMEOUT_MS: whole(2_500, 10, 60_000),
  SWITCHYARD_SYNCHRONOUS_TIMEOUT_MS: whole(30_000, 10, 300_000),
  SWITCHYARD_STORED_RESULT_BYTES_MAX: whole(64 * 1024 * 1024, 0, 256 * 1024 * 1024),
  SWITCHYARD_STORED_RESULTS_BYTES_MAX: whole(1024 ** 3, 0, Number.MAX_SAFE_INTEGER),
  SWITCHYARD_RESULTS_URL: optionalText(),
  SWITCHYARD_JOURNAL_ENTRIES_MAX: whole(1_000_000, 1, 100_000_000),
  SWITCHYARD_JOURNAL_BYTES_MAX: whole(8 * 1024 ** 3, 1024 * 1024, Number.MAX_SAFE_INTEGER),
  SWITCHYARD_INGRESS_THREADS: whole(1, 1, 64),
  SWITCHYARD_RUN_THREADS: whole(2, 0, 64),
  SWITCHYARD_RUNS_PER_THREAD_MAX: whole(32, 1, 10_000),
  SWITCHYARD_INSTANCE_RUNS_MAX: whole(0, 0, 1_000_000),
  SWITCHYARD_RUN_TIMEOUT_MS: whole(15 * 60_000, 100, 24 * 3_600_000),
  SWITCHYARD_RUN_BLOCKED_TIMEOUT_MS: whole(10_000, 100, 600_000),
  SWITCHYARD_RUN_MEMORY_MB: whole(512, 32, 65_536),
  SWITCHYARD_RUN_ISOLATION: oneOf("thread", ["thread", "process"]),
  SWITCHYARD_RUN_PROCESSES_MAX: whole(16, 1, 1_000),
  SWITCHYARD_THREAD_DEATHS_MAX: whole(5, 0, 1_000),
  SWITCHYARD_THREAD_DEATHS_WINDOW_MS: whole(10 * 60_000, 1_000, 24 * 3_600_000),
  SWITCHYARD_HOLD_BACK_MS: whole(60_000, 100, 24 * 3_600_000),
  SWITCHYARD_HELD_RUNS_MAX: whole(10_000, 0, 1_000_000),
  SWITCHYARD_OUTBOUND: oneOf("all", ["all", "public", "listed"]),
  SWITCHYARD_OUTBOUND_ALLOW: text(""),
  SWITCHYARD_OUTBOUND_PROXY: optionalText(),
  SWITCHYARD_DRAIN_TIMEOUT_MS: whole(10_000, 0, 600_000),
  SWITCHYARD_BUNDLE_BYTES_MAX: whole(64 * 1024 * 1024, 1024, 1024 ** 3),
  SWITCHYARD_EXECUTION_RETENTION_DAYS: whole(14, 1, 3650),
  SWITCHYARD_EXECUTION_BYTES_MAX: whole(20 * 1024 ** 3, 1024 * 1024, Number.MAX_SAFE_INTEGER),
  SWITCHYARD_DEPLOY_WAIT_MS: whole(2_000, 0, 60_000),
  SWITCHYARD_HOOK_TIMEOUT_MS: whole(30_000, 100, 600_000),
  SWITCHYARD_MAX_STALENESS: whole(0, 0, 30 * 24 * 3_600),
  SWITCHYARD_WRONG_KEYS_PER_MINUTE: whole(60, 1, 1_000_000),
  SWITCHYARD_TRUSTED_PROXIES: text(""),
  SWITCHYARD_CONTROL_TLS_CERT_FILE: optionalText(),
  SWITCHYARD_CONTROL_TLS_KEY_FILE: optionalText(),
  SWITCHYARD_INGRESS_TLS_CERT_FILE: optionalText(),
  SWITCHYARD_INGRESS_TLS_KEY_FILE: optionalText(),
  SWITCHYARD_INTROSPECTION: oneOf("signed-in", ["signed-in", "everyone", "off"]),
  SWITCHYARD_API_REQUESTS_PER_SECOND: whole(50, 0, 1_000_000),
  SWITCHYARD_AUDIT_RETENTION_DAYS: whole(400, 1, 3650),
  SWITCHYARD_METRICS_TOKEN: optionalText(),
  SWITCHYARD_OAUTH_HTTP: oneOf("loopback", ["loopback", "everywhere"]),
  SWITCHYARD_LOG_EVENTS: oneOf("failed", ["none", "failed", "all"]),
  SWITCHYARD_LOG_SAMPLE: whole(1, 1, 1_000_000),
} as const;

type Settings = { [Name in keyof typeof settings]: ReturnType<(typeof settings)[Name]> };

export interface Config {
  /** Absolute path of the data folder. */
  dataDir: string;
  host: string;
  controlPort: number;
  ingressPort: number;
  adminToken: string | undefined;
  masterKey: string | undefined;
  /** Where the data plane finds its control plane. */
  controlUrl: string | undefined;
  dataPlaneToken: string | undefined;
  dataPlaneName: string;
  /** What the control plane's own addresses (uploads, stored results) start with. */
  publicControlUrl: string | undefined;
  /** What webhook URLs start with. */
  publicIngressUrl: string | undefined;
  logLevel: string;
  bodyBytesMax: number;
  requestTimeoutMs: number;
  /** Token bucket an endpoint; 0 is off. */
  endpointRequestsPerSecond: number;
  triggerResponseTimeoutMs: number;
  synchronousTimeoutMs: number;
  /** A synchronous result above `bodyBytesMax` is stored up to this size; 0: none is. */
  storedResultBytesMax: number;
  /** Of all stored results together. */
  storedResultsBytesMax: number;
  /** What addresses of stored results start with. */
  resultsUrl: string | undefined;
  journalEntriesMax: number;
  journalBytesMax: number;
  ingressThreads: number;
  /** 0: webhooks are accepted and kept, and nothing runs. */
  runThreads: number;
  runsPerThreadMax: number;
  /** Runs at once of one instance, or of one endpoint before its routing is known; 0 is half of all slots. */
  instanceRunsMax: number;
  runTimeoutMs: number;
  runBlockedTimeoutMs: number;
  runMemoryMb: number;
  /** `thread`: bundles share run threads. `process`: each has a process of its own, with one thread in it. */
  runIsolation: string;
  /** With `process`: processes at once, those of suspects aside. */
  runProcessesMax: number;
  /** Threads that a version's runs may take down within the window before it is held back; 0: it never is. */
  threadDeathsMax: number;
  threadDeathsWindowMs: number;
  /** How long the first time. */
  holdBackMs: number;
  /** Executions that wait for versions that are held back. */
  heldRunsMax: number;
  /** Where flow code may connect to. */
  outbound: OutboundSettings;
  drainTimeoutMs: number;
  bundleBytesMax: number;
  executionRetentionDays: number;
  executionBytesMax: number;
  deployWaitMs: number;
  /** For each of the triggers' own functions that a deploy or a removal calls. */
  hookTimeoutMs: number;
  /** Seconds that a data plane serves without having heard of its control plane; 0 is for ever. */
  maxStalenessSeconds: number;
  /** Wrong keys that one address may send to one endpoint in a minute. */
  wrongKeysPerMinute: number;
  /** Addresses and CIDR ranges of the proxies whose X-Forwarded-For counts. */
  trustedProxies: string[];
  controlTls: TlsFiles | null;
  ingressTls: TlsFiles | null;
  /** Who may ask the API for its schema. */
  introspection: string;
  /** Token bucket a token of the API, twice as deep; 0 is off. */
  apiRequestsPerSecond: number;
  auditRetentionDays: number;
  /** Lets a scraper from another machine read `/metrics`. */
  metricsToken: string | undefined;
  /** Where connections may talk to their OAuth server without TLS: "loopback" or "everywhere". */
  oauthHttp: string;
  /** Which webhooks and runs get a log event of their own. */
  logEvents: string;
  /** Of the events of what went well one in so many is logged. */
  logSample: number;
  /** Where OpenTelemetry traces are sent to; undefined: nowhere. */
  traceEndpoint: string | undefined;
}

export interface TlsFiles {
  certFile: string;
  keyFile: string;
}

/** Throws `ConfigurationError` with one sentence that names the setting and what it must be. */
export function readConfig(environment: Environment = process.env): Config {
  for (const name of Object.keys(environment)) {
    if (name.startsWith("SWITCHYARD_") && !(name in settings)) {
      throw new ConfigurationError(
        `${name} is not a setting of Switchyard: see the settings table in the README.`,
      );
    }
  }
  const read = Object.fromEntries(
    Object.entries(settings).map(([name, parse]) => [name, parse(name, environment[name])]),
  ) as Settings;
  return {
    dataDir: resolve(read.SWITCHYARD_DATA_DIR),
    host: read.SWITCHYARD_HOST,
    controlPort: read.SWITCHYARD_CONTROL_PORT,
    ingressPort: read.SWITCHYARD_INGRESS_PORT,
    adminToken: read.SWITCHYARD_ADMIN_TOKEN,
    masterKey: read.SWITCHYARD_MASTER_KEY,
    controlUrl: withoutSlash(read.SWITCHYARD_CONTROL_URL),
    dataPlaneToken: read.SWITCHYARD_DATA_PLANE_TOKEN,
    dataPlaneName: read.SWITCHYARD_DATA_PLANE_NAME,
    publicControlUrl: withoutSlash(read.SWITCHYARD_PUBLIC_CONTROL_URL),
    publicIngressUrl: withoutSlash(read.SWITCHYARD_PUBLIC_INGRESS_URL),
    logLevel: read.SWITCHYARD_LOG_LEVEL,
    bodyBytesMax: read.SWITCHYARD_BODY_BYTES_MAX,
    requestTimeoutMs: read.SWITCHYARD_REQUEST_TIMEOUT_MS,
    endpointRequestsPerSecond: read.SWITCHYARD_ENDPOINT_REQUESTS_PER_SECOND,
    triggerResponseTimeoutMs: read.SWITCHYARD_TRIGGER_RESPONSE_TIMEOUT_MS,
    synchronousTimeoutMs: read.SWITCHYARD_SYNCHRONOUS_TIMEOUT_MS,
    storedResultBytesMax: read.SWITCHYARD_STORED_RESULT_BYTES_MAX,
    storedResultsBytesMax: read.SWITCHYARD_STORED_RESULTS_BYTES_MAX,
    resultsUrl: withoutSlash(read.SWITCHYARD_RESULTS_URL),
    journalEntriesMax: read.SWITCHYARD_JOURNAL_ENTRIES_MAX,
    journalBytesMax: read.SWITCHYARD_JOURNAL_BYTES_MAX,
    ingressThreads: read.SWITCHYARD_INGRESS_THREADS,
    runThreads: read.SWITCHYARD_RUN_THREADS,
    runsPerThreadMax: read.SWITCHYARD_RUNS_PER_THREAD_MAX,
    instanceRunsMax: read.SWITCHYARD_INSTANCE_RUNS_MAX,
    runTimeoutMs: read.SWITCHYARD_RUN_TIMEOUT_MS,
    runBlockedTimeoutMs: read.SWITCHYARD_RUN_BLOCKED_TIMEOUT_MS,
    runMemoryMb: read.SWITCHYARD_RUN_MEMORY_MB,
    runIsolation: read.SWITCHYARD_RUN_ISOLATION,
    runProcessesMax: read.SWITCHYARD_RUN_PROCESSES_MAX,
    threadDeathsMax: read.SWITCHYARD_THREAD_DEATHS_MAX,
    threadDeathsWindowMs: read.SWITCHYARD_THREAD_DEATHS_WINDOW_MS,
    holdBackMs: read.SWITCHYARD_HOLD_BACK_MS,
    heldRunsMax: read.SWITCHYARD_HELD_RUNS_MAX,
    outbound: {
      mode: read.SWITCHYARD_OUTBOUND as OutboundMode,
      allowed: listed(read.SWITCHYARD_OUTBOUND_ALLOW),
      proxy: read.SWITCHYARD_OUTBOUND_PROXY,
      noProxy: environment["NO_PROXY"] ?? environment["no_proxy"] ?? "",
    },
    drainTimeoutMs: read.SWITCHYARD_DRAIN_TIMEOUT_MS,
    bundleBytesMax: read.SWITCHYARD_BUNDLE_BYTES_MAX,
    executionRetentionDays: read.SWITCHYARD_EXECUTION_RETENTION_DAYS,
    executionBytesMax: read.SWITCHYARD_EXECUTION_BYTES_MAX,
    deployWaitMs: read.SWITCHYARD_DEPLOY_WAIT_MS,
    hookTimeoutMs: read.SWITCHYARD_HOOK_TIMEOUT_MS,
    maxStalenessSeconds: read.SWITCHYARD_MAX_STALENESS,
    wrongKeysPerMinute: read.SWITCHYARD_WRONG_KEYS_PER_MINUTE,
    trustedProxies: listed(read.SWITCHYARD_TRUSTED_PROXIES),
    controlTls: tlsFiles(
      "CONTROL",
      read.SWITCHYARD_CONTROL_TLS_CERT_FILE,
      read.SWITCHYARD_CONTROL_TLS_KEY_FILE,
    ),
    ingressTls: tlsFiles(
      "INGRESS",
      read.SWITCHYARD_INGRESS_TLS_CERT_FILE,
      read.SWITCHYARD_INGRESS_TLS_KEY_FILE,
    ),
    introspection: read.SWITCHYARD_INTROSPECTION,
    apiRequestsPerSecond: read.SWITCHYARD_API_REQUESTS_PER_SECOND,
    auditRetentionDays: read.SWITCHYARD_AUDIT_RETENTION_DAYS,
    metricsToken: read.SWITCHYARD_METRICS_TOKEN,
    oauthHttp: read.SWITCHYARD_OAUTH_HTTP,
    logEvents: read.SWITCHYARD_LOG_EVENTS,
    logSample: read.SWITCHYARD_LOG_SAMPLE,
    traceEndpoint: environment["OTEL_EXPORTER_OTLP_ENDPOINT"]?.trim() || undefined,
  };
}

/** The names of all settings, for the test that compares them with the README. */
export const settingNames = Object.keys(settings);

type Parse<T> = (name: string, value: string | undefined) => T;

function text(fallback: string): Parse<string> {
  return (_name, value) => value?.trim() || fallback;
}

function optionalText(): Parse<string | undefined> {
  return (_name, value) => value?.trim() || undefined;
}

function oneOf(fallback: string, choices: string[]): Parse<string> {
  return (name, value) => {
    const chosen = value?.trim() || fallback;
    if (choices.includes(chosen)) return chosen;
    throw new ConfigurationError(`${name} must be one of ${choices.join(", ")}, but is "${chosen}".`);
  };
}

function whole(fallback: number, least: number, most: number): Parse<number> {
  return (name, value) => {
    if (value === undefined || value.trim() === "") return fallback;
    const parsed = Number(value);
    if (Number.isSafeInteger(parsed) && parsed >= least && parsed <= most) return parsed;
    throw new ConfigurationError(
      `${name} must be a whole number from ${least} to ${most}, but is "${value}".`,
    );
  };
}

function port(fallback: number): Parse<number> {
  return whole(fallback, 0, 65_535);
}

const listed = (value: string): string[] =>
  value
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");

function tlsFiles(plane: string, certFile: string | undefined, keyFile: string | undefined): TlsFiles | null {
  if (certFile === undefined && keyFile === undefined) return null;
  if (certFile !== undefined && keyFile !== undefined) return { certFile, keyFile };
  throw new ConfigurationError(
    `SWITCHYARD_${plane}_TLS_CERT_FILE and SWITCHYARD_${plane}_TLS_KEY_FILE must be set together.`,
  );
}

const withoutSlash = (url: string | undefined): string | undefined => url?.replace(/\/+$/, "");

/**
 * uWebSockets.js takes its limit for a request's headers from the environment, once, when it is loaded: call
 * this before. Its own default of 4 KB is less than some senders' signatures and tokens need.
 */
export function setTransportLimits(limits: { headersBytesMax: number }): void {
  process.env["UWS_HTTP_MAX_HEADERS_SIZE"] = String(limits.headersBytesMax);
}

/**
 * What flow code sees as `process.env`: what the network and the clock need, and none of the server's own secrets.
 * `hasProxy`: its requests are sent through a proxy anyhow, so that it need not look for one.
 */
export function flowEnvironment(hasProxy: boolean, environment: Environment = process.env): Environment {
  return Object.fromEntries(
    flowVariables.flatMap((name) =>
      environment[name] && !(hasProxy && name.toLowerCase().endsWith("_proxy"))
        ? [[name, environment[name]]]
        : [],
    ),
  );
}

const flowVariables = [
  "PATH",
  "TZ",
  "LANG",
  "LC_ALL",
  "NODE_ENV",
  "HTTP_PROXY",
  "HTTPS_PROXY",
  "NO_PROXY",
  "http_proxy",
  "https_proxy",
  "no_proxy",
];
