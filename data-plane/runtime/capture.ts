/**
 * What one run wrote: log lines, sections and step results, with limits and without secrets. Each becomes JSON
 * text once, as it stands in the event that the control plane gets; the texts are kept here until they are sent,
 * and a copy stands in the memory shared with the main thread (lastWords.ts).
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { formatWithOptions } from "node:util";
import type { Step } from "../../shared/definition.ts";
import type { ExecutionErrorCode } from "../../shared/errors.ts";
import type { ExecutionPart, LogSeverity, StepReport } from "../../shared/reports.ts";
import type { WordKind } from "./lastWords.ts";
import type { ReportTexts } from "./messages.ts";
import { plainCopy, TooLargeError } from "./plainCopy.ts";
import { encodeRecord } from "./recordEncoder.ts";
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
const recordBounds = { bytesMax: stepResultBytesMax, depthMax: recordDepthMax };
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
    ended: {
      startedAtMs: number;
      error: string | null;
      data: unknown;
      contentType?: string;
      loopPath?: string;
    },
  ): void;
  /** A text with the run's secrets taken out, cut to a line's length. */
  shown(text: string): string;
  /** What was not taken yet. */
  takeReports(): ReportTexts;
  hasReports(): boolean;
  /** Writes what was not taken yet into shared memory anew; false where it does not fit. */
  keepWordsAgain(): boolean;
  readonly startedAtMs: number;
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
  /** False where there is no room. */
  writeWord(kind: WordKind, number: number, json: string): boolean;
  /** Makes room by sending what is there, this run's reports included. */
  onNoRoom(): void;
  fail(errorCode: ExecutionErrorCode, message: string): void;
}

interface Written {
  kind: Exclude<WordKind, "end">;
  number: number;
  json: string;
}

/** Taken before any flow code runs, which may put something else in its place. */
const stringify = JSON.stringify;

export function createCapture(options: CaptureOptions): RunCapture {
  const { part, redactor } = options;
  let written: Written[] = [];
  let sequence = options.firstSequence;
  let linesLeft = logLinesMax;
  let charactersLeft = logCharactersMax;
  let sections = 0;
  let openSection: { id: string; label: string } | null = null;
  let isClosed = false;

  function keep(kind: Written["kind"], number: number, json: string): void {
    written.push({ kind, number, json });
    if (!options.writeWord(kind, number, json)) options.onNoRoom();
  }

  function writeLine(severity: LogSeverity, message: string, stepName: string | null): void {
    const number = sequence++;
    const sectionId = openSection === null ? "null" : stringify(openSection.id);
    keep(
      "log",
      number,
      `{"part":"${part}","sequence":${number},"atMs":${Date.now()},"severity":"${severity}","message":${stringify(message)},"stepName":${stringify(stepName)},"sectionId":${sectionId}}`,
    );
  }

  const capture: RunCapture = {
    stepName: null,
    startedAtMs: Date.now(),
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
      keep("section", sections, stringify(section));
    },
    closeSection(end) {
      const { label, data } = (end ?? {}) as { label?: unknown; data?: unknown };
      if (openSection === null || openSection.label !== String(label)) return;
      if (data !== undefined) capture.log("INFO", [data]);
      openSection = null;
    },
    step(step, { startedAtMs, error, data, contentType, loopPath }) {
      if (isClosed) return;
      const { results, isTruncated } = encodeResults(data, contentType, redactor);
      const number = sequence++;
      const shownError = error === null ? null : capture.shown(error);
      keep(
        "step",
        number,
        `{"part":"${part}","sequence":${number},"stepName":${stringify(step.name)},"stepStableKey":${stringify(step.stableKey)},${loopPath === undefined ? "" : `"loopPath":${stringify(loopPath)},`}"startedAtMs":${startedAtMs},"endedAtMs":${Date.now()},"error":${stringify(shownError)},"results":"${results}","isTruncated":${isTruncated}}`,
      );
    },
    shown: (text) => clip(redactor.text(text).toWellFormed()),
    takeReports() {
      const reports = { logs: "", steps: "", sections: "", nextSequence: sequence, sectionCount: sections };
      for (const { kind, json } of written) {
        if (kind === "log") reports.logs += reports.logs === "" ? json : `,${json}`;
        else if (kind === "step") reports.steps += reports.steps === "" ? json : `,${json}`;
        else reports.sections += reports.sections === "" ? json : `,${json}`;
      }
      written = [];
      return reports;
    },
    hasReports: () => written.length > 0,
    keepWordsAgain: () => written.every(({ kind, number, json }) => options.writeWord(kind, number, json)),
    close() {
      isClosed = true;
    },
    isClosed: () => isClosed,
    fail: options.fail,
  };
  return capture;
}

function formatLine(args: unknown[], redactor: Redactor): string {
  const [first] = args;
  // Most lines are one text: what follows would give the same.
  if (args.length === 1 && typeof first === "string" && first.length <= lineCharactersMax)
    return clip(redactor.text(first).toWellFormed());
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
    // Few results hold a secret: one look at the bytes is cheaper than one at each text in them.
    let results = encodeRecord(data, contentType ?? "", { ...recordBounds, redactor: null });
    if (redactor.isIn(results))
      results = encodeRecord(data, contentType ?? "", { ...recordBounds, redactor });
    if (results.byteLength <= stepResultBytesMax) return { results: base64(results), isTruncated: false };
    throw new TooLargeError();
  } catch (error) {
    const note =
      error instanceof TooLargeError
        ? `These results are not kept: they take more than ${stepResultBytesMax} bytes.`
        : "These results are not kept: they cannot be serialized.";
    const bytes = encodeRecord(note, "text/plain", { ...recordBounds, redactor: null });
    return { results: base64(bytes), isTruncated: true };
  }
}

const base64 = (bytes: Buffer): string => bytes.toString("base64");
