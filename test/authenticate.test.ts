import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkKeys, createKeyReader } from "../data-plane/authenticate.ts";
import type { KeyEntity } from "../shared/feed.ts";
import { keyHmac, newPepper } from "../shared/secrets.ts";

const pepper = newPepper();
const reader = createKeyReader(pepper);
const keyOf = (text: string, more: Partial<KeyEntity> = {}): KeyEntity => ({
  id: text,
  hmac: keyHmac(pepper, text),
  sealed: "",
  expiresAtMs: null,
  revokedAtMs: null,
  ...more,
});

describe("the Api-Key header", () => {
  test("is read as the HMAC of its key, whatever the key is made of and however long it is", () => {
    const anyKey = fc.oneof(
      fc.string({ unit: "binary", maxLength: 2000 }),
      fc.constantFrom("x".repeat(341), "x".repeat(342), "é".repeat(341), "\u{1f511}".repeat(300)),
    );
    fc.assert(
      fc.property(anyKey, (text) => {
        fc.pre(!text.includes(",") && text.trim() !== "");
        expect(reader.read(text)).toEqual([keyHmac(pepper, text.trim())]);
      }),
      { numRuns: 500 },
    );
  });

  test("may hold up to four keys", () => {
    expect(reader.read(undefined)).toEqual([]);
    expect(reader.read(" , ")).toEqual([]);
    expect(reader.read("a, b,,c ,d,e")).toEqual(["a", "b", "c"].map((key) => keyHmac(pepper, key)));
  });
});

describe.each([3, 8, 9, 500])("a flow with %i keys", (count) => {
  const keys = Array.from({ length: count }, (_, index) => keyOf(`key-${index}`));
  const rule = { isNeeded: true, lists: [keys] };

  test("takes each of them and no other", () => {
    for (const key of keys)
      expect(checkKeys(rule, [keyHmac(pepper, key.id)], 0)).toEqual({ ok: true, valid: [key] });
    expect(checkKeys(rule, [], 0)).toEqual({ ok: false, problem: { kind: "missing" } });
    expect(checkKeys(rule, [keyHmac(pepper, "other"), ""], 0)).toEqual({
      ok: false,
      problem: { kind: "wrong" },
    });
  });

  test("tells a key that is like one of them in its first half from that one", () => {
    const { hmac } = keys[0]!;
    const other = hmac.slice(0, 22) + keyHmac(pepper, "other").slice(22);
    expect(checkKeys(rule, [other], 0)).toMatchObject({ ok: false, problem: { kind: "wrong" } });
  });

  test("says of a revoked or expired one what it is", () => {
    const revoked = keyOf("revoked", { revokedAtMs: 1 });
    const expired = keyOf("expired", { expiresAtMs: 10 });
    const more = { isNeeded: true, lists: [[...keys, revoked, expired]] };
    const sent = (key: KeyEntity) => [key.hmac];
    expect(checkKeys(more, sent(revoked), 5)).toMatchObject({ problem: { kind: "revoked", key: revoked } });
    expect(checkKeys(more, sent(expired), 10)).toMatchObject({ problem: { kind: "expired", key: expired } });
    expect(checkKeys(more, sent(expired), 9)).toEqual({ ok: true, valid: [expired] });
  });
});
