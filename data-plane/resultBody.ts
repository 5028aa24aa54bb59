/** A flow's result as the body of an answer. */

/** Bytes as bytes, a text with a content type of its own as it is, everything else as JSON. */
export function bodyOf(
  data: unknown,
  contentType: string | undefined,
): { body: string | Buffer; contentType: string } {
  if (data instanceof Uint8Array)
    return {
      body: Buffer.from(data.buffer, data.byteOffset, data.byteLength),
      contentType: contentType ?? "application/octet-stream",
    };
  if (typeof data === "string" && contentType !== undefined && !/\bjson\b/i.test(contentType))
    return { body: data, contentType };
  return { body: JSON.stringify(data ?? null), contentType: contentType ?? "application/json" };
}

export const isNotContentType = ([name]: [string, string]): boolean => name.toLowerCase() !== "content-type";

/** As an answer may have it; 200 where it may not. */
export const answerStatus = (status: number | undefined): number =>
  typeof status === "number" && Number.isInteger(status) && status >= 200 && status <= 599 ? status : 200;
