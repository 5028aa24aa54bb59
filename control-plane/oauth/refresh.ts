/** Fetches the tokens of OAuth connections anew before they end. Whose turn it is stands in the store. */
import { messageOf } from "../../shared/errors.ts";
import type { Services } from "../context.ts";
import { claimDueConnections } from "../store/oauthTokens.ts";
import { refreshConnection } from "./connect.ts";

const pauseMs = 1_000;
/** Longer than a request may take: only a crash makes somebody else do it again. */
const leaseMs = 60_000;
const atOnceMax = 20;

/** Runs until the returned function is called, which waits for the requests under way. */
export function startTokenRefresh(services: Services): () => Promise<void> {
  let isStopped = false;
  let timer: NodeJS.Timeout | undefined;
  let step: Promise<void> = Promise.resolve();
  const next = (afterMs: number): void => {
    if (isStopped) return;
    timer = setTimeout(() => {
      step = refreshStep(services).then(
        (count) => next(count === atOnceMax ? 0 : pauseMs),
        (error: unknown) => {
          services.log.warn({ reason: messageOf(error) }, "tokens of connections could not be looked at");
          next(pauseMs);
        },
      );
    }, afterMs);
    timer.unref();
  };
  next(pauseMs);
  return async () => {
    isStopped = true;
    clearTimeout(timer);
    await step;
  };
}

/** How many connections' time had come. */
async function refreshStep(services: Services): Promise<number> {
  const due = await claimDueConnections(services.store, Date.now(), leaseMs, atOnceMax);
  await Promise.all(
    due.map((connection) =>
      refreshConnection(services, connection).catch((error: unknown) => {
        const { instanceId, key } = connection;
        services.log.error(
          { instanceId, key, reason: messageOf(error) },
          "a connection could not be refreshed",
        );
      }),
    ),
  );
  return due.length;
}
