/** When a token ends, and when it is fetched anew: well before that, and not all at the same moment. */

export interface TokenTimes {
  expiresAtMs: number | null;
  /** Null where nothing can or has to be done. */
  refreshAtMs: number | null;
}

/** Of a token's life; the rest is for attempts that fail. */
const refreshAfterShare = 0.7;
const jitterShare = 0.1;
const lifetimeMsMax = 365 * 24 * 3_600_000;

export function tokenTimes(token: Record<string, unknown>, nowMs: number): TokenTimes {
  const seconds = Number(token["expires_in"]);
  if (token["expires_in"] == null || !Number.isFinite(seconds) || seconds <= 0)
    return { expiresAtMs: null, refreshAtMs: null };
  const lifetimeMs = Math.min(seconds * 1000, lifetimeMsMax);
  return {
    expiresAtMs: Math.round(nowMs + lifetimeMs),
    refreshAtMs: Math.round(nowMs + lifetimeMs * (refreshAfterShare + Math.random() * jitterShare)),
  };
}

const firstPauseMs = 2_000;
const pauseMsMax = 3_600_000;

/** After so many attempts in a row that failed: each pause is twice the last, more or less. */
export const pauseAfterMs = (failures: number): number =>
  Math.round(
    Math.min(pauseMsMax, firstPauseMs * 2 ** Math.min(failures - 1, 20)) * (0.75 + Math.random() / 2),
  );
