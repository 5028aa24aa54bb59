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

/** The main thread's side. */
export interface KeyUse {
  /** What an ingress thread noted. */
  add(uses: readonly KeyUseReport[]): void;
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
    add(uses) {
      for (const { keyId, lastUsedAtMs } of uses) {
        // Threads tell in turns: a key's time only goes forward.
        if ((noted.peek(keyId) ?? 0) < lastUsedAtMs) noted.set(keyId, lastUsedAtMs);
      }
    },
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

/** An ingress thread's side: what it notes goes to the main thread now and then, a bounded part at a time. */
export interface NotedKeyUse {
  note(keys: readonly KeyEntity[], nowMs: number): void;
  /** Sends all that was noted. */
  flush(): void;
  stop(): void;
}

/** When it was noted last: remembered on the compiled key, where it costs no look-up a webhook. */
type NotedKey = KeyEntity & { notedAtMs?: number };

/** The last use is kept as exactly as this. */
const notedAgainAfterMs = 10_000;
const handOnEveryMs = 500;
const handOnMost = 1_000;

export function noteKeyUse(send: (uses: KeyUseReport[]) => void): NotedKeyUse {
  const noted = new Map<string, number>();
  const sendSome = () => {
    if (noted.size === 0) return;
    const uses: KeyUseReport[] = [];
    for (const [keyId, lastUsedAtMs] of noted) {
      uses.push({ keyId, lastUsedAtMs });
      noted.delete(keyId);
      if (uses.length === handOnMost) break;
    }
    send(uses);
  };
  const timer = setInterval(sendSome, handOnEveryMs);
  timer.unref();
  return {
    note(keys: readonly NotedKey[], nowMs) {
      for (const key of keys) {
        if (Math.abs(nowMs - (key.notedAtMs ?? 0)) < notedAgainAfterMs) continue;
        key.notedAtMs = nowMs;
        if (noted.size < notedMax || noted.has(key.id)) noted.set(key.id, nowMs);
      }
    },
    flush() {
      while (noted.size > 0) sendSome();
    },
    stop: () => clearInterval(timer),
  };
}
