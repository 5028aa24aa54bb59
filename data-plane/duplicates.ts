/** Of equal ids that wait or run in the queue of a flow, the first holds the id; the others are not run. */
import type { Flow } from "../shared/definition.ts";
import { selectFromRequest } from "../shared/references.ts";
import type { StoredRequest } from "../shared/reports.ts";
import { headerOf, sourceOf } from "./admission.ts";
import { inlineBytesMax } from "./largeBodies.ts";
import { bodyKind, mediaTypeOf, parseBody } from "./parse.ts";
import { queueKeyOf, readQueueKey } from "./queueKeys.ts";

export interface Duplicates {
  /** `key`: of its queue. Null where it may wait and run; else the execution that holds the same id. */
  enter(key: string, executionId: string): string | null;
  /** It ended. Where it held its id, that is free again. */
  leave(key: string, executionId: string): void;
}

export function createDuplicates(): Duplicates {
  const holders = new Map<string, string>();
  const idOf = (key: string): string | null => {
    const place = readQueueKey(key);
    if (place === null || place.dedupeId === "") return null;
    // Without the limit, which another version may change.
    return `${place.instanceId} ${place.dedupeId} ${place.flowStableKey}`;
  };
  return {
    enter(key, executionId) {
      const id = idOf(key);
      if (id === null) return null;
      const holder = holders.get(id);
      if (holder === undefined) holders.set(id, executionId);
      return holder === undefined || holder === executionId ? null : holder;
    },
    leave(key, executionId) {
      const id = idOf(key);
      if (id !== null && holders.get(id) === executionId) holders.delete(id);
    },
  };
}

/**
 * The key of the queue for a request that a preprocess flow has routed: its body is read here, on the main thread,
 * so that of a large one no id is read.
 */
export function queueKeyOfRouted(
  instanceId: string,
  flow: Flow,
  request: Omit<StoredRequest, "body">,
  body: Buffer | null,
): string | null {
  return queueKeyOf(instanceId, flow, (reference) => {
    const contentType = headerOf(request.headers, "content-type") ?? "";
    const bytes = body ?? Buffer.alloc(0);
    const kind = bodyKind(mediaTypeOf(contentType));
    const isSmall = kind !== "multipart" && bytes.length <= Math.min(inlineBytesMax[kind], bytesMax);
    const parsed = isSmall ? parseBody(bytes, contentType) : null;
    const data = parsed !== null && "ok" in parsed && parsed.ok ? parsed.data : null;
    return selectFromRequest(reference, sourceOf(request, { data, contentType }));
  });
}

const bytesMax = 256 * 1024;
