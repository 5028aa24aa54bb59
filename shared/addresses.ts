/**
 * Network addresses: whose they are behind proxies, and which lists they are in. Both planes see the same
 * address of a sender, because both ask here. IPv4 inside IPv6 (`::ffff:192.0.2.1`) counts as IPv4.
 */
import ipaddr from "ipaddr.js";
import { ConfigurationError } from "./errors.ts";

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** Addresses and CIDR ranges, ready to be asked. */
export interface AddressList {
  readonly isEmpty: boolean;
  /** False for what is not an address. */
  includes(address: string): boolean;
}

const ipv4Pattern = /^\d{1,3}(?:\.\d{1,3}){3}$/;
/** Longer texts are not addresses: the longest IPv6 with an IPv4 tail has 45 characters, a zone id some more. */
const addressLengthMax = 80;

/** The one way to write an address, or null where the text is none. Zone ids are left out. */
export function normalAddress(text: string): string | null {
  return parseAddress(text)?.toString() ?? null;
}

/** The one way to write an address or CIDR range, its host bits cleared; null where the text is none. */
export function normalRange(text: string): string | null {
  const range = parseRange(text.trim());
  if (range === null) return null;
  const [network, bits] = range;
  return bits === bitsOf(network) ? network.toString() : `${network.toString()}/${bits}`;
}

/** Texts that are no address or range are left out: whoever takes them in checks them with `normalRange`. */
export function createAddressList(texts: readonly string[]): AddressList {
  const ranges = texts.map(parseRange).filter((range) => range !== null);
  return {
    isEmpty: texts.length === 0,
    includes(text) {
      const address = parseAddress(text);
      return address !== null && ranges.some((range) => isIn(address, range));
    },
  };
}

/** The proxies of `SWITCHYARD_TRUSTED_PROXIES`. Throws `ConfigurationError` where one is no address or range. */
export function trustedProxyList(texts: readonly string[]): AddressList {
  for (const text of texts) {
    if (normalRange(text) === null) {
      throw new ConfigurationError(
        `SWITCHYARD_TRUSTED_PROXIES must be IP addresses and CIDR ranges, comma-separated, but has "${text}".`,
      );
    }
  }
  return createAddressList(texts);
}

/**
 * Who sent a request: the peer, or, where that is a trusted proxy, the address in X-Forwarded-For that is the
 * furthest to the right and not a trusted proxy itself. What stands left of it is the sender's own claim.
 * `forwardedFor`: the header's value, several headers joined with commas in their order.
 */
export function clientAddress(peer: string, forwardedFor: string | undefined, trusted: AddressList): string {
  let client = normalAddress(peer) ?? peer;
  if (forwardedFor === undefined || trusted.isEmpty || !trusted.includes(client)) return client;
  for (let end = forwardedFor.length; end > 0; ) {
    const comma = forwardedFor.lastIndexOf(",", end - 1);
    const hop = normalAddress(withoutPort(forwardedFor.slice(comma + 1, end).trim()));
    // A proxy that names no address ("unknown") is the last one that is known.
    if (hop === null) return client;
    client = hop;
    if (!trusted.includes(client)) return client;
    end = comma;
  }
  return client;
}

/** What one sender can hardly change at will: an IPv4 address, or the /64 of an IPv6 one. For limits. */
export function senderNetwork(address: string): string {
  const parsed = parseAddress(address);
  if (parsed === null || parsed instanceof ipaddr.IPv4) return address;
  return `${new ipaddr.IPv6([...parsed.parts.slice(0, 4), 0, 0, 0, 0]).toString()}/64`;
}

/** Where a plane listens, as a URL without a path. */
export const listeningUrl = (host: string, port: number, isTls: boolean): string =>
  `http${isTls ? "s" : ""}://${host.includes(":") ? `[${host}]` : host}:${port}`;

function parseAddress(text: string): Address | null {
  if (text.length > addressLengthMax) return null;
  // Not "10.1" or "0x7f.1", which some tools take for addresses.
  if (ipv4Pattern.test(text))
    return ipaddr.IPv4.isValidFourPartDecimal(text) ? ipaddr.IPv4.parse(text) : null;
  const zone = text.indexOf("%");
  const bare = zone < 0 ? text : text.slice(0, zone);
  if (!bare.includes(":") || !ipaddr.IPv6.isValid(bare)) return null;
  const address = ipaddr.IPv6.parse(bare);
  return address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
}

function parseRange(text: string): [network: Address, bits: number] | null {
  const [addressText = "", bitsText, ...more] = text.split("/");
  if (more.length > 0 || text.includes("%")) return null;
  const address = parseAddress(addressText);
  if (address === null) return null;
  if (bitsText === undefined) return [address, bitsOf(address)];
  if (!/^\d{1,3}$/.test(bitsText)) return null;
  // The range of a mapped address is written in bits of IPv6.
  const isMapped = address instanceof ipaddr.IPv4 && addressText.includes(":");
  const bits = Number(bitsText) - (isMapped ? 96 : 0);
  return bits < 0 || bits > bitsOf(address) ? null : [networkOf(address, bits), bits];
}

const bitsOf = (address: Address): number => (address instanceof ipaddr.IPv4 ? 32 : 128);

function networkOf(address: Address, bits: number): Address {
  const bytes = address.toByteArray().map((byte, index) => {
    const kept = Math.min(8, Math.max(0, bits - index * 8));
    return byte & (0xff00 >> kept) & 0xff;
  });
  return ipaddr.fromByteArray(bytes);
}

function isIn(address: Address, [network, bits]: [Address, number]): boolean {
  return address.kind() === network.kind() && address.match(network, bits);
}

/** Some proxies write the port, too: `192.0.2.1:4711`, `[2001:db8::1]:4711`. */
function withoutPort(hop: string): string {
  if (hop.startsWith("[")) return hop.slice(1).split("]", 1)[0] ?? "";
  return ipv4WithPort.test(hop) ? hop.slice(0, hop.indexOf(":")) : hop;
}

const ipv4WithPort = /^[\d.]+:\d+$/;
