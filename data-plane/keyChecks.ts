/** The check of a request's keys with what follows from it: the note of their use, the count of wrong ones. */
import type { ErrorCode } from "../shared/errors.ts";
import type { KeyEntity } from "../shared/feed.ts";
import { toNodeId } from "../shared/ids.ts";
import { checkKeys, type KeyProblem, type KeyRule } from "./authenticate.ts";
import type { WrongKeys } from "./wrongKeys.ts";

/** Who shows keys, and where: a journaled request is one. */
export interface KeySender {
  keyHmacs: readonly string[];
  token: string;
  remoteAddress: string;
}

export interface KeyRefusal {
  code: Extract<ErrorCode, "KEY_REFUSED" | "TOO_MANY_WRONG_KEYS">;
  /** For the organization's eyes. */
  reason: string;
  /** Seconds, where the sender is to wait. */
  retryAfter: number | null;
}

export interface KeyChecks {
  /** Null where the keys meet the rule. `flowName` is named in the reason. */
  refuse(rule: KeyRule, flowName: string, sender: KeySender, nowMs: number): KeyRefusal | null;
}

export function createKeyChecks(options: {
  keyUse: { note(keys: readonly KeyEntity[], nowMs: number): void };
  wrongKeys: WrongKeys;
  wrongKeysPerMinute: number;
}): KeyChecks {
  return {
    refuse(rule, flowName, { keyHmacs, token, remoteAddress }, nowMs) {
      const verdict = checkKeys(rule, keyHmacs, nowMs);
      if (verdict.ok) {
        if (verdict.valid.length > 0) options.keyUse.note(verdict.valid, nowMs);
        return null;
      }
      const reason = reasonOf(verdict.problem, flowName);
      // Nobody guesses by sending nothing; and a revoked or expired key must look like any other wrong one.
      const retryAfter =
        verdict.problem.kind === "missing" ? null : options.wrongKeys.count(token, remoteAddress);
      return retryAfter === null
        ? { code: "KEY_REFUSED", reason, retryAfter }
        : {
            code: "TOO_MANY_WRONG_KEYS",
            reason: `More than ${options.wrongKeysPerMinute} wrong keys in a minute from ${remoteAddress}. ${reason}`,
            retryAfter,
          };
    },
  };
}

/** For replays and tests, which no sender is behind: nothing is noted, nothing is limited. */
export const keyChecksOfCommands: KeyChecks = {
  refuse(rule, flowName, { keyHmacs }, nowMs) {
    const verdict = checkKeys(rule, keyHmacs, nowMs);
    return verdict.ok
      ? null
      : { code: "KEY_REFUSED", reason: reasonOf(verdict.problem, flowName), retryAfter: null };
  },
};

function reasonOf(problem: KeyProblem, flowName: string): string {
  const flow = `the flow ${JSON.stringify(flowName)}`;
  switch (problem.kind) {
    case "missing":
      return `No key was sent for ${flow}.`;
    case "wrong":
      return `No key that was sent is one of ${flow}.`;
    case "revoked":
      return `The key that was sent for ${flow} was revoked at ${timeOf(problem.key.revokedAtMs)} (${nodeId(problem.key.id)}).`;
    case "expired":
      return `The key that was sent for ${flow} expired at ${timeOf(problem.key.expiresAtMs)} (${nodeId(problem.key.id)}).`;
  }
}

const timeOf = (ms: number | null): string => new Date(ms ?? 0).toISOString();
const nodeId = (id: string): string => toNodeId("ApiKey", id);
