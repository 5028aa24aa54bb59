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
    "\n  mutation publishComponent($input: PublishComponentInput!) {\n    publishComponent(input: $input) {\n      publishResult { component { id versionNumber } iconUploadUrl packageUploadUrl }\n      errors { field messages }\n    }\n  }\n": typeof types.PublishComponentDocument,
    "\n  query componentReady($key: String!, $versionNumber: Int!) {\n    components(key: $key, versionNumber: $versionNumber, public: false, includeComponentsForCodeNativeIntegrations: true) {\n      nodes { id }\n    }\n  }\n": typeof types.ComponentReadyDocument,
    "\n  mutation importIntegration($definition: String!) {\n    importIntegration(input: { definition: $definition }) {\n      integration { id }\n      errors { field messages }\n    }\n  }\n": typeof types.ImportIntegrationDocument,
    "\n  query uploadMedia($objectId: ID!, $fileName: String!) {\n    uploadMedia(objectId: $objectId, fileName: $fileName, mediaType: AVATAR) { uploadUrl objectUrl error }\n  }\n": typeof types.UploadMediaDocument,
    "\n  mutation setAvatar($id: ID!, $avatarUrl: String!) {\n    updateIntegration(input: { id: $id, avatarUrl: $avatarUrl }) {\n      integration { id }\n      errors { field messages }\n    }\n  }\n": typeof types.SetAvatarDocument,
    "\n  mutation publishIntegration($id: ID!, $comment: String!) {\n    publishIntegration(input: { id: $id, comment: $comment }) {\n      integration { id versionNumber }\n      errors { field messages }\n    }\n  }\n": typeof types.PublishIntegrationDocument,
    "\n  query findIntegration($name: String!) {\n    integrations(name_Icontains: $name) {\n      nodes { id name }\n    }\n  }\n": typeof types.FindIntegrationDocument,
    "\n  query versions($id: ID!) {\n    integration(id: $id) {\n      versionSequence(sortBy: [{ field: VERSION_NUMBER, direction: ASC }]) { nodes { id versionNumber } }\n    }\n  }\n": typeof types.VersionsDocument,
    "\n  query findCustomer($externalId: String!) {\n    customers(isSystem: false, externalId: $externalId) { nodes { id } }\n  }\n": typeof types.FindCustomerDocument,
    "\n  mutation createCustomer($name: String!, $externalId: String!) {\n    createCustomer(input: { name: $name, externalId: $externalId }) {\n      customer { id }\n      errors { field messages }\n    }\n  }\n": typeof types.CreateCustomerDocument,
    "\n  query findInstance($customer: ID!, $integration: ID!) {\n    instances(customer: $customer, integration: $integration, isSystem: false) { nodes { id } }\n  }\n": typeof types.FindInstanceDocument,
    "\n  mutation createInstance($name: String!, $integration: ID!, $customer: ID!) {\n    createInstance(input: { name: $name, integration: $integration, customer: $customer }) {\n      instance { id }\n      errors { field messages }\n    }\n  }\n": typeof types.CreateInstanceDocument,
    "\n  mutation deployInstance($id: ID!) {\n    deployInstance(input: { id: $id }) {\n      instance { id flowConfigs { nodes { id webhookUrl flow { name } } } }\n      pendingDataPlanes\n      errors { field messages }\n    }\n  }\n": typeof types.DeployInstanceDocument,
    "\n  query masterKeys {\n    masterKeys {\n      fingerprints\n      dataPlanes { id name isLive fingerprints inUse servedVersion }\n    }\n  }\n": typeof types.MasterKeysDocument,
    "\n  mutation reloadMasterKeys {\n    reloadMasterKeys(input: {}) {\n      masterKeys { fingerprints }\n      errors { field messages }\n    }\n  }\n": typeof types.ReloadMasterKeysDocument,
    "\n  mutation resealSecrets {\n    resealSecrets(input: {}) {\n      resealedCount\n      isDone\n      feedVersion\n      errors { field messages }\n    }\n  }\n": typeof types.ResealSecretsDocument,
};
const documents: Documents = {
    "\n  mutation publishComponent($input: PublishComponentInput!) {\n    publishComponent(input: $input) {\n      publishResult { component { id versionNumber } iconUploadUrl packageUploadUrl }\n      errors { field messages }\n    }\n  }\n": types.PublishComponentDocument,
    "\n  query componentReady($key: String!, $versionNumber: Int!) {\n    components(key: $key, versionNumber: $versionNumber, public: false, includeComponentsForCodeNativeIntegrations: true) {\n      nodes { id }\n    }\n  }\n": types.ComponentReadyDocument,
    "\n  mutation importIntegration($definition: String!) {\n    importIntegration(input: { definition: $definition }) {\n      integration { id }\n      errors { field messages }\n    }\n  }\n": types.ImportIntegrationDocument,
    "\n  query uploadMedia($objectId: ID!, $fileName: String!) {\n    uploadMedia(objectId: $objectId, fileName: $fileName, mediaType: AVATAR) { uploadUrl objectUrl error }\n  }\n": types.UploadMediaDocument,
    "\n  mutation setAvatar($id: ID!, $avatarUrl: String!) {\n    updateIntegration(input: { id: $id, avatarUrl: $avatarUrl }) {\n      integration { id }\n      errors { field messages }\n    }\n  }\n": types.SetAvatarDocument,
    "\n  mutation publishIntegration($id: ID!, $comment: String!) {\n    publishIntegration(input: { id: $id, comment: $comment }) {\n      integration { id versionNumber }\n      errors { field messages }\n    }\n  }\n": types.PublishIntegrationDocument,
    "\n  query findIntegration($name: String!) {\n    integrations(name_Icontains: $name) {\n      nodes { id name }\n    }\n  }\n": types.FindIntegrationDocument,
    "\n  query versions($id: ID!) {\n    integration(id: $id) {\n      versionSequence(sortBy: [{ field: VERSION_NUMBER, direction: ASC }]) { nodes { id versionNumber } }\n    }\n  }\n": types.VersionsDocument,
    "\n  query findCustomer($externalId: String!) {\n    customers(isSystem: false, externalId: $externalId) { nodes { id } }\n  }\n": types.FindCustomerDocument,
    "\n  mutation createCustomer($name: String!, $externalId: String!) {\n    createCustomer(input: { name: $name, externalId: $externalId }) {\n      customer { id }\n      errors { field messages }\n    }\n  }\n": types.CreateCustomerDocument,
    "\n  query findInstance($customer: ID!, $integration: ID!) {\n    instances(customer: $customer, integration: $integration, isSystem: false) { nodes { id } }\n  }\n": types.FindInstanceDocument,
    "\n  mutation createInstance($name: String!, $integration: ID!, $customer: ID!) {\n    createInstance(input: { name: $name, integration: $integration, customer: $customer }) {\n      instance { id }\n      errors { field messages }\n    }\n  }\n": types.CreateInstanceDocument,
    "\n  mutation deployInstance($id: ID!) {\n    deployInstance(input: { id: $id }) {\n      instance { id flowConfigs { nodes { id webhookUrl flow { name } } } }\n      pendingDataPlanes\n      errors { field messages }\n    }\n  }\n": types.DeployInstanceDocument,
    "\n  query masterKeys {\n    masterKeys {\n      fingerprints\n      dataPlanes { id name isLive fingerprints inUse servedVersion }\n    }\n  }\n": types.MasterKeysDocument,
    "\n  mutation reloadMasterKeys {\n    reloadMasterKeys(input: {}) {\n      masterKeys { fingerprints }\n      errors { field messages }\n    }\n  }\n": types.ReloadMasterKeysDocument,
    "\n  mutation resealSecrets {\n    resealSecrets(input: {}) {\n      resealedCount\n      isDone\n      feedVersion\n      errors { field messages }\n    }\n  }\n": types.ResealSecretsDocument,
};

