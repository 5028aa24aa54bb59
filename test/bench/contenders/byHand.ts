/**
 * What a developer would write by hand: the endpoint among all, its key, the flow that the body names, an id.
 * Nothing is stored.
 */
import { createHmac, randomBytes, randomUUID, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";

export interface Accepted {
  executionId: string;
}

export interface Refused {
  status: number;
  message: string;
}

type Accept = (path: string, key: string | undefined, body: unknown) => Accepted | Refused;

/** Knows the endpoints of a targets file. */
export function createAccept(targetsFile: string): Accept {
  const pepper = randomBytes(32);
  const hmacOf = (key: string): Buffer => createHmac("sha256", pepper).update(key).digest();
  const endpoints = new Map(
    readFileSync(targetsFile, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => {
        const [path = "", key = ""] = line.split("\t");
        return [
          path,
          { hmac: hmacOf(key), flows: { inventory_update: { name: "inventory_update" } } },
        ] as const;
      }),
  );
  return (path, key, body) => {
    const endpoint = endpoints.get(path);
    if (endpoint === undefined) return { status: 404, message: "There is nothing here." };
    if (key === undefined || !timingSafeEqual(hmacOf(key), endpoint.hmac)) {
      return { status: 401, message: "A valid key is needed." };
    }
    const type = (body as { type?: unknown } | null)?.type;
    if (typeof type !== "string" || !Object.hasOwn(endpoint.flows, type)) {
      return { status: 422, message: "There is no such flow." };
    }
    const id = Buffer.from(`InstanceExecutionResult:${randomUUID()}`).toString("base64");
    return { executionId: id };
  };
}

export const isRefused = (result: Accepted | Refused): result is Refused => "status" in result;
