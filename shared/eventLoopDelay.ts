/** How late a thread's event loop turns: sampled, and read with the metrics. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { collectDefaultMetrics, type Registry } from "prom-client";

/** Each look wakes the thread, also an idle one; finer tells no more of delays that anyone would notice. */
const resolutionMs = 250;

/** Milliseconds. */
export interface EventLoopDelays {
  p50: number;
  p99: number;
  max: number;
}

/** Of the thread that calls it. */
export function watchEventLoopDelay(): { sinceLastRead(): EventLoopDelays; stop(): void } {
  const histogram = monitorEventLoopDelay({ resolution: resolutionMs });
  histogram.enable();
  // What is measured is the time from one look to the next.
  const delayMs = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - resolutionMs);
  return {
    sinceLastRead() {
      const delays = {
        p50: delayMs(histogram.percentile(50)),
        p99: delayMs(histogram.percentile(99)),
        max: delayMs(histogram.max),
      };
      histogram.reset();
      return delays;
    },
    stop: () => void histogram.disable(),
  };
}

/** prom-client's own, without its lag of the event loop, which counts the time between two looks as lag. */
export function collectProcessMetrics(register: Registry): void {
  collectDefaultMetrics({ register, eventLoopMonitoringPrecision: 60_000 });
  for (const { name } of register.getMetricsAsArray())
    if (name.startsWith("nodejs_eventloop_lag")) register.removeSingleMetric(name);
}
