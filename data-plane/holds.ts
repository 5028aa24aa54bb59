/**
 * Versions whose runs keep taking their threads down. After some deaths within a while such a version is held back:
 * what comes for it waits (it is in the journal), so that it costs the others no more threads. When its time is up one
 * of its runs is tried; if that one does not kill, the others follow, else it is held back for twice as long.
 */
import type { Config } from "../shared/config.ts";
import { createFifo, type Fifo } from "./fifo.ts";

/** A version's code as it was published; a draft's changes with each import. */
export interface HeldCode {
  integrationId: string;
  versionId: string;
  definitionDigest: string;
}

export interface HeldVersion {
  integrationId: string;
  versionId: string;
  /** Deaths that were charged to it, within the window, when it was held back. */
  threadsLost: number;
  /** How the last of them went. */
  reason: string;
  sinceMs: number;
  untilMs: number;
  /** Executions that wait for it. */
  waiting: number;
}

export interface Holds<T> {
  /** A run of it took its thread down. */
  charge(code: HeldCode, reason: string): void;
  /** True where any version is held back: only then there is something to check. */
  isHolding(): boolean;
  /** Null where a run of it may start now. */
  check(code: HeldCode): { reason: string; retryAfterSeconds: number } | null;
  /** Has it wait until its version is released; false where too many wait already. */
  park(code: HeldCode, item: T): boolean;
  /** Ends the hold of a version. */
  release(versionId: string): void;
  held(): HeldVersion[];
  waiting(): number;
  stop(): void;
}

export interface HoldsOptions<T> {
  config: Pick<
    Config,
    "threadDeathsMax" | "threadDeathsWindowMs" | "holdBackMs" | "heldRunsMax" | "runBlockedTimeoutMs"
  >;
  /** These may start: to be checked again. */
  resume(items: T[]): void;
  onNotice(message: string): void;
}

interface Version<T> {
  code: HeldCode;
  /** When threads died of it, within the window. */
  deathsMs: number[];
  /** Holds in a row: each is twice as long as the one before. */
  holds: number;
  hold: Hold<T> | null;
}

interface Hold<T> {
  threadsLost: number;
  reason: string;
  sinceMs: number;
  untilMs: number;
  waiting: Fifo<T>;
  /** `trying`: its time is up, and one of its runs may start. `tried`: that one has started. */
  state: "held" | "trying" | "tried";
  timer: NodeJS.Timeout;
}

const holdMaxMs = 15 * 60_000;
/** A version is forgotten when its deaths are; more than this many at a time are not kept. */
const versionsMax = 1_000;

export function createHolds<T>({ config, resume, onNotice }: HoldsOptions<T>): Holds<T> {
  const versions = new Map<string, Version<T>>();
  let heldCount = 0;
  let waiting = 0;
  /** By then a run that blocks its thread has been found out. */
  const tryMs = config.runBlockedTimeoutMs * 2;

  function charge(code: HeldCode, reason: string): void {
    if (config.threadDeathsMax === 0) return;
    const version = versionOf(code);
    const nowMs = Date.now();
    const sinceMs = nowMs - config.threadDeathsWindowMs;
    version.deathsMs = [...version.deathsMs.filter((atMs) => atMs > sinceMs), nowMs];
    if (version.deathsMs.length === 1) version.holds = 0;
    // What ran already when the hold began adds nothing to it.
    if (version.hold?.state === "held") return;
    if (version.hold === null && version.holds === 0 && version.deathsMs.length < config.threadDeathsMax)
      return;
    holdBack(version, reason, nowMs);
  }

  function versionOf(code: HeldCode): Version<T> {
    const key = keyOf(code);
    let version = versions.get(key);
    if (version === undefined) {
      for (const [oldest, { hold }] of versions) {
        if (versions.size < versionsMax) break;
        if (hold === null) versions.delete(oldest);
      }
      version = { code, deathsMs: [], holds: 0, hold: null };
      versions.set(key, version);
    }
    return version;
  }

  function holdBack(version: Version<T>, reason: string, nowMs: number): void {
    const before = version.hold;
    if (before !== null) clearTimeout(before.timer);
    else heldCount++;
    const lastsMs = Math.min(holdMaxMs, config.holdBackMs * 2 ** version.holds);
    version.holds++;
    version.hold = {
      threadsLost: version.deathsMs.length,
      reason,
      sinceMs: before?.sinceMs ?? nowMs,
      untilMs: nowMs + lastsMs,
      waiting: before?.waiting ?? createFifo<T>(),
      state: "held",
      timer: setTimeout(() => tryOne(version), lastsMs).unref(),
    };
    onNotice(
      `The version ${version.code.versionId} is held back for ${Math.ceil(lastsMs / 1000)} s: its runs took ${version.deathsMs.length} threads down. ${reason}`,
    );
  }

  function tryOne(version: Version<T>): void {
    const { hold } = version;
    if (hold === null) return;
    hold.state = "trying";
    // Where nothing comes for it meanwhile, it is forgotten with its deaths.
    hold.timer = setTimeout(() => open(version), config.threadDeathsWindowMs).unref();
    const first = hold.waiting.shift();
    if (first === undefined) return;
    waiting--;
    resume([first]);
  }

  function open(version: Version<T>): void {
    const { hold } = version;
    if (hold === null) return;
    clearTimeout(hold.timer);
    version.hold = null;
    heldCount--;
    const items: T[] = [];
    for (let item = hold.waiting.shift(); item !== undefined; item = hold.waiting.shift()) items.push(item);
    waiting -= items.length;
    resume(items);
  }

  return {
    charge,
    isHolding: () => heldCount > 0,
    check(code) {
      const version = versions.get(keyOf(code));
      const hold = version?.hold ?? null;
      if (version === undefined || hold === null) return null;
      if (hold.state === "trying") {
        hold.state = "tried";
        clearTimeout(hold.timer);
        hold.timer = setTimeout(() => open(version), tryMs).unref();
        return null;
      }
      return {
        reason: `This version is held back until ${new Date(hold.untilMs).toISOString()}: its runs took ${hold.threadsLost} threads down. ${hold.reason}`,
        retryAfterSeconds: Math.max(1, Math.ceil((hold.untilMs - Date.now()) / 1000)),
      };
    },
    park(code, item) {
      const hold = versions.get(keyOf(code))?.hold ?? null;
      if (hold === null || waiting >= config.heldRunsMax) return false;
      hold.waiting.push(item);
      waiting++;
      return true;
    },
    release(versionId) {
      for (const version of versions.values()) {
        if (version.code.versionId !== versionId) continue;
        version.deathsMs = [];
        version.holds = 0;
        open(version);
      }
    },
    held() {
      if (heldCount === 0) return [];
      return [...versions.values()].flatMap(({ code, hold }) =>
        hold === null
          ? []
          : [
              {
                integrationId: code.integrationId,
                versionId: code.versionId,
                threadsLost: hold.threadsLost,
                reason: hold.reason,
                sinceMs: hold.sinceMs,
                untilMs: hold.untilMs,
                waiting: hold.waiting.size(),
              },
            ],
      );
    },
    waiting: () => waiting,
    stop() {
      for (const { hold } of versions.values()) if (hold !== null) clearTimeout(hold.timer);
    },
  };
}

const keyOf = ({ versionId, definitionDigest }: HeldCode): string => `${versionId} ${definitionDigest}`;
