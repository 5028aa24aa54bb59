/** Where an OAuth server sends people back to, with the code that tokens are fetched with. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { messageOf } from "../../shared/errors.ts";
import { toNodeId } from "../../shared/ids.ts";
import type { Services } from "../context.ts";
import { insertAuditRow } from "../store/auditLog.ts";
import { useOauthState } from "../store/oauthTokens.ts";
import { callbackPath, codeVerifier, type OAuthState, readState, stateLifetimeMs } from "./authorize.ts";
import { type Connection, countedFetch, findConnection, keepAnswer, writeState } from "./connect.ts";
import { oauthSettings } from "./settings.ts";

interface Origin {
  remoteAddress: string;
  requestId: string;
}

type Outcome =
  | { ok: true; connection: Connection }
  | { ok: false; connection: Connection | null; message: string };

/** Answers with a page, or sends on to where the definition says. Never throws: the address holds a secret. */
export async function handleOAuthCallback(
  services: Services,
  origin: Origin,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.method !== "GET") return page(response, 405, "Use GET.");
  const { searchParams } = new URL(request.url ?? "/", "http://control-plane");
  try {
    const outcome = await redeem(services, origin, searchParams);
    const meta = outcome.connection?.variable.meta;
    const target = redirectTarget(meta?.[outcome.ok ? "oAuthSuccessRedirectUri" : "oAuthFailureRedirectUri"]);
    if (target !== null) return redirect(response, target);
    if (outcome.ok) return page(response, 200, "The connection is authorized. You can close this window.");
    page(response, 400, outcome.message);
  } catch (error) {
    services.log.error({ reason: messageOf(error) }, "an OAuth callback failed");
    page(response, 500, "Something went wrong on our side. Start the authorization again.");
  }
}

async function redeem(services: Services, origin: Origin, parameters: URLSearchParams): Promise<Outcome> {
  const { store, feed, config, urls } = services;
  const state = readState(store.pepper, parameters.get("state") ?? "");
  if (state === null) return refused("This authorization is not known, or too old. Start it again.");
  const isFirst = await feed.transact((transaction) =>
    useOauthState(transaction, state.nonce, Date.now() + stateLifetimeMs),
  );
  if (!isFirst) return refused("This authorization has come back before. Start it again.");
  const connection = await findConnection(services, state, state.key);
  if (connection === null) return refused("The connection is not there any more.");
  const read = oauthSettings(connection.variable, connection.given, config.oauthHttp === "everywhere");
  if (!read.ok) return refused(read.problem, connection);
  if (read.settings.fingerprint !== state.fingerprint)
    return refused(
      "The connection was changed since the authorization was begun. Start it again.",
      connection,
    );
  const code = parameters.get("code");
  if (parameters.get("error") !== null || code === null)
    return note(services, connection, refusalOf(parameters));
  const answer = await countedFetch(services, read.settings, {
    kind: "code",
    code,
    redirectUri: urls.control(callbackPath),
    codeVerifier: read.settings.pkceMethod === null ? null : codeVerifier(store.pepper, state.nonce),
  });
  if (!answer.ok) return note(services, connection, answer.error);
  const rest = [...parameters].filter(([name]) => !["code", "state"].includes(name));
  // What the server said beside the code is the connection's context: the company it is for, and the like.
  if (!(await keepAnswer(services, connection, answer.token, Object.fromEntries(rest))))
    return refused("The connection was changed meanwhile. Start the authorization again.", connection);
  await audit(services, origin, state, connection.customerId);
  return { ok: true, connection };
}

const refused = (message: string, connection: Connection | null = null): Outcome => ({
  ok: false,
  connection,
  message,
});

/** A connection that works goes on working: only one without a token is in error. */
async function note(services: Services, connection: Connection, error: string): Promise<Outcome> {
  const { owner, variable, given } = connection;
  const hasToken = given?.token !== undefined;
  if (!hasToken) {
    await writeState(services, owner, variable.key, {
      status: "ERROR",
      error,
      refreshAtMs: null,
      expiresAtMs: null,
      failures: 0,
    });
  }
  return refused(error, connection);
}

function refusalOf(parameters: URLSearchParams): string {
  const code = parameters.get("error")?.slice(0, 100);
  if (code === undefined) return "The OAuth server sent neither a code nor an error.";
  const description = parameters.get("error_description")?.slice(0, 300);
  return `The OAuth server refused it: ${code}${description ? ` (${description})` : ""}.`;
}

function redirectTarget(value: unknown): string | null {
  if (typeof value !== "string" || !URL.canParse(value)) return null;
  return /^https?:$/.test(new URL(value).protocol) ? value : null;
}

const audit = (
  { store }: Services,
  origin: Origin,
  { instanceId, key }: OAuthState,
  customerId: string,
): Promise<void> =>
  insertAuditRow(store.config, {
    ...origin,
    actor: "system",
    actorRole: "NONE",
    tokenId: null,
    action: "authorizeConnection",
    objectId: toNodeId("Instance", instanceId),
    customerId,
    outcome: "SUCCEEDED",
    detailJson: JSON.stringify({ input: { key } }),
  });

const securityHeaders = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
  // The address has the code in it.
  "referrer-policy": "no-referrer",
};

function redirect(response: ServerResponse, location: string): void {
  response.writeHead(302, { ...securityHeaders, location }).end();
}

function page(response: ServerResponse, status: number, message: string): void {
  const shown = message.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
  const html = `<!doctype html><meta charset="utf-8"><title>Switchyard</title><body style="font-family:sans-serif;margin:3em"><p>${shown}</p></body>`;
  response.writeHead(status, { ...securityHeaders, "content-type": "text/html; charset=utf-8" }).end(html);
}
