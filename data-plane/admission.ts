/**
 * From a request to the execution that it becomes, or to the reason why it is refused: keys, body, routing,
 * in the order that gives nothing away. The same for webhooks, replays and tests of an endpoint.
 */
import { type Flow, routableFlows } from "../shared/definition.ts";
import type { ErrorCode } from "../shared/errors.ts";
import type { RequestSource } from "../shared/references.ts";
import type { InvokeType, StoredRequest } from "../shared/reports.ts";
import { everyFlowNeedsKey, keyRule, type SentKeys } from "./authenticate.ts";
import type { Execution } from "./executions.ts";
import type { Entry, EntryRoute } from "./journal.ts";
import type { KeyChecks, KeyRefusal } from "./keyChecks.ts";
import type { BodyParser } from "./largeBodies.ts";
import { mediaTypeOf } from "./parse.ts";
import type { CompiledInstance, Replica } from "./replica.ts";
import { type Endpoint, routeByRequest, type Target } from "./resolve.ts";

export interface AdmissionRequest {
  executionId: string;
  endpoint: Endpoint;
  request: Omit<StoredRequest, "body">;
  /** Content-Encoding undone. */
  body: Buffer;
  invokeType: InvokeType;
  isDebug: boolean;
  replayOf: string | null;
  invokedBy: string | null;
  /** A test of the endpoint's configuration: always on the system instance. */
  isEndpointTest: boolean;
  /** A test of one flow asks for no key and no routing. */
  skipsKeys: boolean;
  keyChecks: KeyChecks;
  /** The keys that were sent, where they came with a request just now; a command's request has HMACs only. */
  keys?: SentKeys;
}

export type Admission = { ok: true; execution: Execution } | AdmissionRefusal;

export interface AdmissionRefusal {
  ok: false;
  code: ErrorCode;
  /** For the organization's eyes. */
  reason: string;
  instance: CompiledInstance | null;
  /** The whole request is kept, so that it can be replayed. */
  isReplayable: boolean;
  /** Seconds, where the sender is told when to try again. */
  retryAfter?: number | null;
}

/** Refuses by key alone, before the body is looked at; null where the request may go on. */
export function refuseByKey({
  endpoint,
  request,
  keys,
  keyChecks,
}: Pick<AdmissionRequest, "endpoint" | "request" | "keys" | "keyChecks">): AdmissionRefusal | null {
  const { source, instance, keyInstance, integration } = endpoint;
  const instanceEntity = keyInstance?.entity ?? null;
  const first = endpoint.flow ?? endpoint.preprocessFlow;
  if (first !== null) {
    const rule = keyRule(source.definition, first, instanceEntity, integration.entity);
    return keyRefusal(keyChecks.refuse(rule, first.name, senderOf(request, keys), Date.now()), instance);
  }
  if (request.keyHmacs.length > 0) return null;
  return everyFlowNeedsKey(
    routableFlows(source.definition),
    source.definition,
    instanceEntity,
    integration.entity,
  )
    ? refusal("KEY_REFUSED", "No key was sent, and every flow needs one.", instance)
    : null;
}

export async function admit(
  replica: Replica,
  parser: BodyParser,
  given: AdmissionRequest,
): Promise<Admission> {
  const { endpoint, request, body } = given;
  if (!given.skipsKeys) {
    const refused = refuseByKey(given);
    if (refused !== null) return refused;
  }
  const first = endpoint.flow ?? endpoint.preprocessFlow;
  const contentType = headerOf(request.headers, "content-type") ?? "";
  if (first !== null && !acceptsContentType(first, contentType, body))
    return contentTypeRefusal(first, contentType, endpoint.instance);
  const parsed = await parser.parse(body, contentType, () => bodyPaths(endpoint));
  if (!parsed.ok) return refusal("BODY_INVALID", parsed.message, endpoint.instance);

  if (endpoint.preprocessFlow !== null && endpoint.flow === null) {
    const { instance } = endpoint;
    if (instance !== null && !instance.entity.isEnabled) return pausedRefusal(instance);
    const entry = entryOf(given, null);
    return {
      ok: true,
      execution: { entry, endpoint, target: null, ...(given.keys && { keys: given.keys }) },
    };
  }
  const source = sourceOf(request, { data: parsed.data, contentType: parsed.contentType });
  const testInstance = given.isEndpointTest
    ? replica.instance(endpoint.integration.entity.systemInstanceId)
    : null;
  const route = routeByRequest(replica, endpoint, source, testInstance === null ? {} : { testInstance });
  if (!route.ok)
    return {
      ok: false,
      code: route.code,
      reason: route.reason,
      instance: route.instance,
      isReplayable: true,
    };
  const { target } = route;
  const refused = refuseTarget(target, given, contentType);
  return refused ?? { ok: true, execution: { entry: entryOf(given, target), endpoint, target } };
}

