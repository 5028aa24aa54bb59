/**
 * What the change feed carries from the control plane to the data planes: entities, each whole, each with
 * the version of its last change. A data plane's replica is these entities and nothing else.
 */
import type { Definition } from "./definition.ts";

/**
 * An API key of a flow, as a data plane needs it. Of revoked keys the latest are there, so that a refusal can
 * say so to the organization; they open nothing.
 */
export interface KeyEntity {
  id: string;
  /** HMAC-SHA256 under the pepper, base64url: what a sent key is compared with. */
  hmac: string;
  /** The key sealed under the master key (purpose `apiKey`), for `webhookApiKeys` of the flow's own code. */
  sealed: string;
  /** Milliseconds since the epoch, or null for a key that does not expire. */
  expiresAtMs: number | null;
  /** Milliseconds since the epoch, or null for a key that was not revoked. */
  revokedAtMs: number | null;
}

export interface SettingsEntity {
  organization: { id: string; name: string };
  /** The pepper, wrapped by the master key. */
  wrappedPepper: string;
}

export interface CustomerUserEntity {
  id: string;
  externalId: string | null;
  email: string;
  name: string;
  /** JSON of the user's own config variables for the instance, sealed (purpose `configVars`); missing without any. */
  sealedConfigVars?: string;
}

/** An integration with what stands for all its instances: the shared URL and the organization's keys. */
export interface IntegrationEntity {
  id: string;
  name: string;
  /** Token of the shared URL; live only while `shared` is set. */
  token: string;
  /** The latest version that is deployed to a customer, where that one is shared. */
  shared: { definitionDigest: string; versionId: string; versionNumber: number } | null;
  /** The system instance, on the draft. */
  systemInstanceId: string;
  /** The organization's keys, by the flow's stable key. */
  organizationKeys: Record<string, KeyEntity[]>;
  /** Who may post to the shared URL: addresses and CIDR ranges; empty for everyone. */
  allowedAddresses: string[];
  /** True where each instance has the version's modules to itself. */
  isolatesInstances?: boolean;
}

export interface InstanceFlowEntity {
  flowId: string;
  flowConfigId: string;
  /** Token of the flow's own URL. */
  token: string;
  /** The customer's keys of this flow. */
  keys: KeyEntity[];
  /** Who may post to the flow's own URL: addresses and CIDR ranges; empty for everyone. */
  allowedAddresses: string[];
}

/** A deployed instance, or a system instance. An instance that was removed is not in the feed. */
export interface InstanceEntity {
  id: string;
  name: string;
  integrationId: string;
  integrationName: string;
  isSystem: boolean;
  /** False while paused. */
  isEnabled: boolean;
  /** True where its executions run in debug mode, whatever the request asks for. */
  globalDebug?: boolean;
  versionId: string;
  /** 0 for a draft. */
  versionNumber: number;
  definitionDigest: string;
  customer: { id: string; externalId: string; name: string; users: CustomerUserEntity[] };
  /** Token of the instance's URL, live where the version is instance_specific. */
  token: string;
  /** Who may post to the instance's URL: addresses and CIDR ranges; empty for everyone. */
  allowedAddresses: string[];
  /** By the flow's stable key. */
  flows: Record<string, InstanceFlowEntity>;
  /** JSON of `ConfigVarValues`, sealed under the master key (purpose `configVars`). */
  sealedConfigVars: string;
}

/** Config variables by key, as flow code sees them; connections as spectral's `ConnectionValue`. */
export type ConfigVarValues = Record<string, unknown>;

export type FeedEntity =
  | { kind: "settings"; id: "settings"; data: SettingsEntity }
  | { kind: "definition"; id: string; data: Definition }
  | { kind: "integration"; id: string; data: IntegrationEntity }
  | { kind: "instance"; id: string; data: InstanceEntity };

export type FeedEntityKind = FeedEntity["kind"];

/** One change: the entity as it is now, or `data: null` where it is gone. */
export type FeedChange = { version: number } & (
  | FeedEntity
  | { kind: FeedEntityKind; id: string; data: null }
);

/** A page of changes, read in one transaction. The replica applies all pages up to `hasMore: false` as one. */
export interface FeedPage {
  /** Random id of the control plane's store: another epoch means another store, so the replica starts anew. */
  epoch: string;
  /** True where the changes are all there is, not what came since the asked version: the rest is to be dropped. */
  isSnapshot: boolean;
  changes: FeedChange[];
  /** The version that the replica has once all pages are applied. */
  version: number;
  hasMore: boolean;
}
