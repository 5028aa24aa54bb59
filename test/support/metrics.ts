/** `GET /metrics` of a plane, read as a scraper on the same machine would. */

/** The metrics that tests rely on: the one place to follow them to another name. */
export const metricNames = {
  journalEntries: "switchyard_data_journal_entries",
  journalBytes: "switchyard_data_journal_bytes",
  journalFailures: "switchyard_data_journal_failures_total",
  journalDamaged: "switchyard_data_journal_damaged_records_total",
  runsHeldBack: "switchyard_data_runs_held_back",
  versionsHeldBack: "switchyard_data_versions_held_back",
  threadsReplaced: "switchyard_data_threads_replaced_total",
} as const;

export type MetricName = (typeof metricNames)[keyof typeof metricNames];

export interface Metrics {
  /** The sum of the samples of that name. Throws where there is none: a plane that has metrics has all of them. */
  value(name: MetricName): number;
}

/** Null where the plane has no metrics of its own. */
export async function readMetrics(url: string): Promise<Metrics | null> {
  const answer = await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(10_000) });
  const text = await answer.text();
  if (answer.status !== 200 || !/^switchyard_/m.test(text)) return null;
  const samples = [...text.matchAll(/^([a-zA-Z_:][\w:]*)(?:\{.*\})? (\S+)/gm)];
  return {
    value(name) {
      const found = samples.filter(([, sampled]) => sampled === name);
      if (found.length === 0) throw new Error(`${url}/metrics has no ${name}.`);
      return found.reduce((sum, [, , value]) => sum + Number(value), 0);
    },
  };
}
