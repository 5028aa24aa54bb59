/**
 * State that flows keep between their runs: whose it is, how it travels and is stored, and which of two writes is
 * the later one.
 */
import { deflateRawSync, inflateRawSync } from "node:zlib";

/** `instanceState`, `crossFlowState` and `integrationState` of flow code; `executionState` is never stored. */
export type StateScope = "FLOW" | "INSTANCE" | "INTEGRATION";

/** Names one state. */
export interface StateKey {
  scope: StateScope;
  /**
   * The instance's id; the integration's for what its instances share, and for its shared preprocess flow, which is
   * bound to no instance. What tests of a draft store is the system instance's.
   */
  ownerId: string;
  /** Of the flow; "" for the other scopes. */
  stableKey: string;
}

/** One state as a run left it. */
export interface StateWrite extends StateKey {
  /** Microseconds since the epoch, or more; with the execution's id it says which of two writes is the later one. */
  stamp: number;
  /** `packState` of the state's JSON. */
  value: string;
}

/** What is stored of a state: `value` is null where it was cleared. */
export interface StoredState {
  stamp: number;
  /** The execution that wrote it, or "" where it was cleared. */
  executionId: string;
  value: string | null;
}

/** Of a state's JSON. */
export const stateBytesMax = 64 * 1024 * 1024;

export const stateKeyText = ({ ownerId, scope, stableKey }: StateKey): string =>
  `${ownerId}/${scope}/${stableKey}`;

type Version = Pick<StoredState, "stamp" | "executionId">;

/** Tells two writes of a state apart. */
export const stateVersion = ({ stamp, executionId }: Version): string => `${stamp}/${executionId}`;

/**
 * Whether the first is the later one. Whoever writes a state stamps it with the time, or more where what it knows of
 * the state is stamped later: so a write that follows another one wins whatever the clocks say.
 */
export const isLaterState = (first: Version, second: Version): boolean =>
  first.stamp > second.stamp || (first.stamp === second.stamp && first.executionId > second.executionId);

export const nextStamp = (known: Pick<StoredState, "stamp"> | null): number =>
  Math.max(Date.now() * 1000, (known?.stamp ?? 0) + 1);

/** JSON of a state that has no members is not stored, but for taking the place of one that has. */
export const emptyState = "{}";

const packedFrom = 32 * 1024;
/** No JSON of an object starts with it. */
const packedMark = "z";

/** JSON as it travels and is stored: a long one compressed, which also spares it the quoting inside other JSON. */
export function packState(json: string): string {
  if (json.length < packedFrom) return json;
  return packedMark + deflateRawSync(Buffer.from(json, "utf8"), { level: 1 }).toString("base64");
}

export function unpackState(value: string): string {
  if (!value.startsWith(packedMark)) return value;
  return inflateRawSync(Buffer.from(value.slice(packedMark.length), "base64"), {
    maxOutputLength: stateBytesMax,
  }).toString("utf8");
}
