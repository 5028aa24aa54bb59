import { describe, expect, test } from "vitest";
import {
  clientAddress,
  createAddressList,
  listeningUrl,
  normalAddress,
  normalRange,
  senderNetwork,
  trustedProxyList,
} from "../shared/addresses.ts";

describe("one way to write an address", () => {
  test.each([
    ["192.0.2.1", "192.0.2.1"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["0000:0000:0000:0000:0000:ffff:c000:0201", "192.0.2.1"],
    ["2001:0DB8:0000:0000:0000:0000:0000:0001", "2001:db8::1"],
    ["fe80::1%eth0", "fe80::1"],
    ["::1", "::1"],
  ])("%s", (given, normal) => expect(normalAddress(given)).toBe(normal));

  test.each([
    "",
    "localhost",
    "10.1",
    "0x7f.0.0.1",
    "010.0.0.1",
    "256.0.0.1",
    "1.2.3.4.5",
    "::g",
    "1".repeat(200),
  ])("%j is none", (given) => expect(normalAddress(given)).toBeNull());
});

describe("ranges", () => {
  test.each([
    ["10.1.2.3/8", "10.0.0.0/8"],
    [" 10.1.2.3 ", "10.1.2.3"],
    ["10.1.2.3/32", "10.1.2.3"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["2001:db8:1234:5678::9/47", "2001:db8:1234::/47"],
    ["::ffff:10.1.2.3/104", "10.0.0.0/8"],
  ])("%s", (given, normal) => expect(normalRange(given)).toBe(normal));

  test.each([
    "10.0.0.0/33",
    "10.0.0.0/-1",
    "10.0.0.0/8/8",
    "10.0.0.0/",
    "::/129",
    "::ffff:10.0.0.0/8",
    "fe80::1%e/64",
    "a",
  ])("%s is none", (given) => expect(normalRange(given)).toBeNull());

  test("hold their addresses and no other, IPv4 in IPv6 included", () => {
    const list = createAddressList(["192.0.2.0/24", "198.51.100.7", "2001:db8::/32"]);
    for (const inside of ["192.0.2.0", "192.0.2.255", "::ffff:192.0.2.9", "198.51.100.7", "2001:db8:ffff::1"])
      expect([inside, list.includes(inside)]).toEqual([inside, true]);
    for (const outside of ["192.0.3.0", "192.0.1.255", "198.51.100.8", "2001:db9::1", "::1", "", "unknown"])
      expect([outside, list.includes(outside)]).toEqual([outside, false]);
    expect(createAddressList(["0.0.0.0/0"]).includes("2001:db8::1")).toBe(false);
    expect(createAddressList(["0.0.0.0/0"]).includes("203.0.113.5")).toBe(true);
  });
});

describe("who sent a request", () => {
  const trusted = trustedProxyList(["10.0.0.0/8", "::1", "2001:db8:ff::/48"]);

  test.each<[string, string, string | undefined, string]>([
    ["a peer that is no proxy is believed nothing", "203.0.113.1", "1.2.3.4", "203.0.113.1"],
    ["a proxy without the header is the sender", "10.0.0.1", undefined, "10.0.0.1"],
    ["one proxy", "10.0.0.1", "203.0.113.9", "203.0.113.9"],
    ["what the sender itself claims does not count", "10.0.0.1", "1.2.3.4, 203.0.113.9", "203.0.113.9"],
    ["a chain of proxies", "::ffff:10.0.0.1", "1.2.3.4,203.0.113.9, 10.9.9.9,2001:db8:ff::3", "203.0.113.9"],
    ["proxies only: the first of them", "10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"],
    ["what is no address ends the chain", "10.0.0.1", "203.0.113.9, unknown, 10.0.0.2", "10.0.0.2"],
    ["an empty header", "10.0.0.1", "", "10.0.0.1"],
    ["empty items", "10.0.0.1", "203.0.113.9,,", "10.0.0.1"],
    ["with ports", "10.0.0.1", "[2001:db8::5]:443, 10.0.0.2:8080", "2001:db8::5"],
    ["IPv4 in IPv6 is IPv4", "::1", "::ffff:203.0.113.9", "203.0.113.9"],
  ])("%s", (_name, peer, forwardedFor, client) =>
    expect(clientAddress(peer, forwardedFor, trusted)).toBe(client),
  );

  test("without trusted proxies the header never counts", () => {
    expect(clientAddress("10.0.0.1", "1.2.3.4", trustedProxyList([]))).toBe("10.0.0.1");
  });

  test("a list with something else in it is refused in one sentence", () => {
    expect(() => trustedProxyList(["10.0.0.0/8", "my-proxy"])).toThrow(
      'SWITCHYARD_TRUSTED_PROXIES must be IP addresses and CIDR ranges, comma-separated, but has "my-proxy".',
    );
  });
});

test("limits count an IPv6 sender by its /64", () => {
  expect(senderNetwork("2001:db8:1:2:3:4:5:6")).toBe("2001:db8:1:2::/64");
  expect(senderNetwork("203.0.113.9")).toBe("203.0.113.9");
  expect(senderNetwork("unknown")).toBe("unknown");
});

test("addresses that listen are written as URLs", () => {
  expect(listeningUrl("::1", 4001, true)).toBe("https://[::1]:4001");
  expect(listeningUrl("127.0.0.1", 4000, false)).toBe("http://127.0.0.1:4000");
});
