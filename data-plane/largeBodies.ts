/**
 * Bodies that take milliseconds to parse are parsed in a thread of their own, so that a webhook beside them
 * does not wait. The thread answers with the verdict and with what the endpoint's references selected.
 */
import { Piscina } from "piscina";
import { messageOf } from "../shared/errors.ts";
import type { LargeBodyTask } from "./largeBodiesThread.ts";
import { bodyKind, mediaTypeOf, type ParsedBody, parseBody } from "./parse.ts";

export interface BodyParser {
  /**
   * `paths`: where routing values are read from, below `body` (each starts with `data`); asked for large bodies
   * only.
   */
  parse(
    bytes: Buffer,
    contentType: string,
    paths: () => readonly (readonly string[])[],
  ): Promise<ParsedBody> | ParsedBody;
  close(): Promise<void>;
}

/** JSON.parse takes about 1 ms for 200 KB; XML and multipart are some ten times slower. */
export const inlineBytesMax = {
  json: 256 * 1024,
  xml: 16 * 1024,
  form: 64 * 1024,
  multipart: 64 * 1024,
  text: Infinity,
  unnamed: 256 * 1024,
  binary: Infinity,
};
const queueMax = 1000;

export function createBodyParser(): BodyParser {
  let pool: Piscina | null = null;
  const start = () =>
    new Piscina({
      filename: new URL("./largeBodiesThread.ts", import.meta.url).href,
      minThreads: 0,
      maxThreads: 1,
      maxQueue: queueMax,
      idleTimeout: 30_000,
      resourceLimits: { maxOldGenerationSizeMb: 512 },
    });
  return {
    parse(bytes, contentType, paths) {
      const kind = bodyKind(mediaTypeOf(contentType));
      if (bytes.length <= inlineBytesMax[kind]) return parseBody(bytes, contentType);
      pool ??= start();
      const task: LargeBodyTask = { bytes, contentType, paths: paths() };
      return pool
        .run(task, { name: "parseLargeBody" })
        .catch((error: unknown): ParsedBody => ({ ok: false, message: messageOf(error) }));
    },
    async close() {
      await pool?.destroy();
    },
  };
}
