/**
 * When keys were last used: noted in memory as webhooks come, sent to the control plane in batches. What is
 * not sent when the process dies is lost; a key's time is then that of an earlier use, never of a later one.
 */
import { LRUCache } from "lru-cache";
import type { Logger } from "pino";
import { messageOf } from "../shared/errors.ts";
import type { KeyEntity } from "../shared/feed.ts";

export interface KeyUseReport {
  keyId: string;
  /** Milliseconds since the epoch. */
  lastUsedAtMs: number;
}

export interface KeyUse {
  note(keys: readonly KeyEntity[], nowMs: number): void;
  /** Sends what was noted; gives up silently after `timeoutMs`. */
  flush(timeoutMs: number): Promise<void>;
  stop(): void;
}

/** With the control plane away; beyond it the keys that were used longest ago are left out. */
const notedMax = 100_000;
const reportMost = 1_000;
const everyMs = 30_000;

export function startKeyUse(options: {
  send: (uses: KeyUseReport[]) => Promise<void>;
  logger: Logger;
}): KeyUse {
  const noted = new LRUCache<string, number>({ max: notedMax });
  let sending: Promise<void> | null = null;

  const sendAll = async () => {
    // What comes meanwhile waits for the next time, so this ends.
    const uses = [...noted.entries()].map(([keyId, lastUsedAtMs]) => ({ keyId, lastUsedAtMs }));
    for (let start = 0; start < uses.length; start += reportMost) {
      const batch = uses.slice(start, start + reportMost);
      await options.send(batch);
      for (const { keyId, lastUsedAtMs } of batch) {
        if (noted.peek(keyId) === lastUsedAtMs) noted.delete(keyId);
      }
    }
  };
  const send = () => {
    sending ??= sendAll()
      .catch((error) =>
        options.logger.debug({ reason: messageOf(error) }, "the last use of keys was not reported"),
      )
      .finally(() => {
        sending = null;
      });
    return sending;
  };

  const timer = setInterval(() => void send(), everyMs);
  timer.unref();
  return {
    note(keys, nowMs) {
      for (const { id } of keys) noted.set(id, nowMs);
    },
    async flush(timeoutMs) {
      const deadline = new Promise<void>((resolve) => setTimeout(resolve, timeoutMs).unref());
      // One that is under way may have begun before the last use.
      await Promise.race([deadline, (sending ?? Promise.resolve()).then(send)]);
    },
    stop: () => clearInterval(timer),
  };
}
