/** Reads what a plane says of itself at `/metrics` (Prometheus text). */

export type Metrics = Map<string, number>;

/** Of each name the sum over its labels, but for the main thread's own log; null where the plane has no metrics. */
export async function readMetrics(url: string): Promise<Metrics | null> {
  try {
    const answer = await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(10_000) });
    const text = await answer.text();
    return answer.ok ? parseMetrics(text) : null;
  } catch {
    return null;
  }
}

export function parseMetrics(text: string): Metrics {
  const metrics: Metrics = new Map();
  for (const line of text.split("\n")) {
    // Commits and rows are those of the ingress threads.
    if (line.includes('log="main"')) continue;
    const [, name, value] = /^([a-zA-Z_:][\w:]*)(?:\{.*\})?\s+(\S+)/.exec(line) ?? [];
    if (name !== undefined) metrics.set(name, (metrics.get(name) ?? 0) + Number(value));
  }
  return metrics;
}

/** How much a counter rose between two readings, or null where it is not there. */
export function rise(before: Metrics | null, after: Metrics | null, name: string): number | null {
  const last = after?.get(name);
  return last === undefined ? null : last - (before?.get(name) ?? 0);
}
