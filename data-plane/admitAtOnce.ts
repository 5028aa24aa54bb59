/**
 * The common case of admission.ts, made cheap: a webhook that is accepted, with a body that is parsed here. It
 * says yes with the very entry that `admit` would make, as text, or says nothing; whatever it says nothing to
 * goes the long way, which knows all the reasons. (A test compares the two.)
 *
 * For a body of 600 bytes JSON.parse was the dearest part (2.4 µs); picking what routes takes half of that, and makes
 * nothing to be collected. Then the entry's text (1.4 µs, with the object and JSON.stringify 1.8) and the HMAC of the
 * key (0.75 µs, outside of this file).
 */
import type { KeyEntity } from "../shared/feed.ts";
import { newId } from "../shared/ids.ts";
import { type Reference, type RequestSource, routingText, selectFromRequest } from "../shared/references.ts";
import { chooseCustomer, chooseFlow } from "../shared/resolution.ts";
import { acceptsContentType, sourceOf } from "./admission.ts";
import { answersAtOnce } from "./answers.ts";
import { checkKeys, type KeyRule } from "./authenticate.ts";
import { isPlain } from "./decode.ts";
import {
  type CompiledEndpoint,
  type CompiledTarget,
  type Endpoints,
  noPicks,
  type PlannedFlow,
} from "./endpoints.ts";
import type { IncomingRequest } from "./ingress.ts";
import { inlineBytesMax } from "./largeBodies.ts";
import { bodyKind, mediaTypeOf, parseBody } from "./parse.ts";
import { queueKeyOf } from "./queueKeys.ts";

export interface AdmittedEntry {
  id: string;
  /** JSON of `EntryMeta`. */
  metaJson: string;
  /** `fairKeyOf` the meta. */
  fairKey: string;
  /** The answer waits for more than the disk. */
  isWaiting: boolean;
}

/** `hmacs`: of the keys that were sent. Null where it has nothing to say. */
export function admitAtOnce(
  endpoints: Endpoints,
  keyUse: { note(keys: readonly KeyEntity[], nowMs: number): void },
  endpoint: CompiledEndpoint,
  request: IncomingRequest,
  hmacs: readonly string[],
): AdmittedEntry | null {
  if (request.invokeType !== "" || !isPlain(request.contentEncoding)) return null;
  const { body } = request;
  const kind = bodyKind(mediaTypeOf(request.contentType));
  if (kind === "multipart" || body.length > inlineBytesMax[kind]) return null;
  const { plan } = endpoint;
  const first = endpoint.flow ?? plan.preprocess;
  const now = Date.now();
  let used = noKeys;
  if (first !== null) {
    const keys = validKeys(endpoints.keyRule(plan, endpoint.target, first), hmacs, now);
    if (keys === null || !acceptsContentType(first.flow, request.contentType, body)) return null;
    used = keys;
  }
  const isRoutedByRequest = plan.preprocess === null && endpoint.flow === null;
  const { references, pick } = isRoutedByRequest ? plan.picks : noPicks;
  const picked = kind === "json" && !request.contentType.includes(";") ? pick(body) : null;
  let parsed: RequestSource["body"] = { data: undefined, contentType: request.contentType };
  if (picked === null) {
    const whole = parseBody(body, request.contentType);
    if (!("ok" in whole) || !whole.ok) return null;
    parsed = whole;
  }

  let { target } = endpoint;
  let runs = first;
  let queueKey: string | null = null;
  if (plan.preprocess === null || endpoint.flow !== null) {
    const source = sourceOf(request, parsed);
    const select = (reference: Reference) => {
      const place = picked === null ? -1 : references.indexOf(reference);
      return place < 0 ? selectFromRequest(reference, source) : routingText(picked![place]);
    };
    const { rules } = plan.source;
    if (plan.kind === "shared") {
      const customer = chooseCustomer(rules, select);
      if (!customer.ok) return null;
      target = endpoints.customerTarget(endpoint, customer.externalId);
    }
    if (target === null) return null;
    if (endpoint.flow === null) {
      if (rules.customerUser !== null) return null;
      const chosen = chooseFlow(rules, target.plan.definition.rules, select);
      if (!chosen.ok) return null;
      runs = target.plan.flows.get(chosen.flow)!;
      const keys = validKeys(endpoints.keyRule(target.plan, target, runs), hmacs, now);
      if (keys === null || !acceptsContentType(chosen.flow, request.contentType, body)) return null;
      used = keys;
    }
    // The ids of queues are not among what was picked.
    if (runs!.hasQueue)
      queueKey = queueKeyOf(target.id, runs!.flow, picked === null ? select : selectFromWhole(request));
  }
  if (target !== null && !target.isEnabled && (runs === plan.preprocess || !endpoint.target?.isSystem))
    return null;
  if (used.length > 0) keyUse.note(used, now);
  return entryOf(endpoint, target, runs!, request, hmacs, queueKey);
}

/** `body`: JSON. */
function selectFromWhole(request: IncomingRequest): (reference: Reference) => string | undefined {
  const whole = parseBody(request.body, request.contentType);
  const body = "ok" in whole && whole.ok ? whole : { data: undefined, contentType: request.contentType };
  const source = sourceOf(request, body);
  return (reference) => selectFromRequest(reference, source);
}

const noKeys: readonly KeyEntity[] = [];

/** The keys that count, none where none is needed, and null where one is missing. */
function validKeys(rule: KeyRule, hmacs: readonly string[], nowMs: number): readonly KeyEntity[] | null {
  const verdict = checkKeys(rule, hmacs, nowMs);
  return verdict.ok ? verdict.valid : null;
}

function entryOf(
  endpoint: CompiledEndpoint,
  target: CompiledTarget | null,
  { flow, routeHead }: PlannedFlow,
  request: IncomingRequest,
  hmacs: readonly string[],
  queueKey: string | null,
): AdmittedEntry {
  const id = request.hasOwnId ? request.requestId : newId();
  const isPreprocess = flow === endpoint.plan.preprocess?.flow && endpoint.flow === null;
  const isWaiting = !answersAtOnce(isPreprocess ? null : flow, request.headers);
  const invokeType = endpoint.target?.isSystem ? "TEST" : "WEBHOOK";
  const isDebug = request.isDebug || endpoint.target?.isDebug === true;
  const keyHmacs = hmacs.length === 0 ? "" : `"${hmacs.join('","')}"`;
  // Method, address and token are made of letters, digits and a few signs that JSON writes as they are.
  const metaJson = `{"id":"${id}","invokeType":"${invokeType}","isDebug":${isDebug},"replayOf":null,"invokedBy":null,"isEndpointTest":false,"isWaiting":${isWaiting},${queueKey === null ? "" : `"queueKey":${JSON.stringify(queueKey)},`}"route":${routeHead},"instanceId":${target === null ? null : `"${target.id}"`},"instanceVersion":${target?.version ?? 0},"userId":null},"request":{"method":"${request.method}","pathFragment":${quoted(request.pathFragment)},"query":${quoted(request.query)},"headers":${JSON.stringify(request.headers)},"keyHmacs":[${keyHmacs}],"remoteAddress":"${request.remoteAddress}","receivedAtMs":${request.receivedAtMs},"requestId":${quoted(request.requestId)},"token":"${request.token}"}}`;
  const fairKey = queueKey ?? (isPreprocess || target === null ? request.token : target.id);
  return { id, metaJson, fairKey, isWaiting };
}

const quoted = (text: string): string => (text === "" ? '""' : JSON.stringify(text));
