/**
 * Endpoints as the ingress asks for them, by token: compiled once, kept small, and dropped when what they were
 * compiled from changes. They hold what says yes to a webhook; why another is refused is found out from the
 * replica (resolve.ts, admission.ts).
 */
import { LRUCache } from "lru-cache";
import type { AddressList } from "../shared/addresses.ts";
import type { Flow } from "../shared/definition.ts";
import type { Reference } from "../shared/references.ts";
import { addressListOf } from "./addresses.ts";
import { type KeyRule, keyRule } from "./authenticate.ts";
import { jsonPicker, type PickJson } from "./pickJson.ts";
import { queueOf } from "./queueKeys.ts";
import { type Cached, createCache } from "./replica/cache.ts";
import type { CompiledDefinition, CompiledInstance, CompiledIntegration } from "./replica/compiled.ts";
import type { ReplicaReader } from "./replica/reader.ts";
import { type ChangedKeys, customerKey } from "./replica/state.ts";
import { type Endpoint, endpointAt } from "./resolve.ts";

/** A flow of a version, with the part of an entry's route that is the same for all its instances. */
export interface PlannedFlow {
  readonly flow: Flow;
  /** Its place in a target's rules. */
  readonly place: number;
  /** Its runs wait in a queue of its own. */
  readonly hasQueue: boolean;
  /** JSON that is not closed yet: the instance and the user are to follow. */
  readonly routeHead: string;
}

/** What the endpoints of one version share. */
export interface Plan {
  readonly kind: Endpoint["kind"];
  /** Where the endpoint's configuration comes from. */
  readonly source: CompiledDefinition;
  /** Of the flows that run: for a shared endpoint that of the customer's own instance. */
  readonly definition: CompiledDefinition;
  readonly integration: CompiledIntegration;
  readonly flows: ReadonlyMap<Flow, PlannedFlow>;
  /** Runs before the routing; null where the request itself says enough. */
  readonly preprocess: PlannedFlow | null;
  readonly picks: RoutingPicks;
}

/** What of a JSON body routes; no references where nothing of it does. */
export interface RoutingPicks {
  readonly references: readonly Reference[];
  /** Their values, in their order. */
  readonly pick: PickJson;
}

/** An instance whose flows can run. */
export interface CompiledTarget {
  /** The replica's stamp at which it was last known to be so. */
  checkedAt: number;
  readonly id: string;
  readonly isEnabled: boolean;
  readonly isSystem: boolean;
  readonly isDebug: boolean;
  readonly plan: Plan;
  readonly version: number;
  /** By the flow's place; made when first asked for. */
  readonly rules: (KeyRule | undefined)[];
}

/** What of an endpoint its plan depends on. */
type Planned = Pick<
  Endpoint,
  "kind" | "source" | "integration" | "versionId" | "versionNumber" | "preprocessFlow"
>;

export interface CompiledEndpoint extends Cached {
  checkedAt: number;
  readonly plan: Plan;
  /** Null for a shared endpoint: the customer is not known yet. */
  readonly target: CompiledTarget | null;
  /** The flow of the URL; null where the request decides. */
  readonly flow: PlannedFlow | null;
  /** Who may post; null where everyone may. */
  readonly addresses: AddressList | null;
}

export interface Endpoints {
  /** The endpoint at a token, or null where there is nothing to run. */
  at(token: string): CompiledEndpoint | null;
  /** The customer's instance behind a shared endpoint. */
  customerTarget(endpoint: CompiledEndpoint, externalCustomerId: string): CompiledTarget | null;
  /** `target` null: of the preprocess flow of a shared endpoint. */
  keyRule(plan: Plan, target: CompiledTarget | null, flow: PlannedFlow): KeyRule;
  /** To be called when the reader was refreshed. */
  refresh(changed: ChangedKeys | null): void;
  stats(): { endpoints: number; compiled: number };
}

const endpointsMax = 120_000;
/** With the rules of one flow, its token and its place; checked by test/bench/endpoints.ts. */
const endpointBytes = 1_000;
const targetsMax = 32_768;
const plansMax = 10_000;
/** Beyond it everything is checked anew instead. */
const changesMax = 20_000;

