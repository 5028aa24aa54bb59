/** A small OAuth 2.0 server: authorization codes with PKCE, client credentials, refresh tokens that rotate. */
import { createHash, randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface OAuthServer {
  url: string;
  clientId: string;
  clientSecret: string;
  /** Every request to the token endpoint, in order. */
  requests: TokenRequest[];
  settings: {
    expiresInSeconds: number;
    /** What it answers to the next requests for a token instead of one. */
    refusal: { status: number; body: string } | null;
    /** Whether the client's secret must come in a header, not in the body. */
    wantsBasic: boolean;
    /** What it adds to the address that people are sent back to. */
    callbackParameters: Record<string, string>;
  };
  stop(): Promise<void>;
}

export interface TokenRequest {
  grantType: string;
  parameters: Record<string, string>;
  isBasic: boolean;
}

interface Code {
  challenge: string | null;
  redirectUri: string;
}

export async function startOAuthServer(): Promise<OAuthServer> {
  const codes = new Map<string, Code>();
  const refreshTokens = new Set<string>();
  let count = 0;
  const server: OAuthServer = {
    url: "",
    clientId: "a-client",
    clientSecret: `secret-${randomBytes(8).toString("hex")}`,
    requests: [],
    settings: { expiresInSeconds: 3_600, refusal: null, wantsBasic: false, callbackParameters: {} },
    stop: () => new Promise((resolve) => void http.close(() => resolve())),
  };

  const http = createServer((request, response) => {
    const url = new URL(request.url ?? "/", server.url);
    if (url.pathname === "/authorize") return authorize(url, response);
    if (url.pathname === "/token") return void token(request, response);
    response.writeHead(404).end();
  });

  function authorize({ searchParams }: URL, response: ServerResponse): void {
    const code = randomBytes(12).toString("hex");
    const redirectUri = searchParams.get("redirect_uri")!;
    codes.set(code, { challenge: searchParams.get("code_challenge"), redirectUri });
    const target = new URL(redirectUri);
    target.searchParams.set("state", searchParams.get("state")!);
    if (searchParams.get("deny") === null) target.searchParams.set("code", code);
    else target.searchParams.set("error", "access_denied");
    for (const [name, value] of Object.entries(server.settings.callbackParameters))
      target.searchParams.set(name, value);
    response.writeHead(302, { location: target.href }).end();
  }

  async function token(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parameters = Object.fromEntries(new URLSearchParams(await bodyOf(request)));
    const basic = /^Basic (.+)$/.exec(request.headers.authorization ?? "")?.[1];
    const [id, secret] =
      basic === undefined
        ? [parameters["client_id"], parameters["client_secret"]]
        : Buffer.from(basic, "base64").toString().split(":").map(decodeURIComponent);
    server.requests.push({
      grantType: parameters["grant_type"] ?? "",
      parameters,
      isBasic: basic !== undefined,
    });
    const { refusal, wantsBasic } = server.settings;
    if (refusal !== null) {
      response.writeHead(refusal.status, { "content-type": "application/json" }).end(refusal.body);
      return;
    }
    if (id !== server.clientId || secret !== server.clientSecret || (wantsBasic && basic === undefined))
      return send(response, 401, { error: "invalid_client" });
    const problem = grantProblem(parameters);
    if (problem !== null) return send(response, 400, { error: "invalid_grant", error_description: problem });
    count += 1;
    const answer: Record<string, unknown> = {
      access_token: `access-token-${count}`,
      token_type: "bearer",
      expires_in: server.settings.expiresInSeconds,
    };
    if (parameters["grant_type"] !== "client_credentials") {
      answer["refresh_token"] = `refresh-token-${count}`;
      refreshTokens.add(`refresh-token-${count}`);
    }
    send(response, 200, answer);
  }

  function grantProblem(parameters: Record<string, string>): string | null {
    if (parameters["grant_type"] === "authorization_code") {
      const code = codes.get(parameters["code"] ?? "");
      codes.delete(parameters["code"] ?? "");
      if (code === undefined) return "no such code";
      if (code.redirectUri !== parameters["redirect_uri"]) return "another redirect_uri";
      const verifier = parameters["code_verifier"] ?? "";
      const challenge = createHash("sha256").update(verifier).digest("base64url");
      return code.challenge !== null && code.challenge !== challenge ? "the verifier does not match" : null;
    }
    if (parameters["grant_type"] === "refresh_token")
      return refreshTokens.delete(parameters["refresh_token"] ?? "") ? null : "no such refresh token";
    return parameters["grant_type"] === "client_credentials" ? null : "no such grant";
  }

  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  server.url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  return server;
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

const send = (response: ServerResponse, status: number, body: unknown): void =>
  void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
