/** What an accepted request is in the journal: one JSON text beside its body. Written by whoever accepts it. */
import type { InvokeType, StoredRequest } from "../../shared/reports.ts";

/**
 * Where a journaled execution starts. The versions pin what it runs on: the replica keeps an entity's
 * superseded versions while an unfinished entry may name them.
 */
export interface EntryRoute {
  kind: "flow" | "preprocess";
  endpointKind: "flow" | "instance" | "shared";
  /** The replica file that the versions belong to. */
  generation: number;
  /** Null for a shared endpoint that is not routed yet. */
  instanceId: string | null;
  /** 0 where there is no instance. */
  instanceVersion: number;
  integrationId: string;
  integrationVersion: number;
  definitionDigest: string;
  versionId: string;
  versionNumber: number;
  /** Of the flow that runs first. */
  flowStableKey: string;
  userId: string | null;
}

/** An accepted request, without its body. */
export interface EntryMeta {
  /** The execution's uuid. */
  id: string;
  invokeType: InvokeType;
  isDebug: boolean;
  replayOf: string | null;
  invokedBy: string | null;
  /** Set for a test of an endpoint's configuration: routed to the system instance. */
  isEndpointTest: boolean;
  /** True where its sender waits for more than that it is on disk: routing, the trigger's response, the result. */
  isWaiting: boolean;
  /** Where its flow has a queue of its own: see queueKeys.ts. */
  queueKey?: string;
  /** Of a retry: the execution that failed first, and which retry of it this is. */
  retry?: { of: string; number: number };
  route: EntryRoute;
  request: Omit<StoredRequest, "body">;
}

/** Who shares the slots of runs with whom: an instance's runs, or an endpoint's before their routing is known. */
export const fairKeyOf = ({ queueKey, route, request }: EntryMeta): string =>
  queueKey ?? (route.kind === "flow" && route.instanceId !== null ? route.instanceId : request.token);
