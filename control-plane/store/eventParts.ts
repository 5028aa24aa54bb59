/**
 * The logs, sections and steps of an event as its row holds them: lists of lists, in the order that the views
 * `executionLogs`, `executionSections` and `executionSteps` read them by (see `migrations.ts`).
 */
import type { ExecutionEvent } from "../../shared/reports.ts";

export interface EventParts {
  lastPosition: number;
  logsJson: string | null;
  sectionsJson: string | null;
  stepsJson: string | null;
  stepResults: Buffer | null;
  /** About how many bytes they take. */
  bytes: number;
}

/** What the attempt's earlier events have; the first one of each counts. */
export interface KnownParts {
  lastPosition(event: ExecutionEvent): number;
  logs(event: ExecutionEvent): number[];
  steps(event: ExecutionEvent): number[];
  sections(event: ExecutionEvent): string[];
}

export const partsLength = ({ logs, steps, sections }: ExecutionEvent): number =>
  logs.length + steps.length + sections.length;

/** `known` is null for the first event of an execution. */
export function eventParts(event: ExecutionEvent, known: KnownParts | null): EventParts {
  const isBeyond = known === null || known.lastPosition(event) < firstPosition(event);
  const logs = distinct(event.logs, bySequence, isBeyond ? null : known.logs(event));
  const steps = distinct(event.steps, bySequence, isBeyond ? null : known.steps(event));
  const sections = distinct(
    event.sections,
    (section) => section.sectionId,
    known === null || event.sections.length === 0 ? null : known.sections(event),
  );
  let bytes = sections.length * partBytes;
  let lastPosition = 0;
  const logRows = logs.map((log) => {
    bytes += partBytes + Buffer.byteLength(log.message);
    if (log.sequence > lastPosition) lastPosition = log.sequence;
    return [log.part, log.sequence, log.atMs, log.severity, log.message, log.stepName, log.sectionId];
  });
  const results: Buffer[] = [];
  let offset = 0;
  const stepRows = steps.map((step) => {
    const result = Buffer.from(step.results, "base64");
    results.push(result);
    bytes += partBytes + result.length;
    if (step.sequence > lastPosition) lastPosition = step.sequence;
    const row = [
      step.part,
      step.sequence,
      step.stepName,
      step.stepStableKey,
      step.startedAtMs,
      step.endedAtMs,
      step.error,
      step.isTruncated ? 1 : 0,
      result.length,
      offset,
      ...(step.loopPath === undefined ? [] : [step.loopPath]),
    ];
    offset += result.length;
    return row;
  });
  const sectionRows = sections.map(({ sectionId, label, startedAtMs }) => [sectionId, label, startedAtMs]);
  return {
    lastPosition,
    logsJson: jsonOf(logRows),
    sectionsJson: jsonOf(sectionRows),
    stepsJson: jsonOf(stepRows),
    stepResults: results.length === 0 ? null : Buffer.concat(results, offset),
    bytes,
  };
}

const bySequence = ({ sequence }: { sequence: number }): number => sequence;

function firstPosition({ logs, steps }: ExecutionEvent): number {
  let first = Number.POSITIVE_INFINITY;
  for (const { sequence } of logs) if (sequence < first) first = sequence;
  for (const { sequence } of steps) if (sequence < first) first = sequence;
  return first;
}

/** The first of each key, where it is not known yet. Keys that rise, as they should, need no set. */
function distinct<Item, Key extends string | number>(
  items: readonly Item[],
  keyOf: (item: Item) => Key,
  known: readonly Key[] | null,
): readonly Item[] {
  if (known === null && items.every((item, index) => index === 0 || keyOf(items[index - 1]!) < keyOf(item))) {
    return items;
  }
  const seen = new Set(known);
  return items.filter((item) => {
    const key = keyOf(item);
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

const jsonOf = (rows: unknown[][]): string | null => (rows.length === 0 ? null : JSON.stringify(rows));

/** What a part takes beside its text: a rough figure is enough for retention. */
const partBytes = 120;
