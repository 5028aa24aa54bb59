/**
 * The data plane: serves webhooks, runs flows, reports executions. Wiring, read top to bottom.
 *
 * This is the main thread: it runs what the ingress threads have accepted, and keeps replica and journal.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Logger, pino } from "pino";
import { listeningUrl } from "../shared/addresses.ts";
import { type Config, readConfig } from "../shared/config.ts";
import { ConfigurationError, messageOf } from "../shared/errors.ts";
import { newId } from "../shared/ids.ts";
import { masterKeyFile, type Pepper, unwrapPepper } from "../shared/secrets.ts";
import { readTlsFiles, watchTlsFiles } from "../shared/tls.ts";
import { startCommands } from "./commands.ts";
import { connectControlPlane } from "./controlPlane.ts";
import { createExecutions } from "./executions.ts";
import { createFanOuts } from "./fanOut.ts";
import { type FeedClient, startFeedClient } from "./feedClient.ts";
import { startHoldReports } from "./holdReports.ts";
import { startIngressThreads } from "./ingressThreads.ts";
import { newJournalBounds } from "./journal/bounds.ts";
import { type Journal, type JournalOptions, openJournal } from "./journal/journal.ts";
import { createKeyChecks } from "./keyChecks.ts";
import { startKeyUse } from "./keyUse.ts";
import { createBodyParser } from "./largeBodies.ts";
import { openMasterKeys, openWith, startMasterKeyReports } from "./masterKeys.ts";
import { createMetrics } from "./metrics.ts";
import { startPruning } from "./replica/prune.ts";
import { openReplicaReader } from "./replica/reader.ts";
import { openReplicaWriter } from "./replica/writer.ts";
import { startReporter } from "./reporter.ts";
import { resultsFolder } from "./resultFiles.ts";
import { createRunner } from "./runs.ts";
import { openLastCurrent } from "./staleness.ts";
import { openStates } from "./states/states.ts";
import { openStoredResults } from "./storedResults.ts";
import type { Tracing } from "./tracing.ts";
import { createWideEvents } from "./wideEvents.ts";
import { createWrongKeys } from "./wrongKeys.ts";

export interface DataPlane {
  /** Where webhooks are sent to. */
  url: string;
  /** Stops accepting, finishes what runs (up to the limit), flushes, and resolves. */
  stop(): Promise<void>;
}

const logBytesMax = 16 * 1024 * 1024;

