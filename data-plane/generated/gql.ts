/* eslint-disable */
import * as types from './graphql.ts';



/**
 * Map of all GraphQL operations in the project.
 *
 * This map has several performance disadvantages:
 * 1. It is not tree-shakeable, so it will include all operations in the project.
 * 2. It is not minifiable, so the string of a GraphQL query will be multiple times inside the bundle.
 * 3. It does not support dead code elimination, so it will add unused operations.
 *
 * Therefore it is highly recommended to use the babel or swc plugin for production.
 * Learn more about it here: https://the-guild.dev/graphql/codegen/plugins/presets/preset-client#reducing-bundle-size
 */
type Documents = {
    "\n  subscription feed($dataPlaneId: String!, $name: String!, $url: String) {\n    feed(dataPlaneId: $dataPlaneId, name: $name, url: $url) {\n      epoch\n      version\n      commandsWaiting\n    }\n  }\n": typeof types.FeedDocument,
    "\n  query feedChanges($epoch: String!, $since: Float!, $first: Int!) {\n    feedChanges(epoch: $epoch, since: $since, first: $first)\n  }\n": typeof types.FeedChangesDocument,
    "\n  mutation acknowledgeFeed($input: AcknowledgeFeedInput!) {\n    acknowledgeFeed(input: $input) {\n      errors {\n        field\n        messages\n      }\n    }\n  }\n": typeof types.AcknowledgeFeedDocument,
    "\n  mutation leaseCommands($input: LeaseCommandsInput!) {\n    leaseCommands(input: $input) {\n      commands\n      errors {\n        field\n        messages\n      }\n    }\n  }\n": typeof types.LeaseCommandsDocument,
    "\n  mutation completeCommands($input: CompleteCommandsInput!) {\n    completeCommands(input: $input) {\n      errors {\n        field\n        messages\n      }\n    }\n  }\n": typeof types.CompleteCommandsDocument,
    "\n  mutation reportEvents($input: ReportEventsInput!) {\n    reportEvents(input: $input) {\n      confirmed\n      errors {\n        field\n        messages\n      }\n    }\n  }\n": typeof types.ReportEventsDocument,
    "\n  query feedStateKeys($after: Float!, $first: Int!) {\n    feedStateKeys(after: $after, first: $first)\n  }\n": typeof types.FeedStateKeysDocument,
    "\n  query feedStates($known: JSON!) {\n    feedStates(known: $known)\n  }\n": typeof types.FeedStatesDocument,
    "\n  mutation reportKeyUse($input: ReportKeyUseInput!) {\n    reportKeyUse(input: $input) {\n      errors {\n        field\n        messages\n      }\n    }\n  }\n": typeof types.ReportKeyUseDocument,
    "\n  mutation confirmMasterKeys($input: ConfirmMasterKeysInput!) {\n    confirmMasterKeys(input: $input) {\n      errors {\n        field\n        messages\n      }\n    }\n  }\n": typeof types.ConfirmMasterKeysDocument,
    "\n  mutation reportHeldBackVersions($input: ReportHeldBackVersionsInput!) {\n    reportHeldBackVersions(input: $input) {\n      released\n      errors {\n        field\n        messages\n      }\n    }\n  }\n": typeof types.ReportHeldBackVersionsDocument,
};
const documents: Documents = {
    "\n  subscription feed($dataPlaneId: String!, $name: String!, $url: String) {\n    feed(dataPlaneId: $dataPlaneId, name: $name, url: $url) {\n      epoch\n      version\n      commandsWaiting\n    }\n  }\n": types.FeedDocument,
    "\n  query feedChanges($epoch: String!, $since: Float!, $first: Int!) {\n    feedChanges(epoch: $epoch, since: $since, first: $first)\n  }\n": types.FeedChangesDocument,
    "\n  mutation acknowledgeFeed($input: AcknowledgeFeedInput!) {\n    acknowledgeFeed(input: $input) {\n      errors {\n        field\n        messages\n      }\n    }\n  }\n": types.AcknowledgeFeedDocument,
    "\n  mutation leaseCommands($input: LeaseCommandsInput!) {\n    leaseCommands(input: $input) {\n      commands\n      errors {\n        field\n        messages\n      }\n    }\n  }\n": types.LeaseCommandsDocument,
    "\n  mutation completeCommands($input: CompleteCommandsInput!) {\n    completeCommands(input: $input) {\n      errors {\n        field\n        messages\n      }\n    }\n  }\n": types.CompleteCommandsDocument,
    "\n  mutation reportEvents($input: ReportEventsInput!) {\n    reportEvents(input: $input) {\n      confirmed\n      errors {\n        field\n        messages\n      }\n    }\n  }\n": types.ReportEventsDocument,
    "\n  query feedStateKeys($after: Float!, $first: Int!) {\n    feedStateKeys(after: $after, first: $first)\n  }\n": types.FeedStateKeysDocument,
    "\n  query feedStates($known: JSON!) {\n    feedStates(known: $known)\n  }\n": types.FeedStatesDocument,
    "\n  mutation reportKeyUse($input: ReportKeyUseInput!) {\n    reportKeyUse(input: $input) {\n      errors {\n        field\n        messages\n      }\n    }\n  }\n": types.ReportKeyUseDocument,
    "\n  mutation confirmMasterKeys($input: ConfirmMasterKeysInput!) {\n    confirmMasterKeys(input: $input) {\n      errors {\n        field\n        messages\n      }\n    }\n  }\n": types.ConfirmMasterKeysDocument,
    "\n  mutation reportHeldBackVersions($input: ReportHeldBackVersionsInput!) {\n    reportHeldBackVersions(input: $input) {\n      released\n      errors {\n        field\n        messages\n      }\n    }\n  }\n": types.ReportHeldBackVersionsDocument,
};

