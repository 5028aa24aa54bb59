/** Tells the control plane which versions are held back, and does what an admin says of them. */
import type { HeldVersion } from "./holds.ts";

export interface HoldReportOptions {
  held(): HeldVersion[];
  /** Gives the ids of the versions that are to be released. */
  send(held: HeldVersion[]): Promise<string[]>;
  release(versionId: string): void;
}

const everyMs = 2_000;

/** While there are any, and once more when there are none. */
export function startHoldReports({ held, send, release }: HoldReportOptions): { stop(): void } {
  let wereAny = false;
  let isBusy = false;
  const tell = async () => {
    const now = held();
    if (now.length === 0 && !wereAny) return;
    const released = await send(now);
    wereAny = now.length > 0;
    for (const versionId of released) release(versionId);
  };
  const timer = setInterval(() => {
    if (isBusy) return;
    isBusy = true;
    // Without its control plane there is nobody to tell: the next time tries again.
    tell()
      .catch(() => {})
      .finally(() => {
        isBusy = false;
      });
  }, everyMs);
  timer.unref();
  return { stop: () => clearInterval(timer) };
}
