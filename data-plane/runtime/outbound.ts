/**
 * Keeps flow code from connecting to where it may not: Node's own ways out (net, tls, http, http2, fetch, undici, and
 * what is built on them; datagrams) ask here. Not a wall against malice: a child process or a thread that flow code
 * starts does not.
 */
import dgram from "node:dgram";
import dns from "node:dns";
import { syncBuiltinESMExports } from "node:module";
import net from "node:net";
import { createOutboundRules, type OutboundRules, type OutboundSettings } from "../../shared/outbound.ts";
import { currentRun } from "./capture.ts";

export interface Outbound {
  /** Where webhooks come in: flows call their siblings there, and not through the proxy. */
  allowIngress(url: string): void;
}

/** Throws where a request to this host may not go through the proxy, which resolves the name itself. */
export type CheckProxied = (host: string) => void;

type Lookup = (
  host: string,
  options: unknown,
  done: (error: Error | null, found: Found, family?: number) => void,
) => void;
type Found = string | { address: string; family: number }[] | undefined;

interface ConnectOptions {
  path?: string;
  host?: string | null;
  port?: number | string;
  lookup?: Lookup;
}

export class OutboundDeniedError extends Error {
  override name = "OutboundDeniedError";
  readonly code = "EOUTBOUND";
}

export async function installOutbound(settings: OutboundSettings): Promise<Outbound> {
  const { mode, proxy, noProxy } = settings;
  const rules = createOutboundRules(settings);
  const places = new Set<string>();
  if (mode !== "all") {
    guardConnections(rules, places);
    guardDatagrams(rules);
    syncBuiltinESMExports();
  }
  const checkProxied: CheckProxied = (host) => {
    if (rules.allowsName(host)) return;
    if (net.isIP(host) === 0 ? mode !== "public" : !rules.allowsAddress(host)) throw denied(host);
  };
  // Costs a thread time and memory to load.
  const { useProxy } = proxy === undefined ? { useProxy: null } : await import("./outboundProxy.ts");
  const exceptions = () => [noProxy, ...places].join(",");
  if (proxy !== undefined) {
    const place = placeOf(proxy);
    useProxy?.({ url: proxy, exceptions: exceptions() }, checkProxied);
    if (place !== null) places.add(place);
  }
  let ingressUrl = "";
  return {
    allowIngress(url) {
      if (url === ingressUrl) return;
      ingressUrl = url;
      const place = placeOf(url);
      if (place === null || places.has(place)) return;
      places.add(place);
      if (proxy !== undefined) useProxy?.({ url: proxy, exceptions: exceptions() }, checkProxied);
    },
  };
}

function placeOf(url: string): string | null {
  if (!URL.canParse(url)) return null;
  const { protocol, hostname, port } = new URL(url);
  return `${hostname.replace(/^\[|\]$/g, "")}:${port || (protocol === "https:" ? 443 : 80)}`;
}

function guardConnections(rules: OutboundRules, places: ReadonlySet<string>): void {
  const connect = net.Socket.prototype.connect as (...args: unknown[]) => net.Socket;
  net.Socket.prototype.connect = function (this: net.Socket, ...args: unknown[]) {
    const options = optionsOf(args);
    const host = options.host || "localhost";
    // As a connection that fails: its caller hears of it by the socket's error.
    const refuse = (place: string) => {
      const asked = { ...options, path: undefined, host: "not-allowed.invalid", port: options.port ?? 1 };
      const lookup: Lookup = (_host, _options, done) => process.nextTick(done, denied(place), undefined);
      return connect.apply(this, withLookup(args, asked, lookup));
    };
    if (options.path) return refuse(`the socket ${options.path}`);
    if (places.has(`${host.toLowerCase()}:${options.port}`) || rules.allowsName(host))
      return connect.apply(this, args);
    if (net.isIP(host) !== 0) return rules.allowsAddress(host) ? connect.apply(this, args) : refuse(host);
    return connect.apply(this, withLookup(args, options, guardedLookup(rules, options.lookup)));
  } as typeof net.Socket.prototype.connect;
}

/** The ways to call it: options, port and host, a path, or what `net.connect` made of these: a list. */
function optionsOf(args: readonly unknown[]): ConnectOptions {
  const [first, second] = args;
  if (Array.isArray(first)) return (first[0] ?? {}) as ConnectOptions;
  if (typeof first === "object" && first !== null) return first as ConnectOptions;
  if (typeof first === "string" && !(Number(first) >= 0)) return { path: first };
  return { port: first as number | string, ...(typeof second === "string" ? { host: second } : {}) };
}

function withLookup(args: unknown[], options: ConnectOptions, lookup: Lookup): unknown[] {
  const [first, ...rest] = args;
  const changed = { ...options, lookup };
  if (Array.isArray(first)) {
    // Node marks its list as its own, so it is changed and not copied.
    first[0] = changed;
    return args;
  }
  return [changed, ...rest.filter((arg) => typeof arg === "function")];
}

function guardedLookup(rules: OutboundRules, lookup: Lookup = dns.lookup as unknown as Lookup): Lookup {
  return (host, options, done) =>
    lookup(host, options, (error, found, family) => {
      if (error !== null && error !== undefined) return done(error, found, family);
      if (!Array.isArray(found))
        return rules.allowsAddress(String(found))
          ? done(null, found, family)
          : done(denied(host, found), undefined);
      const allowed = found.filter(({ address }) => rules.allowsAddress(address));
      if (allowed.length > 0) done(null, allowed);
      else done(denied(host, found.map(({ address }) => address).join(", ")), undefined);
    });
}

function guardDatagrams(rules: OutboundRules): void {
  const { createSocket } = dgram;
  dgram.createSocket = ((type: dgram.SocketType | dgram.SocketOptions, onMessage?: () => void) => {
    const options = typeof type === "string" ? { type } : type;
    const guarded = guardedLookup(rules, options.lookup as unknown as Lookup);
    const lookup: Lookup = (host, family, done) =>
      rules.allowsName(host)
        ? ((options.lookup ?? dns.lookup) as unknown as Lookup)(host, family, done)
        : guarded(host, family, done);
    return createSocket({ ...options, lookup } as unknown as dgram.SocketOptions, onMessage);
  }) as typeof dgram.createSocket;
}

/** Also in the run's log: what flow code catches, and how it shows it, is its own affair. */
function denied(host: string, address?: string): OutboundDeniedError {
  const place = address === undefined || address === host ? host : `${host} (${address})`;
  const message = `Flow code may not connect to ${place}: see SWITCHYARD_OUTBOUND and SWITCHYARD_OUTBOUND_ALLOW.`;
  const run = currentRun.getStore();
  if (run !== undefined && !run.isClosed()) run.log("WARN", [message]);
  return new OutboundDeniedError(message);
}
