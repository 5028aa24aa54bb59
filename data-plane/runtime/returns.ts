/** What flow code returned, as the sender's answer can carry it. */
import type { RunCapture } from "./capture.ts";
import type { HttpResponse, RunResult } from "./messages.ts";
import { plainCopy, TooLargeError } from "./plainCopy.ts";
import { RunError } from "./runError.ts";

export interface AnswerOptions {
  answerBytesMax: number;
  capture: RunCapture;
}

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

/**
 * The return as an answer: a plain copy, because nothing else can leave the thread. The run itself went well
 * even where its return is too large to be one, so the answer says what is wrong instead.
 */
export function resultOf(returned: unknown, options: AnswerOptions): RunResult {
  const { data, statusCode, headers, contentType } = (returned ?? {}) as Record<string, unknown>;
  try {
    const result: RunResult = {
      data: plainCopy(data, {
        purpose: "answer",
        bytesMax: options.answerBytesMax,
        depthMax: answerDepthMax,
        redactor: null,
      }),
    };
    const status = statusOf(statusCode);
    if (status !== undefined) result.statusCode = status;
    const headerTexts = headersOf(headers);
    if (headerTexts !== undefined) result.headers = headerTexts;
    if (typeof contentType === "string") result.contentType = contentType;
    return result;
  } catch (error) {
    if (!(error instanceof TooLargeError)) throw error;
    const message = `The flow's result is larger than ${options.answerBytesMax} bytes, so it can't be an answer.`;
    options.capture.log("WARN", [message]);
    return {
      statusCode: 500,
      contentType: "application/json",
      data: { error: { code: "RESULT_TOO_LARGE", message } },
    };
  }
}