function refuseTarget(target: Target, given: AdmissionRequest, contentType: string): AdmissionRefusal | null {
  const { definition, flow, instance, integration } = target;
  if (given.endpoint.flow === null) {
    if (!given.skipsKeys) {
      const rule = keyRule(definition.definition, flow, instance.entity, integration.entity);
      const sender = senderOf(given.request, given.keys);
      const refused = keyRefusal(given.keyChecks.refuse(rule, flow.name, sender, Date.now()), instance);
      if (refused !== null) return refused;
    }
    if (!acceptsContentType(flow, contentType, given.body))
      return contentTypeRefusal(flow, contentType, instance);
  }
  return instance.entity.isEnabled || given.invokeType === "TEST" ? null : pausedRefusal(instance);
}

const refusal = (code: ErrorCode, reason: string, instance: CompiledInstance | null): AdmissionRefusal => ({
  ok: false,
  code,
  reason,
  instance,
  isReplayable: false,
});

const senderOf = ({ keyHmacs, token, remoteAddress }: AdmissionRequest["request"], keys?: SentKeys) => ({
  keys: keys ?? { hmacs: keyHmacs, texts: [] },
  token,
  remoteAddress,
});

const keyRefusal = (refused: KeyRefusal | null, instance: CompiledInstance | null): AdmissionRefusal | null =>
  refused && { ...refusal(refused.code, refused.reason, instance), retryAfter: refused.retryAfter };

const contentTypeRefusal = (
  flow: Flow,
  contentType: string,
  instance: CompiledInstance | null,
): AdmissionRefusal =>
  refusal(
    "CONTENT_TYPE_NOT_ACCEPTED",
    `The flow "${flow.name}" does not accept ${JSON.stringify(contentType.slice(0, 200))}.`,
    instance,
  );

const pausedRefusal = (instance: CompiledInstance): AdmissionRefusal => ({
  ok: false,
  code: "INSTANCE_PAUSED",
  reason: `The instance "${instance.entity.name}" is paused.`,
  instance,
  isReplayable: true,
});

function acceptsContentType(flow: Flow, contentType: string, body: Buffer): boolean {
  if (flow.acceptedContentTypes === null || body.length === 0) return true;
  const mediaType = mediaTypeOf(contentType);
  return flow.acceptedContentTypes.some((accepted) => {
    const wanted = accepted.trim().toLowerCase();
    if (wanted === "*/*" || wanted === mediaType) return true;
    if (wanted.endsWith("/*")) return mediaType.startsWith(wanted.slice(0, -1));
    return (
      wanted.startsWith("*/") &&
      (mediaType.endsWith(wanted.slice(1)) || mediaType.endsWith(`+${wanted.slice(2)}`))
    );
  });
}

/** Where the endpoint reads routing values from in the body. */
function bodyPaths({ flow, preprocessFlow, source }: Endpoint): string[][] {
  if (flow !== null || preprocessFlow !== null) return [];
  const { flowName, customer, customerUser } = source.rules;
  return [flowName, customer, customerUser].flatMap((reference) => {
    const path = reference?.paths[0];
    return path !== undefined && path[0] === "body" ? [path.slice(1)] : [];
  });
}

/** What references select from; a header or query parameter that was sent twice is not there. */
export function sourceOf(
  request: Pick<StoredRequest, "headers" | "query">,
  body: RequestSource["body"],
): RequestSource {
  let query: URLSearchParams | null = null;
  return {
    body,
    header: (name) =>
      onlyOne(request.headers.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value)),
    queryParameter(name) {
      query ??= new URLSearchParams(request.query);
      return onlyOne(query.getAll(name));
    },
  };
}

const onlyOne = (values: string[]): string | undefined => (values.length === 1 ? values[0] : undefined);

/** A header's first value. */
export const headerOf = (headers: StoredRequest["headers"], name: string): string | undefined =>
  headers.find(([key]) => key.toLowerCase() === name)?.[1];

function entryOf(given: AdmissionRequest, target: Target | null): Entry {
  const { endpoint } = given;
  const instance = target?.instance ?? endpoint.instance;
  const source = target?.definition ?? endpoint.source;
  const route: EntryRoute = {
    kind: target === null ? "preprocess" : "flow",
    endpointKind: endpoint.kind,
    definitionPin: source.pin.key,
    instancePin: instance?.pin.key ?? null,
    integrationPin: endpoint.integration.pin.key,
    definitionDigest: source.digest,
    versionId: endpoint.versionId,
    versionNumber: endpoint.versionNumber,
    flowStableKey: (target?.flow ?? endpoint.preprocessFlow)!.stableKey,
    userId: target?.user?.id ?? null,
  };
  return {
    id: given.executionId,
    attempt: 1,
    isSuspect: false,
    invokeType: given.invokeType,
    isDebug: given.isDebug,
    replayOf: given.replayOf,
    invokedBy: given.invokedBy,
    isEndpointTest: given.isEndpointTest,
    route,
    request: given.request,
    body: given.body.length === 0 ? null : given.body,
  };
}
