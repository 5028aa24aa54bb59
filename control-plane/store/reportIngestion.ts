/**
 * Puts what data planes report into the executions database. Every event may come twice, late, or after a
 * newer one: each is stored once, the first finish wins, and an older attempt no longer moves the status.
 */
import type { ReportEvent } from "../../shared/reports.ts";
import type { IngestedCounts, ReportWriter } from "./reportWriter.ts";
import type { Store } from "./store.ts";

/** Stores a batch in one transaction; once it returns, every event of it is durable. */
export function ingestReports(store: Store, events: readonly ReportEvent[]): Promise<IngestedCounts> {
  const counts = { events: 0, executions: 0, ended: 0, rejections: 0, retries: 0 };
  if (events.length === 0) return Promise.resolve(counts);
  return exclusively(store, (writer) =>
    writer.transaction(() => {
      for (const event of events) writer.ingest(event, counts);
      return counts;
    }),
  );
}

/** Waits for the one connection, so that nobody else's transaction is under way on it. */
export function exclusively<Result>(store: Store, work: (writer: ReportWriter) => Result): Promise<Result> {
  return store.executions.connection().execute(async () => work(store.reportWriter));
}
