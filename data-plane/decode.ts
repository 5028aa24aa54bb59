/** Undoing Content-Encoding, off the ingress thread (zlib works in its own threads), with a bound on the result. */
import { promisify } from "node:util";
import { brotliDecompress, gunzip, inflate, zstdDecompress } from "node:zlib";
import type { ErrorCode } from "../shared/errors.ts";

export type Decoded =
  | { ok: true; body: Buffer }
  | {
      ok: false;
      code: Extract<ErrorCode, "BODY_INVALID" | "BODY_TOO_LARGE" | "CONTENT_TYPE_NOT_ACCEPTED">;
      reason: string;
    };

const decoders = {
  gzip: promisify(gunzip),
  "x-gzip": promisify(gunzip),
  deflate: promisify(inflate),
  br: promisify(brotliDecompress),
  zstd: promisify(zstdDecompress),
} as const;

/** Codings applied one over the other; no sender needs more. */
const codingsMax = 2;

/** True where the body lies there as it was meant. */
export const isPlain = (contentEncoding: string | undefined): boolean =>
  contentEncoding === undefined ||
  contentEncoding === "" ||
  contentEncoding.trim().toLowerCase() === "identity";

export async function decodeBody(body: Buffer, contentEncoding: string, bytesMax: number): Promise<Decoded> {
  const codings = contentEncoding
    .split(",")
    .map((coding) => coding.trim().toLowerCase())
    .filter((coding) => coding !== "" && coding !== "identity");
  if (codings.length > codingsMax)
    return { ok: false, code: "BODY_INVALID", reason: `More than ${codingsMax} content encodings.` };
  let decoded = body;
  for (const coding of codings.reverse()) {
    if (!Object.hasOwn(decoders, coding)) {
      return {
        ok: false,
        code: "CONTENT_TYPE_NOT_ACCEPTED",
        reason: `The content encoding ${JSON.stringify(coding)} is not known.`,
      };
    }
    try {
      decoded = await decoders[coding as keyof typeof decoders](decoded, { maxOutputLength: bytesMax });
    } catch (error) {
      if ((error as { code?: string }).code === "ERR_BUFFER_TOO_LARGE") {
        return {
          ok: false,
          code: "BODY_TOO_LARGE",
          reason: `The body decodes to more than ${bytesMax} bytes.`,
        };
      }
      return {
        ok: false,
        code: "BODY_INVALID",
        reason: `The body is not ${coding}: ${(error as Error).message}.`,
      };
    }
  }
  return { ok: true, body: decoded };
}