/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  subscription feed($dataPlaneId: String!, $name: String!, $url: String) {\n    feed(dataPlaneId: $dataPlaneId, name: $name, url: $url) {\n      epoch\n      version\n      commandsWaiting\n    }\n  }\n"): typeof import('./graphql.ts').FeedDocument;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  query feedChanges($epoch: String!, $since: Float!, $first: Int!) {\n    feedChanges(epoch: $epoch, since: $since, first: $first)\n  }\n"): typeof import('./graphql.ts').FeedChangesDocument;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  mutation acknowledgeFeed($input: AcknowledgeFeedInput!) {\n    acknowledgeFeed(input: $input) {\n      errors {\n        field\n        messages\n      }\n    }\n  }\n"): typeof import('./graphql.ts').AcknowledgeFeedDocument;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  mutation leaseCommands($input: LeaseCommandsInput!) {\n    leaseCommands(input: $input) {\n      commands\n      errors {\n        field\n        messages\n      }\n    }\n  }\n"): typeof import('./graphql.ts').LeaseCommandsDocument;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  mutation completeCommands($input: CompleteCommandsInput!) {\n    completeCommands(input: $input) {\n      errors {\n        field\n        messages\n      }\n    }\n  }\n"): typeof import('./graphql.ts').CompleteCommandsDocument;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  mutation reportEvents($input: ReportEventsInput!) {\n    reportEvents(input: $input) {\n      confirmed\n      errors {\n        field\n        messages\n      }\n    }\n  }\n"): typeof import('./graphql.ts').ReportEventsDocument;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  query feedStateKeys($after: Float!, $first: Int!) {\n    feedStateKeys(after: $after, first: $first)\n  }\n"): typeof import('./graphql.ts').FeedStateKeysDocument;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  query feedStates($known: JSON!) {\n    feedStates(known: $known)\n  }\n"): typeof import('./graphql.ts').FeedStatesDocument;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  mutation reportKeyUse($input: ReportKeyUseInput!) {\n    reportKeyUse(input: $input) {\n      errors {\n        field\n        messages\n      }\n    }\n  }\n"): typeof import('./graphql.ts').ReportKeyUseDocument;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  mutation confirmMasterKeys($input: ConfirmMasterKeysInput!) {\n    confirmMasterKeys(input: $input) {\n      errors {\n        field\n        messages\n      }\n    }\n  }\n"): typeof import('./graphql.ts').ConfirmMasterKeysDocument;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  mutation reportHeldBackVersions($input: ReportHeldBackVersionsInput!) {\n    reportHeldBackVersions(input: $input) {\n      released\n      errors {\n        field\n        messages\n      }\n    }\n  }\n"): typeof import('./graphql.ts').ReportHeldBackVersionsDocument;


export function graphql(source: string) {
  return (documents as any)[source] ?? {};
}
