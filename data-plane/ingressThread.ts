/**
 * An ingress thread: a reader of the replica, a log, and the transport between them. Started by
 * ingressThreads.ts. An error that nobody expected ends the thread, and that ends the process, rather than leave a
 * port that nobody answers at.
 */
import { getHeapStatistics } from "node:v8";
import { parentPort, workerData } from "node:worker_threads";
import { clientAddress, trustedProxyList } from "../shared/addresses.ts";
import { ConfigurationError, messageOf } from "../shared/errors.ts";
import { watchEventLoopDelay } from "../shared/eventLoopDelay.ts";
import { mayReadMetrics } from "../shared/metricsAccess.ts";
import { tellAnsweredWebhooks } from "./answeredWebhooks.ts";
import { type Ingress, startIngress } from "./ingress.ts";
import {
  type FromIngressThread,
  type IngressStats,
  type IngressThreadData,
  ingressShared,
  type ToIngressThread,
} from "./ingressMessages.ts";
import { journalBoundsOn } from "./journal/bounds.ts";
import { openLog } from "./journal/log.ts";
import { createKeyChecks } from "./keyChecks.ts";
import { noteKeyUse } from "./keyUse.ts";
import { createBodyParser } from "./largeBodies.ts";
import { createRejections } from "./rejections.ts";
import { openReplicaReader } from "./replica/reader.ts";
import { openResult } from "./resultFiles.ts";
import { createStaleness } from "./staleness.ts";
import { signedResult } from "./storedResults.ts";
import { createWebhooks } from "./webhooks.ts";
import { createWrongKeys } from "./wrongKeys.ts";

const data = workerData as IngressThreadData;
const { config, logName } = data;
const port = parentPort!;
const post = (message: FromIngressThread): void => port.postMessage(message);

const metricsQuestions = new Map<number, (text: string | null) => void>();
let lastQuestion = 0;
const askForMetrics = (): Promise<string | null> =>
  new Promise((resolve) => {
    metricsQuestions.set(++lastQuestion, resolve);
    post({ kind: "metrics", number: lastQuestion });
  });

