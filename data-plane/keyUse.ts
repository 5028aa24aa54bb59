/**
 * When keys were last used: noted in memory as webhooks come, sent to the control plane in batches. What is
 * not sent when the process dies is lost; a key's time is then that of an earlier use, never of a later one.
 */
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

/** With the control plane away; beyond it the keys that were noted longest ago are left out. */
const notedMax = 100_000;
const reportMost = 1_000;
/** How long a key's uses are gathered. Each key has its own time, so that those of many are sent little by little. */
const gatherMs = 30_000;
const lookEveryMs = 300;

export function startKeyUse(options: {
  send: (uses: KeyUseReport[]) => Promise<void>;
  logger: Logger;
}): KeyUse {
  /** In the order of `sinceMs`. */
  const noted = new Map<string, { sinceMs: number; lastUsedAtMs: number }>();
  let sending: Promise<void> | null = null;

  const note = (keyId: string, lastUsedAtMs: number) => {
    const known = noted.get(keyId);
    if (known !== undefined) {
      // Threads tell in turns: a key's time only goes forward.
      known.lastUsedAtMs = Math.max(known.lastUsedAtMs, lastUsedAtMs);
      return;
    }
    for (const oldest of noted.keys()) {
      if (noted.size < notedMax) break;
      noted.delete(oldest);
    }
    noted.set(keyId, { sinceMs: performance.now(), lastUsedAtMs });
    looks.goOn();
  };

  /** The next ones that were noted by then; what comes meanwhile waits for the next time. */
  const sendOf = async (untilMs: number): Promise<boolean> => {
    const uses: KeyUseReport[] = [];
    for (const [keyId, { sinceMs, lastUsedAtMs }] of noted) {
      if (sinceMs > untilMs || uses.length === reportMost) break;
      uses.push({ keyId, lastUsedAtMs });
    }
    if (uses.length === 0) return false;
    await options.send(uses);
    for (const { keyId, lastUsedAtMs } of uses) {
      if (noted.get(keyId)?.lastUsedAtMs === lastUsedAtMs) noted.delete(keyId);
      else later(keyId);
    }
    return true;
  };
  /** Used again while it was sent: it begins anew, behind the others. */
  const later = (keyId: string) => {
    const again = noted.get(keyId);
    if (again === undefined) return;
    noted.delete(keyId);
    noted.set(keyId, { ...again, sinceMs: performance.now() });
  };

  const send = (isAll: boolean) => {
    sending ??= sendDue(performance.now() - (isAll ? 0 : gatherMs), isAll)
      .catch((error) =>
        options.logger.debug({ reason: messageOf(error) }, "the last use of keys was not reported"),
      )
      .finally(() => {
        sending = null;
      });
    return sending;
  };
  const sendDue = async (untilMs: number, isAll: boolean) => {
    while ((await sendOf(untilMs)) && isAll);
  };

  const looks = lookWhileNoted(noted, () => void send(false), lookEveryMs);
  return {
    add(uses) {
      for (const { keyId, lastUsedAtMs } of uses) note(keyId, lastUsedAtMs);
    },
    note(keys, nowMs) {
      for (const { id } of keys) note(id, nowMs);
    },
    async flush(timeoutMs) {
      const deadline = new Promise<void>((resolve) => setTimeout(resolve, timeoutMs).unref());
      // One that is under way may have begun before the last use.
      await Promise.race([deadline, (sending ?? Promise.resolve()).then(() => send(true))]);
    },
    stop: looks.stop,
  };
}

/** Looks now and then from the first `goOn` until nothing is noted any more: an idle process is not woken. */
function lookWhileNoted(
  noted: ReadonlyMap<string, unknown>,
  look: () => void,
  everyMs: number,
): { goOn(): void; stop(): void } {
  let timer: NodeJS.Timeout | null = null;
  let isStopped = false;
  const rest = () => {
    if (timer !== null) clearInterval(timer);
    timer = null;
  };
  return {
    goOn() {
      if (!isStopped) timer ??= setInterval(() => (noted.size > 0 ? look() : rest()), everyMs).unref();
    },
    stop() {
      isStopped = true;
      rest();
    },
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
    const uses: KeyUseReport[] = [];
    for (const [keyId, lastUsedAtMs] of noted) {
      uses.push({ keyId, lastUsedAtMs });
      noted.delete(keyId);
      if (uses.length === handOnMost) break;
    }
    send(uses);
  };
  const looks = lookWhileNoted(noted, sendSome, handOnEveryMs);
  return {
    note(keys: readonly NotedKey[], nowMs) {
      for (const key of keys) {
        if (Math.abs(nowMs - (key.notedAtMs ?? 0)) < notedAgainAfterMs) continue;
        key.notedAtMs = nowMs;
        if (noted.size < notedMax || noted.has(key.id)) noted.set(key.id, nowMs);
        looks.goOn();
      }
    },
    flush() {
      while (noted.size > 0) sendSome();
    },
    stop: looks.stop,
  };
}
