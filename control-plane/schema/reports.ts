/** What data planes report: checked one by one, so that a broken event never holds up the others. */
import { type ReportEvent, reportKey } from "../../shared/reports.ts";
import { ingestReports } from "../store/reportIngestion.ts";
import { type FieldError, InputError, mutation } from "./payloads.ts";
import { checkedEvent } from "./reportChecks.ts";

const eventsAtOnceMax = 1000;

mutation("reportEvents", {
  description: "Stores what happened to webhooks. Every event that is confirmed is durable.",
  authScopes: { dataPlane: true },
  input: (t) => ({
    dataPlaneId: t.string({ required: true, description: "The data plane that reports." }),
    events: t.field({
      type: "JSON",
      required: true,
      description: `A list of events, at most ${eventsAtOnceMax}; the same event may come again.`,
    }),
  }),
  resolve: async ({ events }, { store, metrics, retries }) => {
    if (!Array.isArray(events) || events.length > eventsAtOnceMax) {
      throw new InputError("events", `This must be a list of at most ${eventsAtOnceMax} events.`);
    }
    const valid: ReportEvent[] = [];
    const problems: FieldError[] = [];
    for (const [index, event] of events.entries()) {
      const checked = checkedEvent(event);
      if (Array.isArray(checked)) problems.push({ field: `events.${index}`, messages: checked });
      else valid.push(checked);
    }
    const startMs = performance.now();
    const counts = await ingestReports(store, valid);
    metrics.ingested(counts, (performance.now() - startMs) / 1000);
    if (counts.retries > 0) retries.wake();
    if (problems.length > 0) metrics.refusedEvents(problems.length);
    return { confirmed: valid.map(reportKey), errors: problems };
  },
  output: (t) => ({
    confirmed: t.exposeStringList("confirmed", {
      nullable: true,
      description: "The keys of the events that are stored: id/attempt/sequence, or the rejection's id.",
    }),
  }),
});