/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  mutation publishComponent($input: PublishComponentInput!) {\n    publishComponent(input: $input) {\n      publishResult { component { id versionNumber } iconUploadUrl packageUploadUrl }\n      errors { field messages }\n    }\n  }\n"): typeof import('./graphql.ts').PublishComponentDocument;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  query componentReady($key: String!, $versionNumber: Int!) {\n    components(key: $key, versionNumber: $versionNumber, public: false, includeComponentsForCodeNativeIntegrations: true) {\n      nodes { id }\n    }\n  }\n"): typeof import('./graphql.ts').ComponentReadyDocument;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  mutation importIntegration($definition: String!) {\n    importIntegration(input: { definition: $definition }) {\n      integration { id }\n      errors { field messages }\n    }\n  }\n"): typeof import('./graphql.ts').ImportIntegrationDocument;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  query uploadMedia($objectId: ID!, $fileName: String!) {\n    uploadMedia(objectId: $objectId, fileName: $fileName, mediaType: AVATAR) { uploadUrl objectUrl error }\n  }\n"): typeof import('./graphql.ts').UploadMediaDocument;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  mutation setAvatar($id: ID!, $avatarUrl: String!) {\n    updateIntegration(input: { id: $id, avatarUrl: $avatarUrl }) {\n      integration { id }\n      errors { field messages }\n    }\n  }\n"): typeof import('./graphql.ts').SetAvatarDocument;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  mutation publishIntegration($id: ID!, $comment: String!) {\n    publishIntegration(input: { id: $id, comment: $comment }) {\n      integration { id versionNumber }\n      errors { field messages }\n    }\n  }\n"): typeof import('./graphql.ts').PublishIntegrationDocument;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  query findIntegration($name: String!) {\n    integrations(name_Icontains: $name) {\n      nodes { id name }\n    }\n  }\n"): typeof import('./graphql.ts').FindIntegrationDocument;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  query versions($id: ID!) {\n    integration(id: $id) {\n      versionSequence(sortBy: [{ field: VERSION_NUMBER, direction: ASC }]) { nodes { id versionNumber } }\n    }\n  }\n"): typeof import('./graphql.ts').VersionsDocument;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  query findCustomer($externalId: String!) {\n    customers(isSystem: false, externalId: $externalId) { nodes { id } }\n  }\n"): typeof import('./graphql.ts').FindCustomerDocument;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  mutation createCustomer($name: String!, $externalId: String!) {\n    createCustomer(input: { name: $name, externalId: $externalId }) {\n      customer { id }\n      errors { field messages }\n    }\n  }\n"): typeof import('./graphql.ts').CreateCustomerDocument;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  query findInstance($customer: ID!, $integration: ID!) {\n    instances(customer: $customer, integration: $integration, isSystem: false) { nodes { id } }\n  }\n"): typeof import('./graphql.ts').FindInstanceDocument;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  mutation createInstance($name: String!, $integration: ID!, $customer: ID!) {\n    createInstance(input: { name: $name, integration: $integration, customer: $customer }) {\n      instance { id }\n      errors { field messages }\n    }\n  }\n"): typeof import('./graphql.ts').CreateInstanceDocument;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  mutation deployInstance($id: ID!) {\n    deployInstance(input: { id: $id }) {\n      instance { id flowConfigs { nodes { id webhookUrl flow { name } } } }\n      pendingDataPlanes\n      errors { field messages }\n    }\n  }\n"): typeof import('./graphql.ts').DeployInstanceDocument;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  query masterKeys {\n    masterKeys {\n      fingerprints\n      dataPlanes { id name isLive fingerprints inUse servedVersion }\n    }\n  }\n"): typeof import('./graphql.ts').MasterKeysDocument;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  mutation reloadMasterKeys {\n    reloadMasterKeys(input: {}) {\n      masterKeys { fingerprints }\n      errors { field messages }\n    }\n  }\n"): typeof import('./graphql.ts').ReloadMasterKeysDocument;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  mutation resealSecrets {\n    resealSecrets(input: {}) {\n      resealedCount\n      isDone\n      feedVersion\n      errors { field messages }\n    }\n  }\n"): typeof import('./graphql.ts').ResealSecretsDocument;


export function graphql(source: string) {
  return (documents as any)[source] ?? {};
}
