/** Certificate and key files of a plane that serves TLS itself: read, checked, and read again when they change. */
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import type { TlsFiles } from "./config.ts";
import { ConfigurationError, messageOf } from "./errors.ts";

/** PEM texts that belong together. */
export interface TlsPair {
  cert: string;
  key: string;
}

/** How often the files are looked at: certificates change some times a year, so a second is soon enough. */
const lookEveryMs = 1_000;

/** Throws `ConfigurationError` with one sentence where the files can't be used. */
export function readTlsFiles({ certFile, keyFile }: TlsFiles): TlsPair {
  const read = (file: string, what: string): string => {
    try {
      return readFileSync(file, "utf8");
    } catch (error) {
      throw new ConfigurationError(`The TLS ${what} ${file} can't be read: ${messageOf(error)}.`, {
        cause: error,
      });
    }
  };
  const pair = { cert: read(certFile, "certificate"), key: read(keyFile, "key") };
  const problem = problemOf(pair);
  if (problem === null) return pair;
  throw new ConfigurationError(`The TLS files ${certFile} and ${keyFile} can't be used: ${problem}.`);
}

/**
 * Calls `renew` with each new pair that can be used. One that can't is warned of, once, and what was in use
 * stays in use: also while only one of the two files has been replaced. Returns a function that ends it.
 */
export function watchTlsFiles(
  files: TlsFiles,
  first: TlsPair,
  options: { renew(pair: TlsPair): void; warn(message: string, reason: string): void },
): () => void {
  let used = textOf(first);
  let seen = used;
  let warned = "";
  let isLooking = false;

  const look = async () => {
    const { text, pair, problem } = await readPair(files);
    // What is different at two looks is still being written.
    const isSettled = text === seen;
    seen = text;
    if (!isSettled || text === used || text === warned) return;
    const reason = pair === null ? problem : tryToRenew(pair);
    if (reason === null) {
      used = text;
      warned = "";
      return;
    }
    warned = text;
    options.warn(`${files.certFile} or ${files.keyFile} can't be used; the last certificate stays`, reason);
  };
  const tryToRenew = (pair: TlsPair): string | null => {
    const problem = problemOf(pair);
    if (problem !== null) return problem;
    try {
      options.renew(pair);
      return null;
    } catch (error) {
      return messageOf(error);
    }
  };

  const timer = setInterval(() => {
    if (isLooking) return;
    isLooking = true;
    void look().finally(() => {
      isLooking = false;
    });
  }, lookEveryMs);
  timer.unref();
  return () => clearInterval(timer);
}

async function readPair(
  files: TlsFiles,
): Promise<{ text: string; pair: TlsPair; problem: null } | { text: string; pair: null; problem: string }> {
  try {
    const [cert, key] = await Promise.all([
      readFile(files.certFile, "utf8"),
      readFile(files.keyFile, "utf8"),
    ]);
    return { text: textOf({ cert, key }), pair: { cert, key }, problem: null };
  } catch (error) {
    return { text: messageOf(error), pair: null, problem: messageOf(error) };
  }
}

const textOf = ({ cert, key }: TlsPair): string => `${cert}\n\n${key}`;

/** Why the pair can't be served, or null. */
function problemOf({ cert, key }: TlsPair): string | null {
  try {
    const { validTo } = new X509Certificate(cert);
    if (Date.parse(validTo) < Date.now()) return `the certificate expired on ${validTo}`;
    // Also refuses a key that belongs to another certificate.
    createSecureContext({ cert, key });
    return null;
  } catch (error) {
    return messageOf(error);
  }
}
