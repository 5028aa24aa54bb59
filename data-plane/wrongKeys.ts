/** How many wrong keys one sender may show one endpoint: enough for mistakes, too few for guessing. */
import { RateLimiter } from "limiter";
import { LRUCache } from "lru-cache";
import { senderNetwork } from "../shared/addresses.ts";

export interface WrongKeys {
  /** Counts a wrong key. Returns null within the limit, and above it the seconds until the next may come. */
  count(token: string, remoteAddress: string): number | null;
}

/**
 * At some 500 bytes each, 50 MB at most. A sender who has more addresses than this at hand can wash its own
 * counts out; it has then sent 100,000 keys that were looked up in vain, of 2^256.
 */
const countedMax = 100_000;

export function createWrongKeys(perMinute: number): WrongKeys {
  const limiters = new LRUCache<string, RateLimiter>({ max: countedMax });
  return {
    count(token, remoteAddress) {
      const key = `${senderNetwork(remoteAddress)} ${token}`;
      let limiter = limiters.get(key);
      if (limiter === undefined) {
        limiter = new RateLimiter({ tokensPerInterval: perMinute, interval: "minute" });
        limiters.set(key, limiter);
      }
      if (limiter.tryRemoveTokens(1)) return null;
      return Math.max(1, Math.ceil(limiter.getWaitTime(1) / 1000));
    },
  };
}