/** `onFatal`: the data plane found out, after it had started, that it can't serve. */
export async function startDataPlane(config: Config, onFatal: (error: Error) => void): Promise<DataPlane> {
  // Who reads the log must not hold up this thread: lines wait in memory, then are dropped. An exit writes them all.
  const logger = pino(
    { level: config.logLevel, base: { plane: "data" } },
    pino.destination({ dest: 2, sync: false, maxLength: logBytesMax }),
  );
  const warn = (message: string, reason?: string) => logger.warn({ reason }, message);
  const tlsPair = config.ingressTls && readTlsFiles(config.ingressTls);
  const folder = openFolder(config);
  const masterKeys = openMasterKeys({
    given: config.masterKey,
    file: masterKeyFile(config.dataDir),
    warn,
  });
  let ingressUrl = config.publicIngressUrl ?? "";
  const controlPlane = connectControlPlane({
    url: config.controlUrl ?? listeningUrl(config.host, config.controlPort, config.controlTls !== null),
    token: () => dataPlaneToken(config),
    dataPlaneId: ownId(folder),
    name: config.dataPlaneName,
    ingressUrl: () => ingressUrl,
  });

  const wideEvents = createWideEvents(config, logger);
  const tracing = await openTracing(config, logger);

  // What is configured.
  const replicaFolder = join(folder, "replica");
  const replica = openReplicaWriter({ folder: replicaFolder, warn });
  /** Null while the data plane starts: what is damaged then, the feed's first poke has fetched anew. */
  let feed: FeedClient | null = null;
  const onDamagedReplica = (generation: number, reason: string) => {
    logger.error({ generation, reason }, "the replica is damaged and is fetched anew");
    replica.noteDamaged(generation);
    feed?.pull();
  };
  const reader = openReplicaReader({
    folder: replicaFolder,
    state: replica.state(),
    withSecrets: true,
    onDamaged: (generation, reason) => setImmediate(onDamagedReplica, generation, reason),
  });
  let pepper: Pepper | null = null;
  const loadPepper = () => {
    const settings = reader.settings();
    pepper =
      settings === null ? null : openWith(masterKeys, (ring) => unwrapPepper(ring, settings.wrappedPepper));
  };
  try {
    loadPepper();
  } catch (error) {
    // The master key may have been rotated while this data plane was away: the control plane's word decides.
    warn("the replica does not open and is asked for anew", messageOf(error));
    replica.forget();
  }
  const lastCurrent = openLastCurrent(join(folder, "last-current"), warn);
  let currentAtMs = lastCurrent.atMs;

  // What was accepted, and what becomes of it.
  const journalFolder = join(folder, "journal");
  const bounds = newJournalBounds({
    entriesMax: config.journalEntriesMax,
    bytesMax: config.journalBytesMax,
  });
  const journal = await openOwnJournal({
    folder: journalFolder,
    bounds,
    logger,
    onEntry: (pending) => executions.enqueue(pending),
  });
  const states = openStates({
    file: join(folder, "states.db"),
    controlPlane,
    unconfirmed: journal.unconfirmedStates,
    runTimeoutMs: config.runTimeoutMs,
    logger,
  });
  const fanOuts = createFanOuts({ append: (meta, body) => journal.append(meta, body), logger });
  const reporter = startReporter({
    journal,
    logger,
    send: (events) =>
      fanOuts.send(events, async (ready) => {
        const answer = await controlPlane.report(ready);
        states.confirmed(answer.confirmed);
        return answer;
      }),
    makesWay: () => feed?.isPulling() === true,
  });
  const runner = createRunner({
    config,
    masterKey: masterKeys.ring,
    dataDir: config.dataDir,
    logger,
    fetchBundle: (digest) => controlPlane.fetchBundle(digest),
  });
  const storedResults = openStoredResults({
    folder: resultsFolder(config.dataDir),
    bytesMax: config.storedResultsBytesMax,
    pepper: () => pepper,
    url: () => config.resultsUrl ?? ingressUrl,
  });
  const keyUse = startKeyUse({ send: (uses) => controlPlane.reportKeyUse(uses), logger });
  const { wrongKeysPerMinute } = config;
  const wrongKeys = createWrongKeys(wrongKeysPerMinute);
  const executions = createExecutions({
    config,
    replica: reader,
    runner,
    reporter,
    logger,
    keyChecks: createKeyChecks({ keyUse, wrongKeys, wrongKeysPerMinute }),
    ingressUrl: () => ingressUrl,
    answer: (logName, id, answer) => ingress.answer(logName, id, answer),
    storedAddress: storedResults.address,
    isObserved: wideEvents.isRunLogged,
    onEnded: wideEvents.run,
    onFanOut: fanOuts.begin,
    tracing,
    states,
  });
  const inUse = () => ({
    oldestUnfinishedMs: journal.oldestUnfinishedMs(),
    generations: journal.generationsInUse(),
  });
  const pruning = startPruning(replica, inUse);

  // Where webhooks come in.
  const ingress = await startIngressThreads({
    config,
    journalFolder,
    journalBounds: bounds,
    replicaFolder,
    resultsFolder: resultsFolder(config.dataDir),
    replica: replica.state(),
    pepper,
    currentAtMs,
    onSynced: (file, upTo) => journal.follow(file, upTo),
    onRejections(events) {
      for (const event of events)
        journal
          .report(null, event.id, JSON.stringify(event), false)
          .then(reporter.notify, (error) => warn("a refusal was not kept", messageOf(error)));
    },
    onKeyUse: (uses) => keyUse.add(uses),
    onNotice: (level, fields, message) => logger[level](fields, message),
    onDamagedReplica,
    onAnswered(webhooks) {
      for (const answered of webhooks) {
        if (answered.isLogged) wideEvents.webhook(answered);
        tracing?.webhook(answered);
      }
    },
    metrics: async () => metrics.text(),
    onFatal,
  });
  const url = listeningUrl(config.host, ingress.port, config.ingressTls !== null);
  ingressUrl = config.publicIngressUrl ?? url;
  const stopWatchingTls =
    config.ingressTls && tlsPair
      ? watchTlsFiles(config.ingressTls, tlsPair, { renew: () => ingress.renewCertificate(), warn })
      : () => {};
  executions.begin(journal);
  journal.resume(() => executions.onResumed());

  // What the control plane says.
  const parser = createBodyParser();
  const commands = startCommands({
    lease: controlPlane.leaseCommands,
    complete: (results) => controlPlane.completeCommands(results),
    replica: reader,
    parser,
    executions,
    masterKey: masterKeys.ring,
    runner,
    logger,
  });
  const feedClient = startFeedClient({
    controlPlane,
    replica,
    logger,
    async onApplied(state) {
      reader.refresh(state);
      states.forget(state.changed?.instances ?? [], (id) => reader.instance(id) === null);
      loadPepper();
      await ingress.refresh(state, pepper);
      executions.onReplicaReady();
    },
    onCurrent() {
      currentAtMs = Date.now();
      ingress.noteCurrent(currentAtMs);
      lastCurrent.keep(currentAtMs);
    },
    maxStalenessSeconds: config.maxStalenessSeconds,
    onCommands: () => commands.notify(),
    onFatal,
  });
  feed = feedClient;
  const metrics = createMetrics({
    ingress: () => ingress.stats(),
    journal: () => journal.stats(),
    executions: () => executions.stats(),
    threads: () => runner.stats(),
    reporter: () => reporter.stats(),
    states: () => states.stats(),
    feed: () => feedClient.stats(),
    currentAtMs: () => currentAtMs,
    replica: () => replica.state(),
    replicaReader: () => reader.stats(),
    tracing: () => tracing?.stats() ?? null,
  });
  const masterKeyReports = startMasterKeyReports({
    keys: masterKeys,
    replica,
    inUse,
    confirm: (held) => controlPlane.confirmMasterKeys(held),
  });

  const holdReports = startHoldReports({
    held: executions.held,
    send: (held) => controlPlane.reportHeldBack(held),
    release: executions.release,
  });

  let stopping: Promise<void> | null = null;
  const stop = async () => {
    ingress.startDraining();
    ingress.stopListening();
    stopWatchingTls();
    commands.stop();
    feedClient.stop();
    masterKeyReports.stop();
    holdReports.stop();
    pruning.stop();
    await executions.drain(config.drainTimeoutMs);
    await waitUntil(() => ingress.openRequests() === 0, config.drainTimeoutMs);
    await ingress.close();
    await runner.stop();
    keyUse.stop();
    const flushTimeoutMs = Math.min(config.drainTimeoutMs, 3_000);
    await Promise.all([
      reporter.flush(flushTimeoutMs),
      keyUse.flush(flushTimeoutMs),
      tracing?.stop(flushTimeoutMs),
    ]);
    metrics.stop();
    await reporter.stop();
    states.stop();
    storedResults.stop();
    await journal.close();
    await parser.close();
    reader.close();
    replica.close();
  };
  return {
    url,
    stop: () => {
      stopping ??= stop();
      return stopping;
    },
  };
}

