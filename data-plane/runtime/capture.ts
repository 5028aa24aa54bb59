/**
 * What one run wrote: log lines, sections and step results, with limits and without secrets. Lines are kept
 * here until they are sent; a copy stands in the memory shared with the main thread (lastWords.ts).
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { formatWithOptions } from "node:util";
import { encode } from "@msgpack/msgpack";
import type { Step } from "../../shared/definition.ts";
import type { ExecutionErrorCode } from "../../shared/errors.ts";
import type { ExecutionPart, LogSeverity, StepReport } from "../../shared/reports.ts";
import type { LastWord } from "./lastWords.ts";
import { noReports, type Reports } from "./messages.ts";
import { plainCopy, TooLargeError } from "./plainCopy.ts";
import type { Redactor } from "./redaction.ts";

/** More lines than anyone reads, and few enough that a run in a loop can't fill the disk. */
export const logLinesMax = 10_000;
export const logCharactersMax = 1024 * 1024;
const lineCharactersMax = 8 * 1024;
/** As spectral documents it: further sections are ignored, their lines stay without a group. */
const sectionsMax = 1000;
const sectionLabelMax = 200;
/** A record is read in a page beside others; larger data belongs into the flow's own storage. */
export const stepResultBytesMax = 512 * 1024;
/** The deepest body that the ingress accepts nests 1000 levels, and stands a few levels deep in the payload. */
const recordDepthMax = 1010;
const logDepthMax = 20;

/** The run whose code is running now, wherever a callback of it is. */
export const currentRun = new AsyncLocalStorage<RunCapture>();

export interface RunCapture {
  log(severity: LogSeverity, args: unknown[], stepName?: string | null): void;
  openSection(label: unknown): void;
  closeSection(end: unknown): void;
  /** The step that log lines are written in. */
  stepName: string | null;
  step(
    step: Step,
    ended: { startedAtMs: number; error: string | null; data: unknown; contentType?: string },
  ): void;
  /** A text with the run's secrets taken out, cut to a line's length. */
  shown(text: string): string;
  /** What was not taken yet. */
  takeReports(): Reports;
  hasReports(): boolean;
  /** After this nothing more is kept: the run has its outcome. */
  close(): void;
  isClosed(): boolean;
  /** Ends the run as failed, from outside of its own promise. */
  fail(errorCode: ExecutionErrorCode, message: string): void;
}

export interface CaptureOptions {
  part: ExecutionPart;
  firstSequence: number;
  redactor: Redactor;
  keepWord(word: DistributiveOmit<LastWord, "id">): void;
  fail(errorCode: ExecutionErrorCode, message: string): void;
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

export function createCapture(options: CaptureOptions): RunCapture {
  const { part, redactor, keepWord } = options;
  let reports = noReports();
  let sequence = options.firstSequence;
  let linesLeft = logLinesMax;
  let charactersLeft = logCharactersMax;
  let sections = 0;
  let openSection: { id: string; label: string } | null = null;
  let isClosed = false;

  function writeLine(severity: LogSeverity, message: string, stepName: string | null): void {
    const log = {
      part,
      sequence: sequence++,
      atMs: Date.now(),
      severity,
      message,
      stepName,
      sectionId: openSection?.id ?? null,
    };
    reports.logs.push(log);
    keepWord({ log });
  }

  const capture: RunCapture = {
    stepName: null,
    log(severity, args, stepName = capture.stepName) {
      if (isClosed || linesLeft < 0) return;
      linesLeft--;
      if (linesLeft >= 0 && charactersLeft > 0) {
        const message = formatLine(args, redactor);
        charactersLeft -= message.length;
        writeLine(severity, message, stepName);
        return;
      }
      linesLeft = -1;
      writeLine(
        "WARN",
        `This run wrote more than ${logLinesMax} log lines or ${logCharactersMax} characters: the rest is not kept.`,
        stepName,
      );
    },
    openSection(label) {
      if (isClosed || openSection !== null || sections >= sectionsMax) return;
      sections++;
      const text = redactor.text(String(label)).toWellFormed().slice(0, sectionLabelMax);
      openSection = {
        id: `${part.toLowerCase()}-${options.firstSequence}-${sections}`,
        label: String(label),
      };
      const section = { sectionId: openSection.id, label: text, startedAtMs: Date.now() };
      reports.sections.push(section);
      keepWord({ section });
    },
    closeSection(end) {
      const { label, data } = (end ?? {}) as { label?: unknown; data?: unknown };
      if (openSection === null || openSection.label !== String(label)) return;
      if (data !== undefined) capture.log("INFO", [data]);
      openSection = null;
    },
    step(step, { startedAtMs, error, data, contentType }) {
      if (isClosed) return;
      const results = encodeResults(data, contentType, redactor);
      const report: StepReport = {
        part,
        sequence: sequence++,
        stepName: step.name,
        stepStableKey: step.stableKey,
        startedAtMs,
        endedAtMs: Date.now(),
        error: error === null ? null : capture.shown(error),
        ...results,
      };
      reports.steps.push(report);
      keepWord({ step: report });
    },
    shown: (text) => clip(redactor.text(text).toWellFormed()),
    takeReports() {
      const taken = reports;
      reports = noReports();
      return taken;
    },
    hasReports: () => reports.logs.length + reports.steps.length + reports.sections.length > 0,
    close() {
      isClosed = true;
    },
    isClosed: () => isClosed,
    fail: options.fail,
  };
  return capture;
}

function formatLine(args: unknown[], redactor: Redactor): string {
  const bytes = { purpose: "log", bytesMax: 2 * lineCharactersMax, depthMax: logDepthMax, redactor } as const;
  try {
    const shown = args.slice(0, 100).map((arg) => plainCopy(arg, bytes));
    const text = formatWithOptions(
      { depth: logDepthMax, breakLength: 120, maxStringLength: lineCharactersMax },
      ...shown,
    );
    return clip(redactor.text(text).toWellFormed());
  } catch {
    return "[a log line that cannot be shown]";
  }
}

const clip = (text: string): string =>
  text.length > lineCharactersMax ? `${text.slice(0, lineCharactersMax)}… (${text.length} characters)` : text;

function encodeResults(
  data: unknown,
  contentType: string | undefined,
  redactor: Redactor,
): Pick<StepReport, "results" | "isTruncated"> {
  try {
    const shown = plainCopy(data, {
      purpose: "record",
      bytesMax: stepResultBytesMax,
      depthMax: recordDepthMax,
      redactor,
    });
    const results = encode({ data: shown ?? null, contentType: contentType ?? "" }, { maxDepth: 1100 });
    if (results.byteLength <= stepResultBytesMax) return { results: base64(results), isTruncated: false };
    throw new TooLargeError();
  } catch (error) {
    const note =
      error instanceof TooLargeError
        ? `These results are not kept: they take more than ${stepResultBytesMax} bytes.`
        : "These results are not kept: they cannot be serialized.";
    return { results: base64(encode({ data: note, contentType: "text/plain" })), isTruncated: true };
  }
}

const base64 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
