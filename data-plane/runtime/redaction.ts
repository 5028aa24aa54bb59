/**
 * Taking secrets out of what is shown: by value (connection fields, API keys, the sensitive headers of the
 * request), and by the name of the header that holds them. What flow code itself works on is not touched.
 */

export interface Redactor {
  text(text: string): string;
  bytes(bytes: Uint8Array): Uint8Array;
  /** True for a property whose value is never shown. */
  hides(name: string): boolean;
}

export interface SecretSources {
  configVars: Record<string, unknown> | null;
  webhookApiKeys: Record<string, string[]>;
  headers: readonly (readonly [name: string, value: string])[];
}

export const redactedMark = "[redacted]";

/** Shorter values ("true", "8080") are in too much innocent text. */
const secretLengthMin = 6;
/** So that a page of a thousand values can't make each log line slow. */
const secretsMax = 500;
const secretHeaders = new Set([
  "authorization",
  "proxy-authorization",
  "cookie",
  "set-cookie",
  "api-key",
  "x-api-key",
]);
const longestSecretHeader = 19;

export function createRedactor(sources: SecretSources): Redactor {
  const secrets = collectSecrets(sources);
  return {
    hides: (name) => name.length <= longestSecretHeader && secretHeaders.has(name.toLowerCase()),
    text(text) {
      let shown = text;
      for (const secret of secrets) {
        if (shown.includes(secret)) shown = shown.replaceAll(secret, redactedMark);
      }
      return shown;
    },
    bytes(bytes) {
      let shown: Buffer | null = null;
      for (const secret of secrets) {
        const source: Buffer = shown ?? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
        const length = Buffer.byteLength(secret);
        for (let at = source.indexOf(secret); at >= 0; at = source.indexOf(secret, at + length)) {
          shown ??= Buffer.from(bytes);
          shown.fill("*", at, at + length);
        }
      }
      return shown ?? bytes;
    },
  };
}

/** Longest first, so that a secret inside another one leaves no rest of it. */
function collectSecrets(sources: SecretSources): string[] {
  const secrets = new Set<string>();
  const add = (value: string) => {
    if (value.length < secretLengthMin || secrets.size >= secretsMax) return;
    secrets.add(value);
    // As it stands inside JSON: a private key's line ends are escaped there.
    const escaped = JSON.stringify(value).slice(1, -1);
    if (escaped !== value) secrets.add(escaped);
  };
  for (const keys of Object.values(sources.webhookApiKeys)) keys.forEach(add);
  for (const value of Object.values(sources.configVars ?? {})) {
    if (!isConnection(value)) continue;
    addTexts(value.fields, add, 0);
    addTexts(value.token, add, 0);
  }
  for (const [name, value] of sources.headers) {
    if (!secretHeaders.has(name.toLowerCase())) continue;
    add(value);
    // "Bearer <token>": the token alone is as secret.
    const space = value.indexOf(" ");
    if (name.toLowerCase().endsWith("authorization") && space > 0) add(value.slice(space + 1));
  }
  return [...secrets].sort((a, b) => b.length - a.length);
}

function isConnection(value: unknown): value is { fields: unknown; token?: unknown } {
  return typeof value === "object" && value !== null && "fields" in value;
}

const depthMax = 8;

function addTexts(value: unknown, add: (text: string) => void, depth: number): void {
  if (typeof value === "string") add(value);
  else if (typeof value === "object" && value !== null && depth < depthMax) {
    for (const inner of Object.values(value)) addTexts(inner, add, depth + 1);
  }
}
