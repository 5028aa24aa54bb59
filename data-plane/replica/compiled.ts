/**
 * Entities as the rest of the data plane reads them. An instance is kept as its stored
 * text and decoded when it is asked for: a hundred thousand of them are so many strings, which a garbage
 * collection passes over, instead of some two million objects. The ones used lately stay decoded.
 */
import type { Definition } from "../../shared/definition.ts";
import type { InstanceEntity, IntegrationEntity } from "../../shared/feed.ts";
import { compileRouting, type RoutingRules } from "../../shared/resolution.ts";
import { decodeInstance, type InstanceHead } from "./encoding.ts";

export interface CompiledDefinition {
  digest: string;
  definition: Definition;
  rules: RoutingRules;
}

export interface CompiledInstance {
  /** Decoded when it is first asked for: ask once and keep it while you work on it. */
  readonly entity: InstanceEntity;
  /** What its version says, at hand without decoding anything. */
  readonly head: InstanceHead;
  readonly version: number;
}

export interface CompiledIntegration {
  readonly entity: IntegrationEntity;
  readonly version: number;
}

export function compileDefinition(digest: string, json: string): CompiledDefinition {
  const definition = JSON.parse(json) as Definition;
  return { digest, definition, rules: compileRouting(definition) };
}

/** Instances that are decoded now: the last so many that were asked for. */
export interface DecodedInstances {
  hold(instance: StoredInstance): void;
}

/**
 * With 250 of them, what is decoded for one request dies young; with 2,000 under random traffic over a hundred
 * thousand endpoints it grew old first, and the process with it (485 MB instead of 240 MB).
 */
export function holdDecoded(most: number): DecodedInstances {
  const held: StoredInstance[] = [];
  let hand = 0;
  return {
    hold(instance) {
      if (held.length < most) {
        held.push(instance);
        return;
      }
      while (held[hand]!.wasRead) {
        held[hand]!.wasRead = false;
        hand = (hand + 1) % most;
      }
      held[hand]!.decoded = null;
      held[hand] = instance;
      hand = (hand + 1) % most;
    },
  };
}

export class StoredInstance implements CompiledInstance {
  isUsed = false;
  wasRead = false;
  decoded: InstanceEntity | null = null;
  readonly id: string;
  readonly version: number;
  readonly head: InstanceHead;
  readonly data: string;
  readonly secrets: string | null;
  readonly holder: DecodedInstances;

  constructor(
    id: string,
    version: number,
    head: InstanceHead,
    data: string,
    secrets: string | null,
    holder: DecodedInstances,
  ) {
    this.id = id;
    this.version = version;
    this.head = head;
    this.data = data;
    this.secrets = secrets;
    this.holder = holder;
  }

  get entity(): InstanceEntity {
    if (this.decoded !== null) {
      this.wasRead = true;
      return this.decoded;
    }
    this.decoded = decodeInstance(this.id, this.head, this.data, this.secrets);
    this.wasRead = false;
    this.holder.hold(this);
    return this.decoded;
  }
}

/** This object, its id and texts, and its place in a Map. */
export const instanceBytes = ({ data, secrets }: StoredInstance): number =>
  250 + data.length + (secrets === null ? 0 : 16 + secrets.length);
