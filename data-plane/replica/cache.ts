/**
 * A cache bounded by the bytes that its values are said to take. A hit is one look into a Map and a flag, nothing
 * else: what goes first is chosen by a hand that passes over the entries, and spares those used since its last
 * round. (An LRU list took 15 % of a lookup among a hundred thousand, and twice the memory of the entries.)
 */

/** A value notes itself that it was used. */
export interface Cached {
  isUsed: boolean;
}

export interface Cache<Value extends Cached> {
  get(key: string): Value | undefined;
  set(key: string, value: Value): void;
  delete(key: string): void;
  clear(): void;
  readonly size: number;
  readonly bytes: number;
}

/** `bytesOf` must say the same of a value when it goes as when it came. */
export function createCache<Value extends Cached>(
  bytesMax: number,
  bytesOf: (value: Value) => number,
): Cache<Value> {
  const entries = new Map<string, Value>();
  let hand = entries.entries();
  let bytes = 0;

  const remove = (key: string) => {
    const value = entries.get(key);
    if (value === undefined) return;
    bytes -= bytesOf(value);
    entries.delete(key);
  };
  const makeRoom = () => {
    while (bytes > bytesMax && entries.size > 0) {
      const next = hand.next();
      if (next.done) {
        hand = entries.entries();
        continue;
      }
      const [key, value] = next.value;
      if (value.isUsed) value.isUsed = false;
      else remove(key);
    }
  };
  return {
    get(key) {
      const value = entries.get(key);
      if (value !== undefined) value.isUsed = true;
      return value;
    },
    set(key, value) {
      remove(key);
      entries.set(key, value);
      bytes += bytesOf(value);
      makeRoom();
    },
    delete: remove,
    clear() {
      entries.clear();
      hand = entries.entries();
      bytes = 0;
    },
    get size() {
      return entries.size;
    },
    get bytes() {
      return bytes;
    },
  };
}
