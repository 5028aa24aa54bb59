/** A thread's own timers: they run while it has something to do, so that an idle system stands still. */

// Flow code may put others in their place.
const { setInterval, clearInterval } = globalThis;

export interface Pulse {
  /** There is something to do. */
  wake(): void;
}

export interface PulseOptions {
  beatMs: number;
  progressMs: number;
  beat(): void;
  progress(): void;
  isQuiet(): boolean;
  /** The timers have ended, until `wake`. */
  onRest(): void;
}

export function createPulse(options: PulseOptions): Pulse {
  const { beatMs, progressMs, beat, progress, isQuiet, onRest } = options;
  let timers: NodeJS.Timeout[] | null = null;
  const tick = () => {
    beat();
    if (!isQuiet()) return;
    for (const timer of timers ?? []) clearInterval(timer);
    timers = null;
    onRest();
  };
  return {
    wake() {
      if (timers !== null) return;
      beat();
      timers = [setInterval(tick, beatMs), setInterval(progress, progressMs)];
    },
  };
}
