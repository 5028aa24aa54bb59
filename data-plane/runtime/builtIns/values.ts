/**
 * Inputs as public components read them. A definition's values are texts, a reference's are whatever a step gave,
 * and an input that was left empty is an empty text: each reader takes all of them, and says which input is wrong.
 */
type Params = Record<string, unknown>;

export const isGiven = (value: unknown): boolean => value !== undefined && value !== null && value !== "";

/** "" where there is nothing; JSON of lists and objects. */
export function textOf(value: unknown): string {
  if (value === undefined || value === null) return "";
  if (typeof value === "string") return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString("utf8");
  if (value instanceof Date) return value.toISOString();
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

export const text = (params: Params, key: string): string => textOf(params[key]);

export function requiredText(params: Params, key: string): string {
  const value = text(params, key);
  if (value === "") throw new Error(`The input "${key}" is empty.`);
  return value;
}

/** Undefined where the input is empty. */
export function optionalNumber(params: Params, key: string): number | undefined {
  const value = params[key];
  return isGiven(value) ? numberOf(value, key) : undefined;
}

export function requiredNumber(params: Params, key: string): number {
  const value = params[key];
  if (!isGiven(value)) throw new Error(`The input "${key}" is empty.`);
  return numberOf(value, key);
}

export function numberOf(value: unknown, key: string): number {
  const number = typeof value === "string" && value.trim() === "" ? Number.NaN : Number(value);
  if (Number.isNaN(number)) throw new Error(`The input "${key}" is not a number: ${clip(value)}.`);
  return number;
}

/** True for true, and for the texts that mean it. */
export function flag(params: Params, key: string): boolean {
  const value = params[key];
  if (typeof value === "string") return /^(true|t|yes|y|1)$/i.test(value.trim());
  return Boolean(value);
}

/** A list, or the JSON of one. */
export function list(params: Params, key: string): unknown[] {
  const value = parsed(params[key]);
  if (Array.isArray(value)) return value;
  if (!isGiven(value)) return [];
  throw new Error(`The input "${key}" is not a list: ${clip(value)}.`);
}

/** An object, or the JSON of one; a list of keys with values is one, too. */
export function object(params: Params, key: string): Record<string, unknown> {
  const value = parsed(params[key]);
  if (Array.isArray(value)) return fromPairs(value);
  if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  if (!isGiven(value)) return {};
  throw new Error(`The input "${key}" is not an object: ${clip(value)}.`);
}

/** Members without a key are left out; of equal keys the last one counts. */
export function fromPairs(pairs: unknown[]): Record<string, unknown> {
  const entries = pairs.flatMap((pair): [string, unknown][] => {
    const { key, value } = (pair ?? {}) as { key?: unknown; value?: unknown };
    return isGiven(key) ? [[textOf(key), value]] : [];
  });
  return Object.fromEntries(entries);
}

/** What a JSON text says; every other value as it is. */
export function parsed(value: unknown): unknown {
  if (typeof value !== "string" || !/^\s*[[{]/.test(value)) return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

export const clip = (value: unknown): string => {
  const shown = textOf(value);
  return `"${shown.length > 80 ? `${shown.slice(0, 80)}…` : shown}"`;
};
