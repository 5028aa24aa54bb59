/**
 * Taking secrets out of what is shown: by value (connection fields, API keys, the sensitive headers of the
 * request), and by the name of the header that holds them. What flow code itself works on is not touched.
 */

export interface Redactor {
  text(text: string): string;
  bytes(bytes: Uint8Array): Uint8Array;
  /** True where a secret stands in these bytes, as UTF-8. */
  isIn(bytes: Uint8Array): boolean;
}

/** Secrets by value, longest first, so that a secret inside another one leaves no rest of it. */
export type Secrets = readonly string[];

export const redactedMark = "[redacted]";

/** Shorter values ("true", "8080") are in too much innocent text. */
const secretLengthMin = 6;
/** So that a page of a thousand values can't make each log line slow. */
const secretsMax = 500;
const secretNames = new Set([
  "authorization",
  "proxy-authorization",
  "cookie",
  "set-cookie",
  "api-key",
  "x-api-key",
]);
const secretNameLengths = [...secretNames].reduce((bits, { length }) => bits | (1 << length), 0);

/** True for a property whose value is never shown. */
export const isHiddenName = (name: string): boolean =>
  // Most names are let through by their length alone.
  name.length < 32 && (secretNameLengths & (1 << name.length)) !== 0 && secretNames.has(name.toLowerCase());

export function createRedactor(secrets: Secrets): Redactor {
  const encoded = secrets.map((secret) => Buffer.from(secret));
  return {
    text(text) {
      let shown = text;
      for (const secret of secrets) {
        if (shown.includes(secret)) shown = shown.replaceAll(secret, redactedMark);
      }
      return shown;
    },
    bytes(bytes) {
      let shown: Buffer | null = null;
      for (const secret of encoded) {
        const source: Buffer = shown ?? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
        for (let at = source.indexOf(secret); at >= 0; at = source.indexOf(secret, at + secret.length)) {
          shown ??= Buffer.from(bytes);
          shown.fill("*", at, at + secret.length);
        }
      }
      return shown ?? bytes;
    },
    isIn(bytes) {
      const source = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      return encoded.some((secret) => source.includes(secret));
    },
  };
}

/** What all runs of an instance's flow keep to themselves: its connections' fields and the API keys. */
export function secretsOf(
  configVars: Record<string, unknown> | null,
  webhookApiKeys: Record<string, string[]>,
): Secrets {
  return collect((add) => {
    for (const keys of Object.values(webhookApiKeys)) keys.forEach(add);
    for (const value of Object.values(configVars ?? {})) {
      if (!isConnection(value)) continue;
      addTexts(value.fields, add, 0);
      for (const [name, part] of Object.entries(value.token ?? {}))
        if (!openTokenFields.has(name)) addTexts(part, add, 0);
    }
  });
}

/** The same with what one request's own headers hold; the same list where they hold nothing. */
export function withHeaderSecrets(
  secrets: Secrets,
  headers: readonly (readonly [name: string, value: string])[],
): Secrets {
  const found: string[] = [];
  for (const [name, value] of headers) {
    if (!isHiddenName(name)) continue;
    found.push(value);
    // "Bearer <token>": the token alone is as secret.
    const space = value.indexOf(" ");
    if (name.toLowerCase().endsWith("authorization") && space > 0) found.push(value.slice(space + 1));
  }
  if (found.length === 0) return secrets;
  return collect((add) => {
    for (const text of found) add(text);
    for (const text of secrets) add(text);
  });
}

function collect(from: (add: (text: string) => void) => void): Secrets {
  const secrets = new Set<string>();
  from((text) => {
    if (text.length < secretLengthMin || secrets.size >= secretsMax) return;
    secrets.add(text);
    // As it stands inside JSON: a private key's line ends are escaped there.
    const escaped = JSON.stringify(text).slice(1, -1);
    if (escaped !== text) secrets.add(escaped);
  });
  return [...secrets].sort((a, b) => b.length - a.length);
}

/** Not whatever has fields: a map of fields has them, too. */
function isConnection(value: unknown): value is { fields: unknown; token?: object } {
  return typeof value === "object" && value !== null && "fields" in value && "configVarKey" in value;
}

/** Of an OAuth token: words that stand in innocent text as well. */
const openTokenFields = new Set(["token_type", "scope", "expires_in"]);

const depthMax = 8;

function addTexts(value: unknown, add: (text: string) => void, depth: number): void {
  if (typeof value === "string") add(value);
  else if (typeof value === "object" && value !== null && depth < depthMax) {
    for (const inner of Object.values(value)) addTexts(inner, add, depth + 1);
  }
}
