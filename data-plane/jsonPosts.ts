/**
 * Posts of JSON that stands in many texts, some megabytes of it again and again. The texts are written one after
 * another into a buffer that serves again, and that goes to the socket as it is: joined to one text and given to
 * `fetch` they are copied five times, each time into memory that is new to the process.
 */
import { Agent as PlainAgent, request as plainRequest } from "node:http";
import { Agent as TlsAgent, request as tlsRequest } from "node:https";
import { text } from "node:stream/consumers";

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

  const write = (texts: Iterable<string>): { buffer: Buffer; bytes: number } => {
    let buffer = free.pop() ?? Buffer.allocUnsafeSlow(leastBytes);
    let bytes = 0;
    for (const piece of texts) {
      const most = bytes + 3 * piece.length;
      if (most > buffer.length) {
        const grown = Buffer.allocUnsafeSlow(Math.max(most, 2 * buffer.length));
        buffer.copy(grown, 0, 0, bytes);
        buffer = grown;
      }
      bytes += buffer.write(piece, bytes, "utf8");
    }
    return { buffer, bytes };
  };

  return {
    async post(texts, headers, timeoutMs) {
      const { buffer, bytes } = write(texts);
      const answer = await new Promise<{ status: number; text: string }>((resolve, reject) => {
        const sent = request(target, {
          method: "POST",
          agent,
          headers: { ...headers, "content-type": "application/json", "content-length": bytes },
          signal: AbortSignal.timeout(timeoutMs),
        });
        sent.once("error", reject);
        sent.once("response", (response) => {
          text(response).then(
            (answered) => resolve({ status: response.statusCode!, text: answered }),
            reject,
          );
        });
        sent.end(buffer.subarray(0, bytes));
      });
      // Not after a failure: the socket may hold it yet.
      if (buffer.length <= keptBytesMax && free.length < keptMax) free.push(buffer);
      return answer;
    },
  };
}
