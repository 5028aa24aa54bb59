/* eslint-disable */
/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
import type { DocumentTypeDecoration } from '@graphql-typed-document-node/core';
/** What acknowledgeFeed is given. */
export type AcknowledgeFeedInput = {
  /** Any text; the payload echoes it. */
  clientMutationId?: string | number | null | undefined;
  /** The data plane's own id. */
  dataPlaneId: string;
  /** The epoch of the version. */
  epoch: string;
  /** The data plane's name, for people. */
  name: string;
  /** The version that it serves. */
  version: number;
};

/** What completeCommands is given. */
export type CompleteCommandsInput = {
  /** Any text; the payload echoes it. */
  clientMutationId?: string | number | null | undefined;
  /** The data plane that carried them out. */
  dataPlaneId: string;
  /** A list of {id, error, result}; error is null where it went well, result is JSON where something was asked for. */
  results: unknown;
};

/** What confirmMasterKeys is given. */
export type ConfirmMasterKeysInput = {
  /** Any text; the payload echoes it. */
  clientMutationId?: string | number | null | undefined;
  /** The data plane's own id. */
  dataPlaneId: string;
  /** The keys that it holds. */
  fingerprints: Array<string>;
  /** Of them the keys that webhooks which it accepted and has not finished may need. */
  inUse: Array<string>;
  /** The version of the feed that it served when it looked. */
  servedVersion: number;
};

/** What leaseCommands is given. */
export type LeaseCommandsInput = {
  /** Any text; the payload echoes it. */
  clientMutationId?: string | number | null | undefined;
  /** The data plane that will carry them out. */
  dataPlaneId: string;
  /** How many at most, up to 100. */
  first: number;
  /** The commands that it has in hand, 1000 at most. What it leased besides was lost on the way or with its process, and is queued again at once. Where this is missing, such a command waits until its lease runs out. */
  held?: Array<string> | null | undefined;
};

/** What reportEvents is given. */
export type ReportEventsInput = {
  /** Any text; the payload echoes it. */
  clientMutationId?: string | number | null | undefined;
  /** The data plane that reports. */
  dataPlaneId: string;
  /** A list of events, at most 1000; the same event may come again. */
  events: unknown;
};

/** What reportHeldBackVersions is given. */
export type ReportHeldBackVersionsInput = {
  /** Any text; the payload echoes it. */
  clientMutationId?: string | number | null | undefined;
  /** The data plane's own id. */
  dataPlaneId: string;
  /** What it is called. */
  dataPlaneName: string;
  /** A list of {integrationId, versionId, threadsLost, reason, sinceMs, untilMs, waiting}, at most 1000. */
  held: unknown;
};

/** What reportKeyUse is given. */
export type ReportKeyUseInput = {
  /** Any text; the payload echoes it. */
  clientMutationId?: string | number | null | undefined;
  /** The data plane that reports. */
  dataPlaneId: string;
  /** A list of {keyId, lastUsedAtMs}, at most 1000; the same use may come again. */
  uses: unknown;
};

export type FeedSubscriptionVariables = Exact<{
  dataPlaneId: string;
  name: string;
  url?: string | null | undefined;
}>;


export type FeedSubscription = { feed: { epoch: string, version: number, commandsWaiting: boolean } };

export type FeedChangesQueryVariables = Exact<{
  epoch: string;
  since: number;
  first: number;
}>;


export type FeedChangesQuery = { feedChanges: unknown };

export type AcknowledgeFeedMutationVariables = Exact<{
  input: AcknowledgeFeedInput;
}>;


export type AcknowledgeFeedMutation = { acknowledgeFeed: { errors: Array<{ field: string, messages: Array<string> }> } };

export type LeaseCommandsMutationVariables = Exact<{
  input: LeaseCommandsInput;
}>;


export type LeaseCommandsMutation = { leaseCommands: { commands: unknown, errors: Array<{ field: string, messages: Array<string> }> } };

export type CompleteCommandsMutationVariables = Exact<{
  input: CompleteCommandsInput;
}>;


export type CompleteCommandsMutation = { completeCommands: { errors: Array<{ field: string, messages: Array<string> }> } };

export type ReportEventsMutationVariables = Exact<{
  input: ReportEventsInput;
}>;


export type ReportEventsMutation = { reportEvents: { confirmed: Array<string> | null, errors: Array<{ field: string, messages: Array<string> }> } };

export type FeedStateKeysQueryVariables = Exact<{
  after: number;
  first: number;
}>;


export type FeedStateKeysQuery = { feedStateKeys: unknown };

export type FeedStatesQueryVariables = Exact<{
  known: unknown;
}>;


export type FeedStatesQuery = { feedStates: unknown };

export type ReportKeyUseMutationVariables = Exact<{
  input: ReportKeyUseInput;
}>;


export type ReportKeyUseMutation = { reportKeyUse: { errors: Array<{ field: string, messages: Array<string> }> } };

