/** The control plane as the data plane sees it: typed GraphQL over HTTP, subscriptions over SSE, bundles. */
import { createClient } from "graphql-sse";
import type { Command, CommandResult } from "../shared/commands.ts";
import type { FeedPage } from "../shared/feed.ts";
import { newId } from "../shared/ids.ts";
import type { StateKey, StoredState } from "../shared/states.ts";
import { BundleRefusedError } from "./bundles.ts";
import { graphql } from "./generated/gql.ts";
import type { FeedSubscription, ReportEventsMutation, TypedDocumentString } from "./generated/graphql.ts";
import type { HeldVersion } from "./holds.ts";
import type { StoredReport } from "./journal/journal.ts";
import { createJsonPosts } from "./jsonPosts.ts";
import type { KeyUseReport } from "./keyUse.ts";
import type { MasterKeysHeld } from "./masterKeys.ts";
import type { ReportAnswer } from "./reporter.ts";

export type FeedPoke = FeedSubscription["feed"];

export interface StateKeysPage {
  /** Of the control plane's store. */
  epoch: string;
  keys: StateKey[];
  position: number;
  hasMore: boolean;
}

export interface ControlPlane {
  /** Calls `onPoke` at every poke until `stop`; reconnects by itself. */
  subscribe(onPoke: (poke: FeedPoke) => void, onLost: (reason: string) => void): { stop(): void };
  feedChanges(epoch: string, since: number): Promise<FeedPage>;
  acknowledge(epoch: string, version: number): Promise<void>;
  leaseCommands(most: number, held: readonly string[]): Promise<Command[]>;
  completeCommands(results: CommandResult[]): Promise<void>;
  /** Which states there are, from a position on. */
  feedStateKeys(after: number, first: number): Promise<StateKeysPage>;
  /** In the order of the question: null where there is none, SAME where it is of the version named. */
  feedStates(
    known: readonly (StateKey & { version: string | null })[],
  ): Promise<(StoredState | "SAME" | "LATER" | null)[]>;
  report(events: readonly Pick<StoredReport, "json">[]): Promise<ReportAnswer>;
  reportKeyUse(uses: KeyUseReport[]): Promise<void>;
  confirmMasterKeys(held: MasterKeysHeld): Promise<void>;
  /** Gives the ids of the versions that are to be released. */
  reportHeldBack(held: HeldVersion[]): Promise<string[]>;
  /** A component's package (zip) by its SHA-256. */
  fetchBundle(digest: string): Promise<Buffer>;
}

export interface ControlPlaneOptions {
  url: string;
  token: () => string;
  dataPlaneId: string;
  name: string;
  /** Where webhooks are sent to; known once the ingress listens. */
  ingressUrl: () => string;
}

const requestTimeoutMs = 30_000;
const feedPageMost = 1000;
const reconnectMs = { least: 100, most: 5_000 };

const FeedDocument = graphql(`
  subscription feed($dataPlaneId: String!, $name: String!, $url: String) {
    feed(dataPlaneId: $dataPlaneId, name: $name, url: $url) {
      epoch
      version
      commandsWaiting
    }
  }
`);
const FeedChangesDocument = graphql(`
  query feedChanges($epoch: String!, $since: Float!, $first: Int!) {
    feedChanges(epoch: $epoch, since: $since, first: $first)
  }
`);
const AcknowledgeFeedDocument = graphql(`
  mutation acknowledgeFeed($input: AcknowledgeFeedInput!) {
    acknowledgeFeed(input: $input) {
      errors {
        field
        messages
      }
    }
  }
`);
const LeaseCommandsDocument = graphql(`
  mutation leaseCommands($input: LeaseCommandsInput!) {
    leaseCommands(input: $input) {
      commands
      errors {
        field
        messages
      }
    }
  }
`);
const CompleteCommandsDocument = graphql(`
  mutation completeCommands($input: CompleteCommandsInput!) {
    completeCommands(input: $input) {
      errors {
        field
        messages
      }
    }
  }
`);
const ReportEventsDocument = graphql(`
  mutation reportEvents($input: ReportEventsInput!) {
    reportEvents(input: $input) {
      confirmed
      errors {
        field
        messages
      }
    }
  }
`);

const FeedStateKeysDocument = graphql(`
  query feedStateKeys($after: Float!, $first: Int!) {
    feedStateKeys(after: $after, first: $first)
  }
`);

const FeedStatesDocument = graphql(`
  query feedStates($known: JSON!) {
    feedStates(known: $known)
  }
`);

const ReportKeyUseDocument = graphql(`
  mutation reportKeyUse($input: ReportKeyUseInput!) {
    reportKeyUse(input: $input) {
      errors {
        field
        messages
      }
    }
  }
`);

const ConfirmMasterKeysDocument = graphql(`
  mutation confirmMasterKeys($input: ConfirmMasterKeysInput!) {
    confirmMasterKeys(input: $input) {
      errors {
        field
        messages
      }
    }
  }
`);

const ReportHeldBackVersionsDocument = graphql(`
  mutation reportHeldBackVersions($input: ReportHeldBackVersionsInput!) {
    reportHeldBackVersions(input: $input) {
      released
      errors {
        field
        messages
      }
    }
  }
`);

/** The events are JSON already, the greater part of what this process writes: put in as they are. */
function* reportTexts(dataPlaneId: string, events: readonly Pick<StoredReport, "json">[]): Iterable<string> {
  const query = JSON.stringify(ReportEventsDocument.toString());
  yield `{"query":${query},"variables":{"input":{"dataPlaneId":${JSON.stringify(dataPlaneId)},"events":[`;
  let comma = "";
  for (const { json } of events) {
    yield comma;
    yield json;
    comma = ",";
  }
  yield "]}}}";
}

