/** Asking an OAuth server for a token: one bounded request, and what its answer means. */
import {
  allowInsecureRequests,
  authorizationCodeGrantRequest,
  type ClientAuth,
  ClientSecretBasic,
  ClientSecretPost,
  clientCredentialsGrantRequest,
  customFetch,
  None,
  nopkce,
  refreshTokenGrantRequest,
  validateAuthResponse,
} from "oauth4webapi";
import { messageOf } from "../../shared/errors.ts";
import type { OAuthSettings } from "./settings.ts";

export type Grant =
  | { kind: "code"; code: string; redirectUri: string; codeVerifier: string | null }
  | { kind: "refresh"; refreshToken: string }
  | { kind: "client" };

export type TokenAnswer =
  | { ok: true; token: Record<string, unknown> }
  /** `isFinal`: the same request would be refused again. */
  | { ok: false; isFinal: boolean; error: string };

const timeoutMs = 15_000;
const answerBytesMax = 256 * 1024;
const errorLengthMax = 500;
/** RFC 6749, 5.2: what no further attempt can mend. */
const finalErrors = new Set([
  "invalid_request",
  "invalid_client",
  "invalid_grant",
  "unauthorized_client",
  "unsupported_grant_type",
  "invalid_scope",
]);

/** Never throws. No secret is in the error. */
export async function fetchToken(settings: OAuthSettings, grant: Grant): Promise<TokenAnswer> {
  const secrets = [settings.clientSecret, ...secretsOf(grant)];
  const post = settings.clientSecret === "" ? None() : ClientSecretPost(settings.clientSecret);
  let answer = await attempt(settings, grant, post);
  // Servers take the client's secret in the body, in a header, or in both places; few say which.
  if (answer.refusesClient && settings.clientSecret !== "")
    answer = await attempt(settings, grant, ClientSecretBasic(settings.clientSecret));
  if (answer.ok) return { ok: true, token: answer.token };
  return { ok: false, isFinal: answer.isFinal, error: withoutSecrets(answer.error, secrets) };
}

type Attempt =
  | { ok: true; token: Record<string, unknown>; refusesClient: false }
  | { ok: false; isFinal: boolean; error: string; refusesClient: boolean };

async function attempt(settings: OAuthSettings, grant: Grant, auth: ClientAuth): Promise<Attempt> {
  const failed = (error: string): Attempt => ({ ok: false, isFinal: false, refusesClient: false, error });
  try {
    const response = await send(settings, grant, auth);
    const text = await boundedText(response);
    if (text === null) return failed(`The OAuth server's answer is larger than ${answerBytesMax} bytes.`);
    return readAnswer(response.status, text, response.headers.get("content-type") ?? "");
  } catch (error) {
    const isLate = (error as Error).name === "TimeoutError";
    const reason = isLate ? `no answer within ${timeoutMs / 1000} s` : causeOf(error);
    return failed(`The OAuth server can't be reached: ${reason}.`);
  }
}

function send(settings: OAuthSettings, grant: Grant, auth: ClientAuth): Promise<Response> {
  const { tokenUrl, clientId, scopes } = settings;
  const server = { issuer: tokenUrl.origin, token_endpoint: tokenUrl.href };
  const client = { client_id: clientId };
  const options = {
    signal: AbortSignal.timeout(timeoutMs),
    // `settings.ts` has seen to where plain HTTP is allowed.
    [allowInsecureRequests]: true,
    // A redirect would carry the secret elsewhere.
    [customFetch]: (url: string, init: RequestInit) => fetch(url, { ...init, redirect: "manual" }),
  } as const;
  switch (grant.kind) {
    case "code": {
      // The state was checked before: what remains for the library is the code.
      const parameters = validateAuthResponse(server, client, new URLSearchParams({ code: grant.code }));
      const verifier = grant.codeVerifier ?? nopkce;
      return authorizationCodeGrantRequest(
        server,
        client,
        auth,
        parameters,
        grant.redirectUri,
        verifier,
        options,
      );
    }
    case "refresh":
      return refreshTokenGrantRequest(server, client, auth, grant.refreshToken, options);
    case "client":
      return clientCredentialsGrantRequest(
        server,
        client,
        auth,
        scopes === "" ? {} : { scope: scopes },
        options,
      );
  }
}

function readAnswer(status: number, text: string, contentType: string): Attempt {
  const body = parseAnswer(text, contentType);
  const code = typeof body?.["error"] === "string" ? body["error"] : null;
  if (status >= 200 && status < 300 && code === null) {
    if (typeof body?.["access_token"] === "string" && body["access_token"] !== "")
      return { ok: true, token: body, refusesClient: false };
    return {
      ok: false,
      isFinal: false,
      refusesClient: false,
      error: `The OAuth server answered ${status} without an access token.`,
    };
  }
  const description =
    typeof body?.["error_description"] === "string" ? ` (${body["error_description"]})` : "";
  const said = code === null ? "" : `: ${code}${description}`;
  return {
    ok: false,
    isFinal: code !== null && finalErrors.has(code),
    refusesClient: code === "invalid_client" || (status === 401 && code === null),
    error: `The OAuth server answered ${status}${said}.`,
  };
}

/** JSON, or a form as some servers answer whatever they are asked for. */
function parseAnswer(text: string, contentType: string): Record<string, unknown> | null {
  if (contentType.startsWith("application/x-www-form-urlencoded"))
    return Object.fromEntries(new URLSearchParams(text));
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)
      ? (parsed as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

/** Null where it is too long; the rest is not read. */
async function boundedText(response: Response): Promise<string | null> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > answerBytesMax) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** Node's fetch says "fetch failed", and why in its cause. */
const causeOf = (error: unknown): string => {
  const { cause } = error as { cause?: unknown };
  return messageOf(cause instanceof Error && cause.message !== "" ? cause : error);
};

const secretsOf = (grant: Grant): string[] =>
  grant.kind === "code"
    ? [grant.code, grant.codeVerifier ?? ""]
    : grant.kind === "refresh"
      ? [grant.refreshToken]
      : [];

function withoutSecrets(text: string, secrets: readonly string[]): string {
  let shown = text;
  for (const secret of secrets) if (secret !== "") shown = shown.replaceAll(secret, "[redacted]");
  return shown.length <= errorLengthMax ? shown : `${shown.slice(0, errorLengthMax)}...`;
}