export type ConfirmMasterKeysMutationVariables = Exact<{
  input: ConfirmMasterKeysInput;
}>;


export type ConfirmMasterKeysMutation = { confirmMasterKeys: { errors: Array<{ field: string, messages: Array<string> }> } };

export type ReportHeldBackVersionsMutationVariables = Exact<{
  input: ReportHeldBackVersionsInput;
}>;


export type ReportHeldBackVersionsMutation = { reportHeldBackVersions: { released: Array<string> | null, errors: Array<{ field: string, messages: Array<string> }> } };

export class TypedDocumentString<TResult, TVariables>
  extends String
  implements DocumentTypeDecoration<TResult, TVariables>
{
  __apiType?: NonNullable<DocumentTypeDecoration<TResult, TVariables>['__apiType']>;
  private value: string;
  public __meta__?: Record<string, any> | undefined;

  constructor(value: string, __meta__?: Record<string, any> | undefined) {
    super(value);
    this.value = value;
    this.__meta__ = __meta__;
  }

  override toString(): string & DocumentTypeDecoration<TResult, TVariables> {
    return this.value;
  }
}

export const FeedDocument = new TypedDocumentString(`
    subscription feed($dataPlaneId: String!, $name: String!, $url: String) {
  feed(dataPlaneId: $dataPlaneId, name: $name, url: $url) {
    epoch
    version
    commandsWaiting
  }
}
    `) as unknown as TypedDocumentString<FeedSubscription, FeedSubscriptionVariables>;
export const FeedChangesDocument = new TypedDocumentString(`
    query feedChanges($epoch: String!, $since: Float!, $first: Int!) {
  feedChanges(epoch: $epoch, since: $since, first: $first)
}
    `) as unknown as TypedDocumentString<FeedChangesQuery, FeedChangesQueryVariables>;
export const AcknowledgeFeedDocument = new TypedDocumentString(`
    mutation acknowledgeFeed($input: AcknowledgeFeedInput!) {
  acknowledgeFeed(input: $input) {
    errors {
      field
      messages
    }
  }
}
    `) as unknown as TypedDocumentString<AcknowledgeFeedMutation, AcknowledgeFeedMutationVariables>;
export const LeaseCommandsDocument = new TypedDocumentString(`
    mutation leaseCommands($input: LeaseCommandsInput!) {
  leaseCommands(input: $input) {
    commands
    errors {
      field
      messages
    }
  }
}
    `) as unknown as TypedDocumentString<LeaseCommandsMutation, LeaseCommandsMutationVariables>;
export const CompleteCommandsDocument = new TypedDocumentString(`
    mutation completeCommands($input: CompleteCommandsInput!) {
  completeCommands(input: $input) {
    errors {
      field
      messages
    }
  }
}
    `) as unknown as TypedDocumentString<CompleteCommandsMutation, CompleteCommandsMutationVariables>;
export const ReportEventsDocument = new TypedDocumentString(`
    mutation reportEvents($input: ReportEventsInput!) {
  reportEvents(input: $input) {
    confirmed
    errors {
      field
      messages
    }
  }
}
    `) as unknown as TypedDocumentString<ReportEventsMutation, ReportEventsMutationVariables>;
export const FeedStateKeysDocument = new TypedDocumentString(`
    query feedStateKeys($after: Float!, $first: Int!) {
  feedStateKeys(after: $after, first: $first)
}
    `) as unknown as TypedDocumentString<FeedStateKeysQuery, FeedStateKeysQueryVariables>;
export const FeedStatesDocument = new TypedDocumentString(`
    query feedStates($known: JSON!) {
  feedStates(known: $known)
}
    `) as unknown as TypedDocumentString<FeedStatesQuery, FeedStatesQueryVariables>;
export const ReportKeyUseDocument = new TypedDocumentString(`
    mutation reportKeyUse($input: ReportKeyUseInput!) {
  reportKeyUse(input: $input) {
    errors {
      field
      messages
    }
  }
}
    `) as unknown as TypedDocumentString<ReportKeyUseMutation, ReportKeyUseMutationVariables>;
export const ConfirmMasterKeysDocument = new TypedDocumentString(`
    mutation confirmMasterKeys($input: ConfirmMasterKeysInput!) {
  confirmMasterKeys(input: $input) {
    errors {
      field
      messages
    }
  }
}
    `) as unknown as TypedDocumentString<ConfirmMasterKeysMutation, ConfirmMasterKeysMutationVariables>;
export const ReportHeldBackVersionsDocument = new TypedDocumentString(`
    mutation reportHeldBackVersions($input: ReportHeldBackVersionsInput!) {
  reportHeldBackVersions(input: $input) {
    released
    errors {
      field
      messages
    }
  }
}
    `) as unknown as TypedDocumentString<ReportHeldBackVersionsMutation, ReportHeldBackVersionsMutationVariables>;