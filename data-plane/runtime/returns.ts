/** What flow code returned, as the sender's answer can carry it. */
import { messageOf } from "../../shared/errors.ts";
import { answerStatus, bodyOf, isNotContentType } from "../resultBody.ts";
import { type ResultHead, writeResult } from "../resultFiles.ts";
import type { RunCapture } from "./capture.ts";
import type { FlowRunOptions } from "./flowRun.ts";
import type { HttpResponse, RunResult } from "./messages.ts";
import { plainCopy, TooLargeError } from "./plainCopy.ts";
import { RunError } from "./runError.ts";

export interface AnswerOptions {
  answerBytesMax: number;
  capture: RunCapture;
}

type LargeAnswerOptions = Pick<
  FlowRunOptions,
  "id" | "request" | "context" | "storedResults" | "answerBytesMax" | "capture"
>;

const statusMin = 100;
const statusMax = 599;

export function responseOf(returned: unknown, bytesMax: number): HttpResponse | null {
  const response = (returned as { response?: unknown } | null | undefined)?.response;
  if (typeof response !== "object" || response === null) return null;
  const { statusCode, contentType, headers, body } = response as Record<string, unknown>;
  const answer: HttpResponse = { statusCode: statusOf(statusCode) ?? 200 };
  if (typeof contentType === "string") answer.contentType = contentType;
  const headerTexts = headersOf(headers);
  if (headerTexts !== undefined) answer.headers = headerTexts;
  if (body !== undefined && body !== null)
    answer.body = typeof body === "string" ? body : JSON.stringify(body);
  if (answer.body !== undefined && Buffer.byteLength(answer.body) > bytesMax) {
    throw new RunError("RESULT_TOO_LARGE", `The trigger's response is larger than ${bytesMax} bytes.`);
  }
  return answer;
}

const statusOf = (value: unknown): number | undefined =>
  Number.isInteger(value) && (value as number) >= statusMin && (value as number) <= statusMax
    ? (value as number)
    : undefined;

const headersMax = 100;

function headersOf(value: unknown): Record<string, string> | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const texts = Object.entries(value)
    .slice(0, headersMax)
    .filter(([, text]) => ["string", "number", "boolean"].includes(typeof text))
    .map(([name, text]) => [name, String(text)] as const);
  return Object.fromEntries(texts);
}

const answerDepthMax = 1010;

/** The return as an answer: a plain copy, because nothing else can leave the thread. Null where it is too large. */
export function resultOf(returned: unknown, options: AnswerOptions): RunResult | null {
  const data = copyOf(returned, options.answerBytesMax);
  return data === tooLarge ? null : { data, ...headOf(returned) };
}

/**
 * The same of a large one: its sender is sent to where it is stored. The run itself went well even where that can't
 * be, so the answer says what is wrong instead.
 */
export async function largeResultOf(returned: unknown, options: LargeAnswerOptions): Promise<RunResult> {
  const { id, request, context, storedResults, answerBytesMax, capture } = options;
  const refused = (bytesMax: number, advice = ""): RunResult => {
    const message = `The flow's result is larger than ${bytesMax} bytes, so it can't be an answer.${advice}`;
    capture.log("WARN", [message]);
    return {
      statusCode: 500,
      contentType: "application/json",
      data: { error: { code: "RESULT_TOO_LARGE", message } },
    };
  };
  if (context.part === "PREPROCESS" || storedResults.bytesMax <= answerBytesMax)
    return refused(answerBytesMax);
  if (prefersDirect(request.headers))
    return refused(answerBytesMax, ` Without the header ${preferDirectHeader} it is answered by a redirect.`);
  const data = copyOf(returned, storedResults.bytesMax);
  if (data === tooLarge) return refused(storedResults.bytesMax);
  const { statusCode, headers, ...head } = headOf(returned);
  const { body, contentType } = bodyOf(data, head.contentType);
  const stored: ResultHead = {
    status: answerStatus(statusCode),
    headers: [["content-type", contentType], ...Object.entries(headers ?? {}).filter(isNotContentType)],
  };
  try {
    const bytes = await writeResult(storedResults.folder, id, stored, body);
    capture.log("INFO", [`The result is too large for an answer: its ${bytes} bytes were stored.`]);
    return { data: null, stored: { bytes } };
  } catch (error) {
    capture.log("WARN", [
      `The result is too large for an answer, and could not be stored: ${messageOf(error)}`,
    ]);
    return { data: null, stored: null };
  }
}

const tooLarge = Symbol("too large");

function copyOf(returned: unknown, bytesMax: number): unknown {
  const { data } = (returned ?? {}) as Record<string, unknown>;
  try {
    return plainCopy(data, { purpose: "answer", bytesMax, depthMax: answerDepthMax, redactor: null });
  } catch (error) {
    if (error instanceof TooLargeError) return tooLarge;
    throw error;
  }
}

function headOf(returned: unknown): Omit<RunResult, "data" | "stored"> {
  const { statusCode, headers, contentType } = (returned ?? {}) as Record<string, unknown>;
  const head: Omit<RunResult, "data" | "stored"> = {};
  const status = statusOf(statusCode);
  if (status !== undefined) head.statusCode = status;
  const headerTexts = headersOf(headers);
  if (headerTexts !== undefined) head.headers = headerTexts;
  if (typeof contentType === "string") head.contentType = contentType;
  return head;
}

const preferDirectHeader = "prismatic-prefer-direct-sync-response";

const prefersDirect = (headers: readonly (readonly [name: string, value: string])[]): boolean =>
  headers.some(
    ([name, value]) => name.toLowerCase() === preferDirectHeader && value.trim().toLowerCase() === "true",
  );
