/** Getting a connection's token and keeping it, or noting why there is none. */
import type { RequiredConfigVar } from "../../shared/requiredConfigVars.ts";
import type { Services } from "../context.ts";
import { configuredVersionOf, readVersion } from "../store/configuredVersions.ts";
import {
  instanceOwner,
  instanceVariables,
  nothingGiven,
  readConfigVariables,
  type StoredConfigVariable,
  type VariableOwner,
} from "../store/configVariables.ts";
import { withReferences } from "../store/connectionReferences.ts";
import { isConnectionFilled } from "../store/connectionValues.ts";
import { type DueConnection, keepToken, type TokenState, writeTokenState } from "../store/oauthTokens.ts";
import { fetchToken, type Grant, type TokenAnswer } from "./requests.ts";
import { type OAuthSettings, oauthSettings } from "./settings.ts";
import { pauseAfterMs, tokenTimes } from "./tokenTimes.ts";

/** A connection as it stands now. */
export interface Connection {
  customerId: string;
  owner: VariableOwner;
  variable: RequiredConfigVar;
  given: StoredConfigVariable | undefined;
}

/** The connection, where the version that its instance is set to still has it, or the one that it runs on. */
export async function findConnection(
  { store }: Services,
  owner: VariableOwner,
  key: string,
): Promise<Connection | null> {
  const instance = await store.config
    .selectFrom("instances")
    .select(["integrationId", "versionId", "deployedVersionId", "customerId"])
    .where("id", "=", owner.instanceId)
    .executeTakeFirst();
  if (instance === undefined) return null;
  const stored = await readConfigVariables(store.config, store, owner);
  for (const versionId of new Set([instance.versionId, instance.deployedVersionId ?? instance.versionId])) {
    const version = await readVersion(store.config, instance.integrationId, versionId);
    if (version === null) continue;
    const { requiredConfigVars } = withReferences(version.definition, stored);
    const variable = requiredConfigVars.find((candidate) => candidate.key === key);
    if (variable === undefined || (variable.isUserLevel === true) !== (owner.userId !== null)) continue;
    return { customerId: instance.customerId, owner, variable, given: stored.get(key) };
  }
  return null;
}

/** Fetches the token of a connection whose time has come. */
export async function refreshConnection(services: Services, due: DueConnection): Promise<void> {
  const { instanceId, userId, key, given } = due;
  const owner = { instanceId, userId };
  const found = await findConnection(services, owner, key);
  if (found === null)
    return writeState(services, owner, key, failed("The version has no such connection any more.", due));
  const read = oauthSettings(found.variable, given, services.config.oauthHttp === "everywhere");
  if (!read.ok) return writeState(services, owner, key, failed(read.problem, due));
  const refreshToken = given.token?.["refresh_token"];
  const isClient = read.settings.type === "client_credentials";
  if (!isClient && typeof refreshToken !== "string") {
    const nowMs = Date.now();
    // The token is good until it ends; nobody but its owner can get another one.
    const isOver = due.expiresAtMs === null || due.expiresAtMs <= nowMs;
    const state = isOver
      ? failed(
          "The token has expired, and the OAuth server gave nothing to renew it with: authorize it again.",
          due,
        )
      : { ...active(due), refreshAtMs: due.expiresAtMs };
    return writeState(services, owner, key, state);
  }
  const grant: Grant = isClient
    ? { kind: "client" }
    : { kind: "refresh", refreshToken: refreshToken as string };
  const answer = await countedFetch(services, read.settings, grant);
  if (answer.ok) {
    // A server that gives no new refresh token goes on with the old one.
    const token = isClient ? answer.token : { refresh_token: refreshToken, ...answer.token };
    await keepAnswer(services, { ...found, given }, token, given.context);
  } else await writeState(services, owner, key, stateAfter(answer, due));
}

export async function countedFetch(
  { metrics }: Services,
  settings: OAuthSettings,
  grant: Grant,
): Promise<TokenAnswer> {
  const answer = await fetchToken(settings, grant);
  metrics.tokenFetched(answer.ok ? "ok" : answer.isFinal ? "refused" : "failed");
  return answer;
}