/** Its packages are loaded where they are needed only: they cost memory and time to start. */
async function openTracing(
  { traceEndpoint, dataPlaneName }: Config,
  logger: Logger,
): Promise<Tracing | null> {
  if (traceEndpoint === undefined) return null;
  const { startTracing } = await import("./tracing.ts");
  return startTracing({ traceEndpoint, dataPlaneName }, logger);
}

function openFolder(config: Config): string {
  process.umask(0o077);
  const folder = join(config.dataDir, "data-plane");
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new ConfigurationError(`The data folder ${config.dataDir} can't be used: ${messageOf(error)}.`, {
      cause: error,
    });
  }
  return folder;
}

async function openOwnJournal(options: JournalOptions): Promise<Journal> {
  try {
    return await openJournal(options);
  } catch (error) {
    if (error instanceof ConfigurationError) throw error;
    throw new ConfigurationError(`The journal in ${options.folder} can't be opened: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** Made once: the control plane tells data planes apart by it. */
function ownId(folder: string): string {
  const file = join(folder, "id");
  if (!existsSync(file)) writeFileSync(file, newId(), { mode: 0o600 });
  return readFileSync(file, "utf8").trim();
}

/** Read at each request: the control plane may write the file after this process has started. */
function dataPlaneToken(config: Config): string {
  if (config.dataPlaneToken !== undefined) return config.dataPlaneToken;
  const file = join(config.dataDir, "data-plane.token");
  if (existsSync(file)) return readFileSync(file, "utf8").trim();
  throw new Error(
    `No data-plane token: set SWITCHYARD_DATA_PLANE_TOKEN, or put the control plane's ${file} there.`,
  );
}

async function waitUntil(isTrue: () => boolean, timeoutMs: number): Promise<void> {
  for (const endMs = Date.now() + timeoutMs; !isTrue() && Date.now() < endMs; )
    await new Promise((resolve) => setTimeout(resolve, 20));
}

async function main(): Promise<void> {
  let logger: Logger | null = null;
  try {
    const config = readConfig();
    logger = pino({ level: config.logLevel }, pino.destination({ dest: 2, sync: true }));
    const dataPlane = await startDataPlane(config, exitWith);
    console.log(`data plane listening on ${dataPlane.url}`);
    const stop = () => {
      dataPlane.stop().then(
        () => process.exit(0),
        (error) => {
          logger?.error({ reason: messageOf(error) }, "the data plane did not stop cleanly");
          process.exit(1);
        },
      );
    };
    process.on("SIGTERM", stop);
    process.on("SIGINT", stop);
  } catch (error) {
    if (!(error instanceof ConfigurationError))
      logger?.error({ err: error }, "the data plane could not start");
    exitWith(error);
  }
}

function exitWith(error: unknown): never {
  console.error(messageOf(error));
  process.exit(1);
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) await main();