interface PayloadError {
  field: string;
  messages: readonly string[];
}

export function connectControlPlane(options: ControlPlaneOptions): ControlPlane {
  const { url, token, dataPlaneId, name } = options;
  const headers = () => ({ authorization: `Bearer ${token()}` });
  const posts = createJsonPosts(`${url}/api`);

  async function request<Result, Variables>(
    document: TypedDocumentString<Result, Variables>,
    variables: Variables,
  ): Promise<Result> {
    return post([JSON.stringify({ query: document.toString(), variables })]);
  }

  /** Its id is in the control plane's log, too. */
  async function post<Result>(texts: Iterable<string>): Promise<Result> {
    const requestId = newId();
    const { status, text } = await posts.post(
      texts,
      { ...headers(), accept: "application/json", "x-request-id": requestId },
      requestTimeoutMs,
    );
    const { data, errors } = answerOf<Result>(text);
    if (errors?.length || !data) {
      const reason = errors?.map(({ message }) => message).join("; ");
      throw new Error(`${reason ?? `The control plane answered ${status}.`} (request ${requestId})`);
    }
    return data;
  }

  return {
    subscribe(onPoke, onLost) {
      const client = createClient({
        url: `${url}/api`,
        headers,
        retryAttempts: Number.POSITIVE_INFINITY,
        retry: (retries) => {
          onLost(`attempt ${retries}`);
          const waitMs = Math.min(reconnectMs.most, reconnectMs.least * 2 ** Math.min(retries, 10));
          return new Promise((resolve) => setTimeout(resolve, waitMs));
        },
      });
      let isStopped = false;
      const listen = () => {
        if (isStopped) return;
        const again = () => setTimeout(listen, reconnectMs.least).unref();
        client.subscribe<FeedSubscription>(
          { query: FeedDocument.toString(), variables: { dataPlaneId, name, url: options.ingressUrl() } },
          {
            next: ({ data }) => {
              if (data) onPoke(data.feed);
            },
            // A refused token or a control plane that closes the stream: tried again, at a measured pace.
            error: (error) => {
              onLost(error instanceof Error ? error.message : String(error));
              setTimeout(listen, reconnectMs.most).unref();
            },
            complete: again,
          },
        );
      };
      listen();
      return {
        stop() {
          isStopped = true;
          client.dispose();
        },
      };
    },
    async feedChanges(epoch, since) {
      const { feedChanges } = await request(FeedChangesDocument, { epoch, since, first: feedPageMost });
      return feedChanges as FeedPage;
    },
    async acknowledge(epoch, version) {
      const { acknowledgeFeed } = await request(AcknowledgeFeedDocument, {
        input: { dataPlaneId, name, epoch, version },
      });
      refuseErrors(acknowledgeFeed.errors);
    },
    async leaseCommands(most, held) {
      const { leaseCommands } = await request(LeaseCommandsDocument, {
        input: { dataPlaneId, first: most, held: [...held] },
      });
      refuseErrors(leaseCommands.errors);
      return leaseCommands.commands as Command[];
    },
    async completeCommands(results) {
      const { completeCommands } = await request(CompleteCommandsDocument, {
        input: { dataPlaneId, results },
      });
      refuseErrors(completeCommands.errors);
    },
    async feedStateKeys(after, first) {
      const { feedStateKeys } = await request(FeedStateKeysDocument, { after, first });
      return feedStateKeys as StateKeysPage;
    },
    async feedStates(known) {
      const { feedStates } = await request(FeedStatesDocument, { known });
      return feedStates as Awaited<ReturnType<ControlPlane["feedStates"]>>;
    },
    async report(events) {
      const { reportEvents } = await post<ReportEventsMutation>(reportTexts(dataPlaneId, events));
      return {
        confirmed: reportEvents.confirmed ?? [],
        problems: reportEvents.errors.flatMap(({ messages }) => messages),
      };
    },
    async reportKeyUse(uses) {
      const { reportKeyUse } = await request(ReportKeyUseDocument, { input: { dataPlaneId, uses } });
      refuseErrors(reportKeyUse.errors);
    },
    async confirmMasterKeys(held) {
      const { confirmMasterKeys } = await request(ConfirmMasterKeysDocument, {
        input: { dataPlaneId, ...held },
      });
      refuseErrors(confirmMasterKeys.errors);
    },
    async reportHeldBack(held) {
      const { reportHeldBackVersions } = await request(ReportHeldBackVersionsDocument, {
        input: { dataPlaneId, dataPlaneName: name, held },
      });
      refuseErrors(reportHeldBackVersions.errors);
      return reportHeldBackVersions.released ?? [];
    },
    async fetchBundle(digest) {
      const response = await fetch(`${url}/bundles/${digest}`, {
        headers: headers(),
        signal: AbortSignal.timeout(requestTimeoutMs),
      });
      // Asking again does not make it appear.
      if (response.status === 404)
        throw new BundleRefusedError(`The control plane has no package ${digest}.`);
      if (!response.ok)
        throw new Error(`The control plane answered ${response.status} for the bundle ${digest}.`);
      return Buffer.from(await response.arrayBuffer());
    },
  };
}

/** Nothing where something else than the control plane has answered. */
function answerOf<Result>(text: string): { data?: Result; errors?: { message: string }[] } {
  try {
    return JSON.parse(text) as { data?: Result };
  } catch {
    return {};
  }
}

function refuseErrors(errors: readonly PayloadError[]): void {
  if (errors.length > 0) throw new Error(errors.flatMap(({ messages }) => messages).join("; "));
}