export function createEndpoints(reader: ReplicaReader): Endpoints {
  const endpoints = createCache<CompiledEndpoint>(endpointsMax * endpointBytes, () => endpointBytes);
  /** Of shared endpoints, by `customerKey`. */
  const targets = new LRUCache<string, CompiledTarget>({ max: targetsMax });
  const plans = new LRUCache<string, Plan>({ max: plansMax });
  /** When an instance or integration changed, by the stamp after it. */
  const changedAt = new Map<string, number>();
  /** What was checked before this stamp may have changed. */
  let floor = 0;
  let { generation } = reader;
  let compiled = 0;

  /** Nothing has changed since it was compiled. */
  const isSame = (part: { checkedAt: number; plan: Plan }, target: CompiledTarget | null): boolean => {
    const { checkedAt, plan } = part;
    if (checkedAt === reader.stamp) return true;
    if (checkedAt < floor) return false;
    if ((changedAt.get(plan.integration.entity.id) ?? 0) > checkedAt) return false;
    if (target !== null && (changedAt.get(target.id) ?? 0) > checkedAt) return false;
    part.checkedAt = reader.stamp;
    return true;
  };

  const planOf = (endpoint: Planned, definition: CompiledDefinition): Plan => {
    const { kind, source, integration, versionId, versionNumber, preprocessFlow } = endpoint;
    const key = `${kind} ${versionId} ${source.digest} ${definition.digest} ${integration.entity.id} ${integration.version} ${preprocessFlow !== null}`;
    let plan = plans.get(key);
    if (plan === undefined) {
      const base = {
        endpointKind: kind,
        generation: reader.generation,
        integrationId: integration.entity.id,
        integrationVersion: integration.version,
        definitionDigest: definition.digest,
        versionId,
        versionNumber,
      };
      const planned = (flow: Flow, place: number, routeKind: "flow" | "preprocess"): PlannedFlow => ({
        flow,
        place,
        hasQueue: queueOf(flow) !== null,
        routeHead: openJson({ kind: routeKind, ...base, flowStableKey: flow.stableKey }),
      });
      const flows = definition.definition.flows;
      plan = {
        kind,
        source,
        definition,
        integration,
        // A test on the system instance may reach any flow by its own URL.
        flows: new Map(flows.map((flow, place) => [flow, planned(flow, place, "flow")])),
        preprocess:
          preprocessFlow === null
            ? null
            : planned(preprocessFlow, flows.indexOf(preprocessFlow), "preprocess"),
        picks: preprocessFlow === null ? routingPicks(source) : noPicks,
      };
      plans.set(key, plan);
    }
    return plan;
  };

  const targetOf = (plan: Plan, instance: CompiledInstance): CompiledTarget => {
    const { id, isEnabled, isSystem, globalDebug } = instance.entity;
    return {
      checkedAt: reader.stamp,
      id,
      isEnabled,
      isSystem,
      isDebug: globalDebug === true,
      plan,
      version: instance.version,
      rules: [],
    };
  };

  const compile = (token: string): CompiledEndpoint | null => {
    const endpoint = endpointAt(reader, token);
    if (endpoint === null) return null;
    compiled++;
    const plan = planOf(endpoint, endpoint.source);
    return {
      isUsed: false,
      checkedAt: reader.stamp,
      plan,
      target: endpoint.instance === null ? null : targetOf(plan, endpoint.instance),
      flow: endpoint.flow === null ? null : plannedFlow(plan, endpoint.flow),
      addresses: addressListOf(endpoint),
    };
  };

  return {
    at(token) {
      const known = endpoints.get(token);
      if (known !== undefined && isSame(known, known.target)) return known;
      const endpoint = compile(token);
      // A token that is not there is not remembered: anyone can send any number of them.
      if (endpoint !== null) endpoints.set(token, endpoint);
      else if (known !== undefined) endpoints.delete(token);
      return endpoint;
    },
    customerTarget({ plan }, externalCustomerId) {
      const { integration, source } = plan;
      const key = customerKey(integration.entity.id, externalCustomerId);
      const known = targets.get(key);
      if (known !== undefined && isSame(known, known)) return known;
      const instance = reader.customerInstance(integration.entity.id, externalCustomerId);
      if (instance === null) return null;
      const definition = reader.definition(instance.entity.definitionDigest);
      const { shared } = integration.entity;
      if (definition === null || shared === null) return null;
      const { versionId, versionNumber } = shared;
      compiled++;
      const planned = {
        kind: plan.kind,
        source,
        versionId,
        versionNumber,
        integration,
        preprocessFlow: null,
      };
      const target = targetOf(planOf(planned, definition), instance);
      targets.set(key, target);
      return target;
    },
    keyRule(plan, target, { flow, place }) {
      const { definition } = plan.definition;
      const integration = plan.integration.entity;
      if (target === null) return keyRule(definition, flow, null, integration);
      target.rules[place] ??= keyRule(definition, flow, reader.instance(target.id)!.entity, integration);
      return target.rules[place];
    },
    refresh(changed) {
      const { stamp } = reader;
      if (changed === null || reader.generation !== generation) {
        ({ generation } = reader);
        endpoints.clear();
        targets.clear();
        plans.clear();
        changedAt.clear();
        return;
      }
      for (const token of changed.tokens) endpoints.delete(token);
      for (const key of changed.customers) targets.delete(key);
      for (const id of changed.instances) changedAt.set(id, stamp);
      for (const id of changed.integrations) changedAt.set(id, stamp);
      if (changedAt.size <= changesMax) return;
      changedAt.clear();
      floor = stamp;
    },
    stats: () => ({ endpoints: endpoints.size, compiled }),
  };
}

/** By its key: the definition may have been read anew since the plan was made. */
function plannedFlow(plan: Plan, { stableKey }: Flow): PlannedFlow {
  for (const [flow, planned] of plan.flows) if (flow.stableKey === stableKey) return planned;
  throw new Error(`the flow ${stableKey} is not in its version`);
}

export const noPicks: RoutingPicks = { references: [], pick: jsonPicker([]) };

function routingPicks({ rules }: CompiledDefinition): RoutingPicks {
  const references = [rules.customer, rules.flowName].filter(
    (reference) =>
      reference !== null && reference.paths[0]![0] === "body" && reference.paths[0]![1] === "data",
  ) as Reference[];
  return { references, pick: jsonPicker(references.map(({ paths }) => paths[0]!.slice(2))) };
}

/** The JSON of an object that is not closed yet. */
const openJson = (value: object): string => JSON.stringify(value).slice(0, -1);
