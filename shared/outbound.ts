/**
 * Where flow code may connect to. The question is asked for the address that is really connected to, after the name
 * has been resolved, so a name that resolves to something else the second time does not help.
 */
import { type AddressList, createAddressList, normalAddress, normalRange } from "./addresses.ts";
import { ConfigurationError } from "./errors.ts";

/** `all`: anywhere. `public`: public addresses, and what is on the list. `listed`: what is on the list only. */
export type OutboundMode = "all" | "public" | "listed";

export interface OutboundSettings {
  mode: OutboundMode;
  /** Host names, `*.` and a domain for those below it, addresses, CIDR ranges. */
  allowed: readonly string[];
  /** URL of the proxy that HTTP requests go through; undefined: none. */
  proxy: string | undefined;
  /** Hosts that are asked without it, as in NO_PROXY. */
  noProxy: string;
}

export interface OutboundRules {
  /** By the name that is asked for alone: whatever it resolves to is allowed. */
  allowsName(host: string): boolean;
  allowsAddress(address: string): boolean;
}

/**
 * What is not on the public internet, by the registries of special-purpose addresses (RFC 6890 and later ones), and
 * the ways to write an IPv4 address inside of an IPv6 one that would get around it.
 */
const notPublic = createAddressList([
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/4",
  "240.0.0.0/4",
  // Unspecified, loopback, and the old form of IPv4 in IPv6.
  "::/96",
  "64:ff9b::/96",
  "64:ff9b:1::/48",
  "100::/64",
  "2001::/23",
  "2001:db8::/32",
  "2002::/16",
  "3fff::/20",
  "5f00::/16",
  "fc00::/7",
  "fe80::/10",
  "fec0::/10",
  "ff00::/8",
]);

const namePattern = /^(?:\*\.)?[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*$/;

/** Throws `ConfigurationError` where one is neither a host name nor an address or range. */
export function checkOutbound({ allowed, proxy }: OutboundSettings): void {
  for (const text of allowed) {
    if (normalRange(text) !== null || namePattern.test(text.toLowerCase())) continue;
    throw new ConfigurationError(
      `SWITCHYARD_OUTBOUND_ALLOW must be host names (*.example.com for those below it), IP addresses and CIDR ranges, comma-separated, but has "${text}".`,
    );
  }
  if (proxy === undefined || isProxyUrl(proxy)) return;
  throw new ConfigurationError(
    "SWITCHYARD_OUTBOUND_PROXY must be an http:// or https:// URL of a proxy, without a path.",
  );
}

function isProxyUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, pathname, search } = new URL(text);
  return ["http:", "https:"].includes(protocol) && pathname === "/" && search === "";
}

export function createOutboundRules({
  mode,
  allowed,
}: Pick<OutboundSettings, "mode" | "allowed">): OutboundRules {
  const ranges: AddressList = createAddressList(allowed);
  const names = new Set<string>();
  const suffixes: string[] = [];
  for (const text of allowed) {
    if (normalRange(text) !== null) continue;
    const name = text.toLowerCase();
    if (name.startsWith("*.")) suffixes.push(name.slice(1));
    else names.add(name);
  }
  return {
    allowsName(host) {
      if (mode === "all") return true;
      const name = host.toLowerCase().replace(/\.$/, "");
      return names.has(name) || suffixes.some((suffix) => name.endsWith(suffix));
    },
    allowsAddress(text) {
      if (mode === "all") return true;
      const address = normalAddress(text);
      if (address === null) return false;
      return ranges.includes(address) || (mode === "public" && !notPublic.includes(address));
    },
  };
}
