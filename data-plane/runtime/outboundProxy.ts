/**
 * HTTP requests of flow code by way of a proxy: Node's global agents (which axios, and so spectral's client, uses), and
 * the dispatcher of fetch. Code that brings an agent of its own goes its own way, within the rules for connections.
 */
import http from "node:http";
import https from "node:https";
import { syncBuiltinESMExports } from "node:module";
import { Agent, type Dispatcher, ProxyAgent, setGlobalDispatcher } from "undici";
import type { CheckProxied } from "./outbound.ts";

export interface OutboundProxy {
  url: string;
  /** As in NO_PROXY: host names, `.domain`, with or without a port; requests to these go straight. */
  exceptions: string;
}

/** To be called again when the exceptions change. */
export function useProxy({ url, exceptions }: OutboundProxy, checkProxied: CheckProxied): void {
  const proxyEnv = { HTTP_PROXY: url, HTTPS_PROXY: url, NO_PROXY: exceptions };
  const options = { keepAlive: true, scheduling: "lifo", timeout: 5000, proxyEnv } as const;
  const goesStraight = exceptionTest(exceptions);
  http.globalAgent = checked(new http.Agent(options), goesStraight, checkProxied);
  https.globalAgent = checked(new https.Agent(options), goesStraight, checkProxied);
  syncBuiltinESMExports();
  const direct = new Agent();
  const proxied = new ProxyAgent(url);
  const dispatcher = direct.compose((toHost) => (request, handler) => {
    const { hostname, host } = new URL(String(request.origin));
    if (goesStraight(hostname, host)) return toHost(request, handler);
    checkProxied(hostname.replace(/^\[|\]$/g, ""));
    return proxied.dispatch(request, handler);
  });
  setGlobalDispatcher(dispatcher as Dispatcher);
}

interface Requesting {
  addRequest(request: Pick<Asking, "onSocket">, options: { host?: string; port?: number | string }): void;
}

interface Asking {
  onSocket(socket: null, error: unknown): void;
}

/** Each request's host is looked at before Node's agent goes to the proxy with it. */
function checked<A extends http.Agent>(agent: A, goesStraight: GoesStraight, checkProxied: CheckProxied): A {
  const requesting = agent as unknown as Requesting;
  const addRequest = requesting.addRequest.bind(agent);
  requesting.addRequest = (request, options) => {
    const host = (options.host ?? "localhost").toLowerCase();
    try {
      if (!goesStraight(host, `${host}:${options.port}`)) checkProxied(host);
    } catch (error) {
      request.onSocket(null, error);
      return;
    }
    addRequest(request, options);
  };
  return agent;
}

type GoesStraight = (hostname: string, host: string) => boolean;

function exceptionTest(exceptions: string): GoesStraight {
  const listed = exceptions
    .split(",")
    .map((text) => text.trim().toLowerCase().replace(/^\*\./, "."))
    .filter((text) => text !== "");
  return (hostname, host) =>
    listed.some(
      (text) =>
        text === "*" ||
        text === hostname ||
        text === host ||
        (text.startsWith(".") && hostname.endsWith(text)),
    );
}
