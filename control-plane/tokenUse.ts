/** When tokens were last used: gathered in memory, written in batches beside the requests. */
import type { Logger } from "pino";
import { messageOf } from "../shared/errors.ts";
import { noteLastUse } from "./store/lastUse.ts";
import type { Store } from "./store/store.ts";

export interface TokenUse {
  note(tokenId: string): void;
  /** Writes what is left. */
  stop(): Promise<void>;
}

/** What is shown is at most a minute old. */
const writeEveryMs = 30_000;

export function createTokenUse(store: Store, log: Logger): TokenUse {
  /** Bounded by the number of tokens: only valid ones are noted. */
  let uses = new Map<string, number>();
  const write = async (): Promise<void> => {
    if (uses.size === 0) return;
    const batch = uses;
    uses = new Map();
    try {
      await noteLastUse(store, "tokens", [...batch]);
    } catch (error) {
      log.warn({ reason: messageOf(error) }, "when tokens were last used could not be written");
    }
  };
  const timer = setInterval(() => void write(), writeEveryMs);
  timer.unref();
  return {
    note: (tokenId) => void uses.set(tokenId, Date.now()),
    async stop() {
      clearInterval(timer);
      await write();
    },
  };
}
