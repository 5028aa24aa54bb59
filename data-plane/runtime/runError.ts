/** Why a run failed, as its record has it. */
import type { ExecutionErrorCode } from "../../shared/errors.ts";

export class RunError extends Error {
  readonly code: ExecutionErrorCode;
  constructor(code: ExecutionErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
