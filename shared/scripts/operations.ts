/** The GraphQL operations of the scripts. `npm run codegen` types them from schema.graphql. */
import { graphql } from "./generated/gql.ts";

export const publishComponentMutation = graphql(`
  mutation publishComponent($input: PublishComponentInput!) {
    publishComponent(input: $input) {
      publishResult { component { id versionNumber } iconUploadUrl packageUploadUrl }
      errors { field messages }
    }
  }
`);

export const componentReadyQuery = graphql(`
  query componentReady($key: String!, $versionNumber: Int!) {
    components(key: $key, versionNumber: $versionNumber, public: false, includeComponentsForCodeNativeIntegrations: true) {
      nodes { id }
    }
  }
`);

export const importIntegrationMutation = graphql(`
  mutation importIntegration($definition: String!) {
    importIntegration(input: { definition: $definition }) {
      integration { id }
      errors { field messages }
    }
  }
`);

export const uploadMediaQuery = graphql(`
  query uploadMedia($objectId: ID!, $fileName: String!) {
    uploadMedia(objectId: $objectId, fileName: $fileName, mediaType: AVATAR) { uploadUrl objectUrl error }
  }
`);

export const setAvatarMutation = graphql(`
  mutation setAvatar($id: ID!, $avatarUrl: String!) {
    updateIntegration(input: { id: $id, avatarUrl: $avatarUrl }) {
      integration { id }
      errors { field messages }
    }
  }
`);

export const publishIntegrationMutation = graphql(`
  mutation publishIntegration($id: ID!, $comment: String!) {
    publishIntegration(input: { id: $id, comment: $comment }) {
      integration { id versionNumber }
      errors { field messages }
    }
  }
`);

export const findIntegrationQuery = graphql(`
  query findIntegration($name: String!) {
    integrations(name_Icontains: $name) {
      nodes { id name }
    }
  }
`);

export const versionsQuery = graphql(`
  query versions($id: ID!) {
    integration(id: $id) {
      versionSequence(sortBy: [{ field: VERSION_NUMBER, direction: ASC }]) { nodes { id versionNumber } }
    }
  }
`);

export const findCustomerQuery = graphql(`
  query findCustomer($externalId: String!) {
    customers(isSystem: false, externalId: $externalId) { nodes { id } }
  }
`);

export const createCustomerMutation = graphql(`
  mutation createCustomer($name: String!, $externalId: String!) {
    createCustomer(input: { name: $name, externalId: $externalId }) {
      customer { id }
      errors { field messages }
    }
  }
`);

export const findInstanceQuery = graphql(`
  query findInstance($customer: ID!, $integration: ID!) {
    instances(customer: $customer, integration: $integration, isSystem: false) { nodes { id } }
  }
`);

export const createInstanceMutation = graphql(`
  mutation createInstance($name: String!, $integration: ID!, $customer: ID!) {
    createInstance(input: { name: $name, integration: $integration, customer: $customer }) {
      instance { id }
      errors { field messages }
    }
  }
`);

export const deployInstanceMutation = graphql(`
  mutation deployInstance($id: ID!) {
    deployInstance(input: { id: $id }) {
      instance { id flowConfigs { nodes { id webhookUrl flow { name } } } }
      pendingDataPlanes
      errors { field messages }
    }
  }
`);

export const masterKeysQuery = graphql(`
  query masterKeys {
    masterKeys {
      fingerprints
      dataPlanes { id name isLive fingerprints inUse servedVersion }
    }
  }
`);

export const reloadMasterKeysMutation = graphql(`
  mutation reloadMasterKeys {
    reloadMasterKeys(input: {}) {
      masterKeys { fingerprints }
      errors { field messages }
    }
  }
`);

export const resealSecretsMutation = graphql(`
  mutation resealSecrets {
    resealSecrets(input: {}) {
      resealedCount
      isDone
      feedVersion
      errors { field messages }
    }
  }
`);