async function start(): Promise<void> {
  const shared = ingressShared(data.shared);
  const bounds = journalBoundsOn(data.journalBounds, {
    entriesMax: config.journalEntriesMax,
    bytesMax: config.journalBytesMax,
  });
  const replica = openReplicaReader({
    folder: data.replicaFolder,
    state: data.replica,
    withSecrets: false,
    onDamaged: (generation, reason) => post({ kind: "damagedReplica", generation, reason }),
  });
  const log = await openLog({
    folder: data.journalFolder,
    name: logName,
    onSynced: announcer(shared),
    onNotice: (level, fields, message) => post({ kind: "notice", level, fields, message }),
  });
  const rejections = createRejections({
    log,
    bounds,
    send: (events) => post({ kind: "rejections", events }),
  });
  const keyUse = noteKeyUse((uses) => post({ kind: "keyUse", uses }));
  const { wrongKeysPerMinute } = config;
  const wrongKeys = createWrongKeys(wrongKeysPerMinute);
  const staleness = createStaleness({
    maxSeconds: config.maxStalenessSeconds,
    currentAtMs: data.currentAtMs,
  });
  const parser = createBodyParser();
  const answered = tellAnsweredWebhooks({
    config,
    replica,
    send: (webhooks) => post({ kind: "answered", webhooks }),
  });
  const webhooks = createWebhooks({
    config,
    replica,
    parser,
    log,
    bounds,
    rejections,
    keyChecks: createKeyChecks({ keyUse, wrongKeys, wrongKeysPerMinute }),
    keyUse,
    staleness,
    observed: answered.onAccepted !== null ? "all" : answered.onAnswered !== null ? "failed" : "none",
    warn: (message, reason) => post({ kind: "notice", level: "error", fields: { reason }, message }),
  });
  let pepper = pepperOf(data.pepper);
  webhooks.setPepper(pepper);
  const proxies = trustedProxyList(config.trustedProxies);
  const isAlone = config.ingressThreads === 1;
  const ingress: Ingress = await startIngress({
    host: config.host,
    port: config.ingressPort,
    bodyBytesMax: config.bodyBytesMax,
    requestTimeoutMs: config.requestTimeoutMs,
    senderAddress: (peer, forwardedFor) => clientAddress(peer, forwardedFor, proxies),
    readsForwardedFor: !proxies.isEmpty,
    tls: config.ingressTls,
    mayReadMetrics: (request) => mayReadMetrics(request, config.metricsToken),
    onAccepted: answered.onAccepted,
    onAnswered: answered.onAnswered,
    onOpenRequests: shared.setOpenRequests,
    isListening: data.isListening,
    handOver: isAlone ? null : (descriptor, replaces) => post({ kind: "app", descriptor, replaces }),
    handlers: {
      refuseEarly: webhooks.refuseEarly,
      handle: webhooks.handle,
      onRefused: webhooks.onRefused,
      isHealthy: () => true,
      isReady: webhooks.isReady,
      metrics: askForMetrics,
      async result(signed) {
        const id = pepper === null ? null : signedResult(pepper, signed);
        return id === null ? null : openResult(data.resultsFolder, id);
      },
    },
  });
  const closeTransport = () => {
    ingress.close();
    shared.markTransportClosed();
  };
  process.on("uncaughtException", (error) => {
    const fields = { err: { message: error.message, stack: error.stack } };
    post({ kind: "notice", level: "error", fields, message: "an ingress thread died" });
    // With sockets open Node would abort.
    closeTransport();
    process.exit(1);
  });
  const delay = watchEventLoopDelay();

  const statsNow = (): IngressStats => ({
    logName,
    ...ingress.stats(),
    ...webhooks.stats(),
    eventsLeftOut: answered.leftOut(),
    openRequests: shared.openRequests(),
    log: log.stats(),
    eventLoopDelayMs: delay.sinceLastRead(),
    heapUsedBytes: getHeapStatistics().used_heap_size,
    replicaCachedBytes: replica.stats().cachedBytes,
  });
  const close = async () => {
    closeTransport();
    rejections.flush();
    answered.flush();
    keyUse.flush();
    keyUse.stop();
    delay.stop();
    await log.close();
    await parser.close();
    replica.close();
    port.close();
  };
  port.on("message", (message: ToIngressThread) => {
    switch (message.kind) {
      case "refresh":
        pepper = pepperOf(message.pepper);
        webhooks.refresh(message.replica, pepper);
        return post({ kind: "refreshed", number: message.number });
      case "answers":
        for (const { id, answer } of message.answers) webhooks.answer(id, answer);
        return;
      case "current":
        return staleness.noteCurrent(message.atMs);
      case "app":
        return ingress.addApp(message.descriptor, message.replaces);
      case "renewCertificate":
        return renewCertificate(ingress);
      case "startDraining":
        rejections.flush();
        keyUse.flush();
        return webhooks.startDraining();
      case "stopListening":
        return ingress.stopListening();
      case "stats":
        return post({ kind: "stats", number: message.number, stats: statsNow() });
      case "metrics":
        metricsQuestions.get(message.number)?.(message.text);
        return void metricsQuestions.delete(message.number);
      case "closeTransport":
        return closeTransport();
      case "close":
        return void close();
    }
  });
  post({ kind: "started", port: ingress.port });
}

/** Tells the main thread how far the log is on disk: see `IngressShared`. */
function announcer(shared: ReturnType<typeof ingressShared>): (file: string, upTo: number) => void {
  let file = "";
  let fileNumber = 0;
  let lastUpTo = 0;
  return (name, upTo) => {
    if (name !== file) {
      if (file !== "") post({ kind: "logFileEnded", file, upTo: lastUpTo });
      file = name;
      post({ kind: "logFile", file, number: ++fileNumber });
    }
    lastUpTo = upTo;
    if (shared.setSynced(fileNumber, upTo)) post({ kind: "synced" });
  };
}

function renewCertificate(ingress: Ingress): void {
  try {
    ingress.renewCertificate();
  } catch (error) {
    const fields = { reason: messageOf(error) };
    post({ kind: "notice", level: "warn", fields, message: "the last certificate stays in use" });
  }
}

/** Over a thread's border a Buffer becomes plain bytes. */
const pepperOf = (bytes: Uint8Array | null): Buffer | null => (bytes === null ? null : Buffer.from(bytes));

start().catch((error: unknown) =>
  post({
    kind: "cannotStart",
    message: messageOf(error),
    isConfiguration: error instanceof ConfigurationError,
  }),
);
