/** The data plane: serves webhooks, runs flows, reports executions. Wiring, read top to bottom. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Logger, pino } from "pino";
import { clientAddress, listeningUrl, trustedProxyList } from "../shared/addresses.ts";
import { type Config, readConfig } from "../shared/config.ts";
import { ConfigurationError, messageOf } from "../shared/errors.ts";
import { newId } from "../shared/ids.ts";
import { masterKeyFile, type Pepper, unwrapPepper } from "../shared/secrets.ts";
import { readTlsFiles, watchTlsFiles } from "../shared/tls.ts";
import { createKeyReader } from "./authenticate.ts";
import { startCommands } from "./commands.ts";
import { connectControlPlane } from "./controlPlane.ts";
import { createExecutions } from "./executions.ts";
import { startFeedClient } from "./feedClient.ts";
import { startIngress } from "./ingress.ts";
import { type Journal, openJournal } from "./journal.ts";
import { createKeyChecks } from "./keyChecks.ts";
import { startKeyUse } from "./keyUse.ts";
import { createBodyParser } from "./largeBodies.ts";
import { openMasterKeys, openWith, startMasterKeyReports } from "./masterKeys.ts";
import { createRejections } from "./rejections.ts";
import { openReplica } from "./replica.ts";
import { startReporter } from "./reporter.ts";
import { createRunner } from "./runs.ts";
import { createStaleness } from "./staleness.ts";
import { createWebhooks } from "./webhooks.ts";
import { createWrongKeys } from "./wrongKeys.ts";

export interface DataPlane {
  /** Where webhooks are sent to. */
  url: string;
  /** Stops accepting, finishes what runs (up to the limit), flushes, and resolves. */
  stop(): Promise<void>;
}

