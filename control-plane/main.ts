/** The control plane: wiring, from its settings to a server that answers, and back. */
import { accessSync, constants, existsSync, mkdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { type DestinationStream, type Logger, pino } from "pino";
import { listeningUrl } from "../shared/addresses.ts";
import { type Config, readConfig } from "../shared/config.ts";
import { ConfigurationError, messageOf } from "../shared/errors.ts";
import { loadMasterKey } from "../shared/secrets.ts";
import { createAuditLog } from "./audit.ts";
import { createAuthenticator, dataPlaneTokenFile, firstAdminToken } from "./auth.ts";
import { startBulkReplayTicker } from "./bulkReplayTicker.ts";
import { createChangeFeed } from "./changeFeed.ts";
import type { Services } from "./context.ts";
import { createHeldBack } from "./heldBack.ts";
import { createMetrics } from "./metrics.ts";
import { startTokenRefresh } from "./oauth/refresh.ts";
import { startRetention } from "./retention.ts";
import { startRetryTicker } from "./retryTicker.ts";
import { startScheduleTicker } from "./scheduleTicker.ts";
import { startServer } from "./server.ts";
import { openStore } from "./store/store.ts";

export interface ControlPlane {
  /** The GraphQL API is at `<url>/api`. */
  url: string;
  /** Made on the first start of a store, where none was set. */
  adminToken: string | undefined;
  stop(): Promise<void>;
}

export async function startControlPlane(config: Config): Promise<ControlPlane> {
  const log = createLog(config);
  checkDataFolder(config.dataDir);
  const masterKey = readableOrRefused(() =>
    loadMasterKey({
      given: config.masterKey,
      file: join(config.dataDir, "master.key"),
      // A store that is there was made with a key: another one would only hide that it is missing.
      mayCreate: !existsSync(join(config.dataDir, "control", "config.db")),
    }),
  );
  const store = await openStore(config.dataDir, masterKey);
  try {
    let url = "";
    const feed = createChangeFeed(store, log);
    // With port 0 only the data plane knows which port it took.
    const ingressUrl = () =>
      config.publicIngressUrl ??
      (config.ingressPort === 0 ? feed.ingressUrl() : null) ??
      listeningUrl(config.host, config.ingressPort, config.ingressTls !== null);
    const metrics = createMetrics({ store, feed, dataDir: config.dataDir });
    const retries = startRetryTicker({ store, feed, log });
    const bulkReplays = startBulkReplayTicker({ store, feed, log });
    const services: Services = {
      retries,
      bulkReplays,
      store,
      config,
      feed,
      heldBack: createHeldBack(),
      audit: createAuditLog(store, log, metrics.audited),
      metrics,
      log,
      urls: {
        control: (path) => `${config.publicControlUrl ?? url}${path}`,
        webhook: (token) => `${ingressUrl()}/trigger/${token}`,
      },
    };
    await rm(join(config.dataDir, "control", "incoming"), { recursive: true, force: true });
    await dataPlaneTokenFile(store, config);
    const authenticator = createAuthenticator(services);
    const server = await startServer(services, authenticator);
    url = listeningUrl(config.host, server.port, config.controlTls !== null);
    // Once the port is taken: a token that is made and not printed would be lost.
    const adminToken = await firstAdminToken(store, config);
    const stopRetention = startRetention(store, config, metrics.pruned);
    const tokenRefresh = startTokenRefresh(services);
    const schedules = startScheduleTicker(services);
    log.info({ url, dataDir: config.dataDir }, "the control plane is up");
    return {
      url,
      adminToken,
      async stop() {
        log.info("the control plane stops");
        await schedules.stop();
        feed.close();
        await server.stop(config.drainTimeoutMs);
        await stopRetention();
        await tokenRefresh.stop();
        await retries.stop();
        await bulkReplays.stop();
        await authenticator.stop();
        await store.close();
      },
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

function createLog(config: Config): Logger {
  const stderr: DestinationStream = pino.destination({ fd: 2, sync: true });
  return pino({ level: config.logLevel, base: { plane: "control" } }, stderr);
}

/** Makes the data folder, or says in one sentence why it can't be used. */
function checkDataFolder(dataDir: string): void {
  if (!existsSync(dataDir)) {
    if (!existsSync(dirname(dataDir))) {
      throw new ConfigurationError(
        `The data folder ${dataDir} can't be made: ${dirname(dataDir)} does not exist. Set SWITCHYARD_DATA_DIR to another.`,
      );
    }
    readableOrRefused(() => mkdirSync(dataDir, { mode: 0o700 }));
  }
  try {
    accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK);
    mkdirSync(join(dataDir, "control"), { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new ConfigurationError(
      `The data folder ${dataDir} can't be read and written: ${messageOf(error)}.`,
      {
        cause: error,
      },
    );
  }
}

function readableOrRefused<Result>(work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (error instanceof ConfigurationError || (error as { code?: string }).code === undefined) throw error;
    throw new ConfigurationError(`The data folder can't be used: ${messageOf(error)}.`, { cause: error });
  }
}

async function run(): Promise<void> {
  const controlPlane = await startControlPlane(readConfig());
  if (controlPlane.adminToken !== undefined) console.log(`admin token: ${controlPlane.adminToken}`);
  console.log(`control plane listening on ${controlPlane.url}`);
  let isStopping = false;
  const stop = (): void => {
    if (isStopping) return;
    isStopping = true;
    controlPlane.stop().then(
      () => process.exit(0),
      (error: unknown) => {
        console.error(messageOf(error));
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  run().catch((error: unknown) => {
    console.error(error instanceof ConfigurationError ? error.message : error);
    process.exit(1);
  });
}
