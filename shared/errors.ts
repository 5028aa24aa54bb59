/**
 * The one catalogue of what a webhook can be answered with when it is refused: code, HTTP status, and the
 * public words. Public words never name flows or customers; details for admins are in the rejection.
 */
export const errorCatalogue = {
  BODY_INVALID: { status: 400, message: "The body could not be read as its Content-Type says." },
  REQUEST_INVALID: { status: 400, message: "The request could not be understood." },
  KEY_REFUSED: { status: 401, message: "A valid API key is required in the Api-Key header." },
  ADDRESS_NOT_ALLOWED: { status: 403, message: "This endpoint does not take requests from this address." },
  ENDPOINT_NOT_FOUND: { status: 404, message: "There is no endpoint at this address." },
  METHOD_NOT_ALLOWED: { status: 405, message: "Use GET, POST, PUT, PATCH or DELETE." },
  REQUEST_TIMEOUT: { status: 408, message: "The request was not sent in time." },
  INSTANCE_PAUSED: { status: 409, message: "This endpoint is paused. The request was kept for a replay." },
  BODY_TOO_LARGE: { status: 413, message: "The body is larger than this endpoint accepts." },
  CONTENT_TYPE_NOT_ACCEPTED: { status: 415, message: "This endpoint does not accept this Content-Type." },
  FLOW_NOT_FOUND: { status: 422, message: "The request does not name a flow that this endpoint can run." },
  CUSTOMER_NOT_FOUND: { status: 422, message: "The request does not name a customer of this endpoint." },
  CUSTOMER_USER_NOT_FOUND: { status: 422, message: "The request does not name a user of the customer." },
  PREPROCESS_FAILED: { status: 422, message: "The preprocess flow failed, so the request was not routed." },
  TOO_MANY_REQUESTS: { status: 429, message: "Too many requests to this endpoint. Try again later." },
  TOO_MANY_WRONG_KEYS: { status: 429, message: "Too many API keys that are not valid. Try again later." },
  HEADERS_TOO_LARGE: { status: 431, message: "The request's headers are too large." },
  TRIGGER_FAILED: { status: 500, message: "The flow's trigger failed." },
  FLOW_FAILED: { status: 500, message: "The flow failed." },
  RESULT_NOT_STORED: {
    status: 500,
    message: "The flow ran. Its result is too large for an answer, and there was no room to store it.",
  },
  INTERNAL: { status: 500, message: "Something went wrong on our side." },
  BUNDLE_HELD_BACK: {
    status: 503,
    message:
      "The flow kept breaking down, so it is held back for a while. The request was kept for a replay.",
  },
  JOURNAL_FULL: { status: 503, message: "The server can't take more webhooks right now. Try again later." },
  DRAINING: { status: 503, message: "The server is shutting down. Try again later." },
  NOT_READY: { status: 503, message: "The server is starting. Try again later." },
  STALE: { status: 503, message: "The server has lost touch with its configuration. Try again later." },
  SYNCHRONOUS_TIMEOUT: { status: 504, message: "The flow did not finish in time. It goes on running." },
} as const satisfies Record<string, { status: number; message: string }>;

export type ErrorCode = keyof typeof errorCatalogue;

/** The body of every refusal: `{"error":{"code","message","requestId"}}`, with `executionId` where there is one. */
export function errorBody(code: ErrorCode, requestId: string, executionId?: string): string {
  const error = { code, message: errorCatalogue[code].message, requestId };
  return JSON.stringify(executionId === undefined ? { error } : { error, executionId });
}

/** Outcomes of an execution that are not an answer's code. */
export type ExecutionErrorCode =
  | ErrorCode
  | "CANCELED"
  | "CRASH_LIMIT"
  | "RUN_TIMEOUT"
  | "RUN_BLOCKED_THREAD"
  | "RUN_KILLED_THREAD"
  | "HOOK_FAILED"
  | "BATCH_INVALID"
  | "BUNDLE_INVALID"
  | "RESULT_TOO_LARGE"
  | "STATE_TOO_LARGE"
  | "STATE_INVALID"
  | "STATE_UNAVAILABLE";

/** A setting or file that keeps a plane from starting: printed as one sentence, exit code 1. */
export class ConfigurationError extends Error {
  override name = "ConfigurationError";
}

export function messageOf(error: unknown): string {
  if (error instanceof Error) return error.message;
  try {
    return String(error);
  } catch {
    return "an error that cannot be shown";
  }
}
