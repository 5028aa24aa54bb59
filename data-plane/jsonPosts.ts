/**
 * Posts of JSON that stands in many texts, some megabytes of it again and again. The texts are written one after
 * another into a buffer that serves again, and that goes to the socket as it is: joined to one text and given to
 * `fetch` they are copied five times, each time into memory that is new to the process.
 */
import { Agent as PlainAgent, request as plainRequest } from "node:http";
import { Agent as TlsAgent, request as tlsRequest } from "node:https";
import { text } from "node:stream/consumers";
import { makeRoom } from "./journal/batch.ts";

export interface JsonPosts {
  /** Resolves with the answer's status and text; rejects where there is none within the time. */
  post(
    texts: Iterable<string>,
    headers: Record<string, string>,
    timeoutMs: number,
  ): Promise<{ status: number; text: string }>;
}

const leastBytes = 256 * 1024;
/** A buffer that had to grow beyond this is not kept. */
const keptBytesMax = 8 * 1024 * 1024;
const keptMax = 2;

export function createJsonPosts(url: string): JsonPosts {
  const target = new URL(url);
  const isTls = target.protocol === "https:";
  const request = isTls ? tlsRequest : plainRequest;
  const agent = isTls ? new TlsAgent({ keepAlive: true }) : new PlainAgent({ keepAlive: true });
  const free: Buffer[] = [];

  const write = (texts: Iterable<string>): { buffer: Buffer; used: number } => {
    const body = { buffer: free.pop() ?? Buffer.allocUnsafeSlow(leastBytes), used: 0 };
    for (const piece of texts) {
      makeRoom(body, 3 * piece.length, Number.POSITIVE_INFINITY);
      body.used += body.buffer.write(piece, body.used, "utf8");
    }
    return body;
  };

  return {
    async post(texts, headers, timeoutMs) {
      const { buffer, used } = write(texts);
      const answer = await new Promise<{ status: number; text: string }>((resolve, reject) => {
        const sent = request(target, {
          method: "POST",
          agent,
          headers: { ...headers, "content-type": "application/json", "content-length": used },
          signal: AbortSignal.timeout(timeoutMs),
        });
        sent.once("error", reject);
        sent.once("response", (response) => {
          text(response).then(
            (answered) => resolve({ status: response.statusCode!, text: answered }),
            reject,
          );
        });
        sent.end(buffer.subarray(0, used));
      });
      // Not after a failure: the socket may hold it yet.
      if (buffer.length <= keptBytesMax && free.length < keptMax) free.push(buffer);
      return answer;
    },
  };
}
