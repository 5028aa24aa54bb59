/** What an OAuth connection's fields say: spectral names them, so they are called the same in every component. */

import type { RequiredConfigVar } from "../../shared/requiredConfigVars.ts";
import { sha256Hex } from "../../shared/secrets.ts";
import { connectionValue, type GivenConnection } from "../store/connectionValues.ts";

export interface OAuthSettings {
  type: "authorization_code" | "client_credentials";
  /** Only where somebody authorizes it. Its query is part of it: that is where extra parameters stand. */
  authorizeUrl: URL | null;
  tokenUrl: URL;
  /** Space-separated; "" for none. */
  scopes: string;
  clientId: string;
  clientSecret: string;
  pkceMethod: "plain" | "S256" | null;
  /** Tells whether tokens are still of this client at this server. */
  fingerprint: string;
}

export type ReadSettings = { ok: true; settings: OAuthSettings } | { ok: false; problem: string };

/** `httpEverywhere`: whether plain HTTP is allowed beyond this machine. */
export function oauthSettings(
  variable: RequiredConfigVar,
  given: GivenConnection | undefined,
  httpEverywhere: boolean,
): ReadSettings {
  const type = variable.declared?.oauth2Type;
  if (type === undefined) return { ok: false, problem: "This is no OAuth 2.0 connection." };
  const { fields } = connectionValue(variable, given);
  const text = (name: string): string => {
    const value = fields[name];
    return typeof value === "string" ? value.trim() : "";
  };
  const clientId = text("clientId");
  if (clientId === "") return { ok: false, problem: `Give the connection "${variable.key}" a clientId.` };
  const tokenUrl = readUrl(text("tokenUrl"), httpEverywhere);
  if (typeof tokenUrl === "string")
    return { ok: false, problem: `The tokenUrl of "${variable.key}" ${tokenUrl}.` };
  let authorizeUrl: URL | null = null;
  if (type === "authorization_code") {
    const read = readUrl(text("authorizeUrl"), httpEverywhere);
    if (typeof read === "string")
      return { ok: false, problem: `The authorizeUrl of "${variable.key}" ${read}.` };
    authorizeUrl = read;
  }
  return {
    ok: true,
    settings: {
      type,
      authorizeUrl,
      tokenUrl,
      scopes: text("scopes"),
      clientId,
      clientSecret: text("clientSecret"),
      pkceMethod: variable.declared?.oauth2PkceMethod ?? null,
      fingerprint: sha256Hex(`${type}\n${authorizeUrl?.href ?? ""}\n${tokenUrl.href}\n${clientId}`).slice(
        0,
        16,
      ),
    },
  };
}

/** The address, or the end of a sentence that says what is wrong with it. */
function readUrl(text: string, httpEverywhere: boolean): URL | string {
  if (text === "") return "is empty";
  if (!URL.canParse(text)) return "is no URL";
  const url = new URL(text);
  if (url.protocol === "https:") return url;
  if (url.protocol !== "http:") return "must start with https://";
  if (httpEverywhere || isLoopback(url.hostname)) return url;
  return "must start with https://: secrets would be sent in the clear (SWITCHYARD_OAUTH_HTTP=everywhere allows it)";
}

const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);
