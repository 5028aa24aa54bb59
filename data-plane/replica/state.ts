/** What the writer tells the readers of the replica: where it is, and what may read differently than before. */

/** How many keys are named at most; with more of them, everything counts as changed. */
export const changedKeysMax = 10_000;

/** What a delta touched, as it was before and as it is after. */
export interface ChangedKeys {
  tokens: string[];
  instances: string[];
  integrations: string[];
  /** `customerKey` of an integration and a customer's external id. */
  customers: string[];
  isSettings: boolean;
}

/** Plain data: it is posted to the ingress threads. */
export interface ReplicaState {
  file: string;
  /** Number of the replica file; a snapshot makes a file with a higher one. Never used twice. */
  generation: number;
  epoch: string;
  version: number;
  /** What changed since the state before; null: everything may have. */
  changed: ChangedKeys | null;
}

export const customerKey = (integrationId: string, externalId: string): string =>
  `${integrationId}/${externalId}`;

export const nothingChanged = (): ChangedKeys => ({
  tokens: [],
  instances: [],
  integrations: [],
  customers: [],
  isSettings: false,
});
