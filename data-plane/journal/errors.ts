/** The journal takes nothing right now: it is at its bound, or its disk is full or failing. The answer is 503. */
export class JournalFullError extends Error {
  override name = "JournalFullError";
}

/** What an entry needs can't be read back whole: its bytes on disk were changed or removed from outside. */
export class JournalDamageError extends Error {
  override name = "JournalDamageError";
}

export const codeOf = (error: unknown): string => (error as { code?: string } | null)?.code ?? "";