/** Keeps what the server gave; returns false where the connection was changed meanwhile. */
export async function keepAnswer(
  { feed, store, log }: Services,
  { owner, variable, given }: Pick<Connection, "owner" | "variable" | "given">,
  token: Record<string, unknown>,
  context: Record<string, unknown> | undefined,
): Promise<boolean> {
  const nowMs = Date.now();
  const state: TokenState = {
    status: "ACTIVE",
    error: null,
    failures: 0,
    refreshedAtMs: nowMs,
    ...tokenTimes(token, nowMs),
  };
  const seen = given ?? nothingGiven;
  const next = context === undefined ? { token } : { token, context };
  const version = await feed.transact((transaction) =>
    keepToken(transaction, store, owner, variable, seen, next, state),
  );
  log.info(
    { instanceId: owner.instanceId, key: variable.key, isKept: version !== null },
    "a connection has a new token",
  );
  return version !== null;
}

/**
 * Before a deploy: the connections that get their token without anybody's consent. A sentence for each that
 * does not get one.
 */
export async function fetchMissingTokens(deploying: Services, instanceId: string): Promise<string[]> {
  const { store, config } = deploying;
  // The deploy itself comes right after, and pokes; and its own transaction is the one that is audited.
  const transact: Services["feed"]["transact"] = (work) => store.config.transaction().execute(work);
  const services: Services = { ...deploying, feed: { ...deploying.feed, transact } };
  const instance = await store.config
    .selectFrom("instances")
    .select(["integrationId", "versionId"])
    .where("id", "=", instanceId)
    .executeTakeFirst();
  const configured = instance === undefined ? null : await configuredVersionOf(store.config, instance);
  if (configured === null) return [];
  const owner = instanceOwner(instanceId);
  const stored = await readConfigVariables(store.config, store, owner);
  const problems = await Promise.all(
    instanceVariables(withReferences(configured.definition, stored)).map(
      async (variable): Promise<string | null> => {
        const given = stored.get(variable.key);
        if (variable.declared?.oauth2Type !== "client_credentials") return null;
        if (!isConnectionFilled(variable, given)) return null;
        if (given?.token !== undefined && given.state?.status === "ACTIVE") return null;
        const read = oauthSettings(variable, given, config.oauthHttp === "everywhere");
        if (!read.ok) return read.problem;
        const answer = await countedFetch(services, read.settings, { kind: "client" });
        if (answer.ok) {
          await keepAnswer(services, { owner, variable, given }, answer.token, given?.context);
          return null;
        }
        await writeState(
          services,
          owner,
          variable.key,
          stateAfter(answer, { expiresAtMs: null, failures: 0 }),
        );
        return `Connection "${variable.key}": ${answer.error}`;
      },
    ),
  );
  return problems.filter((problem) => problem !== null);
}

type Since = Pick<DueConnection, "expiresAtMs" | "failures">;

/** After so many attempts in a row that failed, somebody has to look at it. */
const failuresMax = 50;

/** An outage at the server is nobody's fault: while the token is good the connection is, too. */
function stateAfter(answer: TokenAnswer & { ok: false }, since: Since): TokenState {
  const failures = since.failures + 1;
  if (answer.isFinal || failures >= failuresMax) return failed(answer.error, { ...since, failures });
  const nowMs = Date.now();
  const isGood = since.expiresAtMs !== null && since.expiresAtMs > nowMs;
  return {
    status: isGood ? "ACTIVE" : "ERROR",
    error: answer.error,
    refreshAtMs: nowMs + pauseAfterMs(failures),
    expiresAtMs: since.expiresAtMs,
    failures,
  };
}

const failed = (error: string, { expiresAtMs, failures }: Since): TokenState => ({
  status: "ERROR",
  error,
  refreshAtMs: null,
  expiresAtMs,
  failures,
});

const active = ({ expiresAtMs, failures }: Since): TokenState => ({
  status: "ACTIVE",
  error: null,
  refreshAtMs: null,
  expiresAtMs,
  failures,
});

export async function writeState(
  { feed, log }: Services,
  owner: VariableOwner,
  key: string,
  state: TokenState,
): Promise<void> {
  if (state.error !== null)
    log.warn({ instanceId: owner.instanceId, key, reason: state.error }, "a connection got no token");
  await feed.transact((transaction) => writeTokenState(transaction, owner, key, state));
}
