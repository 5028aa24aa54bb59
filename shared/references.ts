/**
 * References: paths that select a routing value from a request or from a preprocess flow's result.
 *
 *   body.data.type    results.body.data.type    payload.results.body.data["order.type"]    headers.x-flow
 *   flowName          results.flowName          onExecution.results.flowName               items[0].id
 *
 * Parsed once when an endpoint is compiled, evaluated per request. Evaluating never throws and never reaches
 * a prototype.
 */

/** What a reference can select from in a request. */
export interface RequestSource {
  /** A header's value by lower-case name; undefined where it is missing or was sent more than once. */
  header(name: string): string | undefined;
  /** A query parameter's value; undefined where it is missing or was sent more than once. */
  queryParameter(name: string): string | undefined;
  body: { data: unknown; contentType: string };
}

export type ReferenceTarget = "request" | "result";

export interface Reference {
  readonly text: string;
  readonly target: ReferenceTarget;
  /** Tried in order; the first that selects a value wins. Only a result reference has more than one. */
  readonly paths: readonly (readonly string[])[];
}

export type ReferenceParse = { ok: true; reference: Reference } | { ok: false; message: string };

const textLengthMax = 1024;
const segmentsMax = 64;
const requestRoots = new Set(["headers", "body", "queryParameters"]);

/** The parts of a path, or a sentence. Its bare keys may have spaces in them, as the names of flows do. */
export function parsePath(text: string): { ok: true; path: string[] } | { ok: false; message: string } {
  const path = splitPath(text, true);
  return typeof path === "string"
    ? { ok: false, message: `"${clip(text)}" is not a reference: ${path}` }
    : { ok: true, path };
}

export function parseReference(text: string, target: ReferenceTarget): ReferenceParse {
  const segments = splitPath(text);
  if (typeof segments === "string")
    return { ok: false, message: `"${clip(text)}" is not a reference: ${segments}` };
  return target === "request" ? requestReference(text, segments) : resultReference(text, segments);
}

/** The selected value as text, or undefined where it does not match. */
export function selectFromRequest(reference: Reference, source: RequestSource): string | undefined {
  const path = reference.paths[0]!;
  switch (path[0]) {
    case "headers":
      return source.header(path[1]!.toLowerCase());
    case "queryParameters":
      return source.queryParameter(path[1]!);
    default:
      return routingText(valueAt(source.body, path, 1));
  }
}

export function selectFromResult(reference: Reference, result: unknown): string | undefined {
  for (const path of reference.paths) {
    const selected = routingText(valueAt(result, path, 0));
    if (selected !== undefined) return selected;
  }
  return undefined;
}

/** Scalars as text; undefined for what must not route: objects, null, numbers that lost digits. */
export function routingText(value: unknown): string | undefined {
  switch (typeof value) {
    case "string":
      return value;
    case "boolean":
      return value ? "true" : "false";
    case "number":
      return Number.isFinite(value) && Math.abs(value) <= Number.MAX_SAFE_INTEGER ? String(value) : undefined;
    case "bigint":
      return undefined;
    default:
      return undefined;
  }
}

/** What lies at the path from `from` on: own data properties only, array items by index; undefined where nothing does. */
export function valueAt(start: unknown, path: readonly string[], from: number): unknown {
  let value = start;
  for (let i = from; i < path.length; i++) {
    if (typeof value !== "object" || value === null) return undefined;
    const key = path[i]!;
    if (Array.isArray(value) && !/^(0|[1-9]\d{0,8})$/.test(key)) return undefined;
    const own = Object.getOwnPropertyDescriptor(value, key);
    // A getter is code; results come from flow code, so only plain data properties are read.
    if (own === undefined || !("value" in own)) return undefined;
    value = own.value;
  }
  return value;
}

function requestReference(text: string, segments: string[]): ReferenceParse {
  const path = [...segments];
  // spectral writes `payload.results.<field>`, where a builder's own field may start with `results.` again.
  if (path[1] === "results" && !requestRoots.has(path[0]!)) path.splice(0, 2);
  while (path[0] === "results") path.shift();
  const root = path[0];
  if (root === undefined || !requestRoots.has(root)) {
    return {
      ok: false,
      message: `"${clip(text)}" does not select from the request: it must start with headers, body or queryParameters.`,
    };
  }
  if (root !== "body" && path.length !== 2) {
    return {
      ok: false,
      message: `"${clip(text)}" must name exactly one ${root === "headers" ? "header" : "query parameter"}.`,
    };
  }
  if (root === "body" && !(path[1] === "data" || (path[1] === "contentType" && path.length === 2))) {
    return { ok: false, message: `"${clip(text)}" must go on with body.data: the parsed body is there.` };
  }
  return { ok: true, reference: { text, target: "request", paths: [path] } };
}

function resultReference(text: string, segments: string[]): ReferenceParse {
  const path = segments.length > 2 && segments[1] === "results" ? segments.slice(2) : segments;
  const paths = path.length > 1 && path[0] === "results" ? [path, path.slice(1)] : [path];
  return { ok: true, reference: { text, target: "result", paths } };
}

/** The path's segments, or what is wrong with it. */
function splitPath(text: string, allowsSpaces = false): string[] | string {
  if (text.length === 0) return "it is empty.";
  if (text.length > textLengthMax) return `it is longer than ${textLengthMax} characters.`;
  const segments: string[] = [];
  let at = 0;
  while (at < text.length) {
    if (text[at] === "[") {
      const bracket = readBracket(text, at);
      if (typeof bracket === "string") return bracket;
      segments.push(bracket.key);
      at = bracket.end;
    } else {
      const end = bareEnd(text, at);
      if (end === at) return `a key is missing at position ${at + 1}.`;
      const bare = text.slice(at, end);
      if ((allowsSpaces ? /["'\]]/ : /[\s"'\]]/).test(bare))
        return `"${clip(bare)}" must be written in brackets with quotes.`;
      segments.push(bare);
      at = end;
    }
    if (segments.length > segmentsMax) return `it has more than ${segmentsMax} parts.`;
    if (at === text.length) return segments;
    if (text[at] === ".") {
      at++;
      if (at === text.length) return "it ends with a dot.";
      if (text[at] === "[") return `a key is missing at position ${at + 1}.`;
    } else if (text[at] !== "[") {
      return `a dot is missing at position ${at + 1}.`;
    }
  }
  return segments;
}

function bareEnd(text: string, from: number): number {
  let end = from;
  while (end < text.length && text[end] !== "." && text[end] !== "[") end++;
  return end;
}

function readBracket(text: string, open: number): { key: string; end: number } | string {
  const quote = text[open + 1];
  if (quote !== '"' && quote !== "'") {
    const close = text.indexOf("]", open);
    const index = close < 0 ? "" : text.slice(open + 1, close);
    if (!/^(0|[1-9]\d{0,8})$/.test(index))
      return `"[" at position ${open + 1} needs an index or a quoted key.`;
    return { key: index, end: close + 1 };
  }
  let key = "";
  for (let at = open + 2; at < text.length; at++) {
    const char = text[at]!;
    if (char === "\\" && at + 1 < text.length) key += text[++at];
    else if (char === quote) {
      if (text[at + 1] !== "]") return `"]" is missing at position ${at + 2}.`;
      return { key, end: at + 2 };
    } else key += char;
  }
  return `the quote at position ${open + 2} is not closed.`;
}

const clip = (text: string): string => (text.length > 80 ? `${text.slice(0, 80)}…` : text);
