/**
 * Versions that data planes hold back, since their runs keep taking threads down. Each data plane tells its own again
 * and again while there are any, so this is in memory, and forgets a data plane that has gone silent.
 */
export interface HeldBackVersion {
  integrationId: string;
  versionId: string;
  threadsLost: number;
  reason: string;
  sinceMs: number;
  untilMs: number;
  waiting: number;
  /** Of the data plane that says so. */
  dataPlane: string;
}

export interface HeldBack {
  /** What a data plane holds back now; gives the ids of the versions that it is to release. */
  note(dataPlaneId: string, held: HeldBackVersion[]): string[];
  held(): HeldBackVersion[];
  /** Has all data planes release it, at their next word. */
  release(versionId: string): void;
}

interface Told {
  atMs: number;
  held: HeldBackVersion[];
  toRelease: Set<string>;
}

/** A data plane says it every two seconds while there are any. */
const silentMs = 30_000;

export function createHeldBack(): HeldBack {
  const told = new Map<string, Told>();

  const forgetSilent = () => {
    for (const [id, { atMs }] of told) if (Date.now() - atMs > silentMs) told.delete(id);
  };

  return {
    note(dataPlaneId, held) {
      forgetSilent();
      const released = [...(told.get(dataPlaneId)?.toRelease ?? [])];
      const left = held.filter(({ versionId }) => !released.includes(versionId));
      if (left.length === 0) told.delete(dataPlaneId);
      else told.set(dataPlaneId, { atMs: Date.now(), held: left, toRelease: new Set() });
      return released;
    },
    held() {
      forgetSilent();
      return [...told.values()].flatMap(({ held }) => held);
    },
    release(versionId) {
      for (const { held, toRelease } of told.values())
        if (held.some((version) => version.versionId === versionId)) toRelease.add(versionId);
    },
  };
}
