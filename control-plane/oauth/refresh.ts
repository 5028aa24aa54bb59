/** Fetches the tokens of OAuth connections anew before they end. Whose turn it is stands in the store. */
import { messageOf } from "../../shared/errors.ts";
import type { Services } from "../context.ts";
import { claimDueConnections } from "../store/oauthTokens.ts";
import { startTicker, type Ticker } from "../ticker.ts";
import { refreshConnection } from "./connect.ts";

const pauseMs = 1_000;
/** Longer than a request may take: only a crash makes somebody else do it again. */
const leaseMs = 60_000;
const atOnceMax = 20;

export function startTokenRefresh(services: Services): Ticker {
  const step = async (): Promise<number> => ((await refreshStep(services)) === atOnceMax ? 0 : pauseMs);
  const failure = "tokens of connections could not be looked at";
  return startTicker({ step, log: services.log, failure, afterFailureMs: pauseMs, firstMs: pauseMs });
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