/** `onFatal`: the data plane found out, after it had started, that it can't serve. */
export async function startDataPlane(
  config: Config,
  onFatal: (error: ConfigurationError) => void,
): Promise<DataPlane> {
  const logger = pino(
    { level: config.logLevel, base: { plane: "data" } },
    pino.destination({ dest: 2, sync: true }),
  );
  const proxies = trustedProxyList(config.trustedProxies);
  const tlsPair = config.ingressTls && readTlsFiles(config.ingressTls);
  const folder = openFolder(config);
  const masterKeys = openMasterKeys({
    given: config.masterKey,
    file: masterKeyFile(config.dataDir),
    warn: (message) => logger.warn(message),
  });
  const replica = openReplica(join(folder, "replica.db"), (message) => logger.warn(message));
  const journal = await openOwnJournal(config, folder);
  let ingressUrl = config.publicIngressUrl ?? "";
  const controlPlane = connectControlPlane({
    url: config.controlUrl ?? listeningUrl(config.host, config.controlPort, config.controlTls !== null),
    token: () => dataPlaneToken(config),
    dataPlaneId: ownId(folder),
    name: config.dataPlaneName,
    ingressUrl: () => ingressUrl,
  });
  const reporter = startReporter({ journal, logger, send: (events) => controlPlane.report(events) });
  const runner = createRunner({
    config,
    masterKey: masterKeys.ring,
    dataDir: config.dataDir,
    logger,
    fetchBundle: (digest) => controlPlane.fetchBundle(digest),
  });
  const keyReader = createKeyReader();
  const keyUse = startKeyUse({ send: (uses) => controlPlane.reportKeyUse(uses), logger });
  const { wrongKeysPerMinute } = config;
  const wrongKeys = createWrongKeys(wrongKeysPerMinute);
  const keyChecks = createKeyChecks({ reader: keyReader, keyUse, wrongKeys, wrongKeysPerMinute });
  const executions = createExecutions({
    journal,
    replica,
    runner,
    reporter,
    logger,
    keyChecks,
    ingressUrl: () => ingressUrl,
  });
  const parser = createBodyParser();
  const rejections = createRejections(journal, reporter, logger);
  let pepper: Pepper | null = null;
  const loadPepper = () => {
    const settings = replica.settings();
    pepper =
      settings === null ? null : openWith(masterKeys, (ring) => unwrapPepper(ring, settings.wrappedPepper));
  };
  try {
    loadPepper();
  } catch (error) {
    // The master key may have been rotated while this data plane was away: the control plane's word decides.
    logger.warn({ reason: messageOf(error) }, "the replica does not open and is asked for anew");
    replica.forget();
  }
  const staleness = createStaleness({
    maxSeconds: config.maxStalenessSeconds,
    file: join(folder, "last-current"),
    warn: (message, reason) => logger.warn({ reason }, message),
  });
  const webhooks = createWebhooks({
    config,
    replica,
    parser,
    executions,
    rejections,
    keyReader,
    keyChecks,
    staleness,
    pepper: () => pepper,
    warn: (message, reason) => logger.error({ reason }, message),
  });
  const ingress = await startIngress({
    host: config.host,
    port: config.ingressPort,
    bodyBytesMax: config.bodyBytesMax,
    requestTimeoutMs: config.requestTimeoutMs,
    senderAddress: (peer, forwardedFor) => clientAddress(peer, forwardedFor, proxies),
    tls: config.ingressTls,
    handlers: {
      refuseEarly: (request) => webhooks.refuseEarly(request),
      handle: (incoming) => webhooks.handle(incoming),
      onRefused: (request, code) => webhooks.noteRefused(request, code),
      isHealthy: () => true,
      isReady: () => pepper !== null && !staleness.isStale(),
    },
  });
  const stopWatchingTls =
    config.ingressTls && tlsPair
      ? watchTlsFiles(config.ingressTls, tlsPair, {
          renew: () => ingress.renewCertificate(),
          warn: (message, reason) => logger.warn({ reason }, message),
        })
      : () => {};
  const url = listeningUrl(config.host, ingress.port, config.ingressTls !== null);
  ingressUrl = config.publicIngressUrl ?? url;
  executions.recover();
  const commands = startCommands({
    lease: (most) => controlPlane.leaseCommands(most),
    complete: (results) => controlPlane.completeCommands(results),
    replica,
    parser,
    executions,
    config,
    runner,
    logger,
  });
  const feed = startFeedClient({
    controlPlane,
    replica,
    logger,
    onApplied: loadPepper,
    onCurrent: () => staleness.noteCurrent(),
    maxStalenessSeconds: config.maxStalenessSeconds,
    onCommands: () => commands.notify(),
    onFatal,
  });
  const masterKeyReports = startMasterKeyReports({
    keys: masterKeys,
    journal,
    replica,
    confirm: (held) => controlPlane.confirmMasterKeys(held),
  });

  let stopping: Promise<void> | null = null;
  const stop = async () => {
    webhooks.startDraining();
    ingress.stopListening();
    stopWatchingTls();
    commands.stop();
    feed.stop();
    masterKeyReports.stop();
    await executions.drain(config.drainTimeoutMs);
    await waitUntil(() => ingress.openRequests() === 0, config.drainTimeoutMs);
    ingress.close();
    await runner.stop();
    keyUse.stop();
    const flushTimeoutMs = Math.min(config.drainTimeoutMs, 3_000);
    await Promise.all([reporter.flush(flushTimeoutMs), keyUse.flush(flushTimeoutMs)]);
    await reporter.stop();
    await journal.close();
    await parser.close();
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

async function openOwnJournal(config: Config, folder: string): Promise<Journal> {
  try {
    return await openJournal({
      folder: join(folder, "journal"),
      entriesMax: config.journalEntriesMax,
      bytesMax: config.journalBytesMax,
    });
  } catch (error) {
    throw new ConfigurationError(
      `The journal in ${join(folder, "journal")} can't be opened: ${messageOf(error)}`,
      { cause: error },
    );
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
