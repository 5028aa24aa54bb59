/* eslint-disable */
/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
import type { DocumentTypeDecoration } from '@graphql-typed-document-node/core';
/** What publishComponent is given. */
export type PublishComponentInput = {
  /** The component's actions. */
  actions: Array<unknown>;
  /** JSON with facts on where the version comes from. */
  attributes?: string | null | undefined;
  /** Any text; the payload echoes it. */
  clientMutationId?: string | number | null | undefined;
  /** What is new in this version. */
  comment?: string | null | undefined;
  /** The component's connections. */
  connections?: Array<unknown> | null | undefined;
  /** The customer that the component is for. */
  customer?: string | number | null | undefined;
  /** The component's data sources. */
  dataSources?: Array<unknown> | null | undefined;
  /** The component itself. */
  definition: unknown;
  /** The component's triggers. */
  triggers?: Array<unknown> | null | undefined;
};

export type PublishComponentMutationVariables = Exact<{
  input: PublishComponentInput;
}>;


export type PublishComponentMutation = { publishComponent: { publishResult: { iconUploadUrl: string, packageUploadUrl: string, component: { id: string, versionNumber: number } } | null, errors: Array<{ field: string, messages: Array<string> }> } };

export type ComponentReadyQueryVariables = Exact<{
  key: string;
  versionNumber: number;
}>;


export type ComponentReadyQuery = { components: { nodes: Array<{ id: string }> } };

export type ImportIntegrationMutationVariables = Exact<{
  definition: string;
}>;


export type ImportIntegrationMutation = { importIntegration: { integration: { id: string } | null, errors: Array<{ field: string, messages: Array<string> }> } };

export type UploadMediaQueryVariables = Exact<{
  objectId: string | number;
  fileName: string;
}>;


export type UploadMediaQuery = { uploadMedia: { uploadUrl: string | null, objectUrl: string | null, error: string | null } };

export type SetAvatarMutationVariables = Exact<{
  id: string | number;
  avatarUrl: string;
}>;


export type SetAvatarMutation = { updateIntegration: { integration: { id: string } | null, errors: Array<{ field: string, messages: Array<string> }> } };

export type PublishIntegrationMutationVariables = Exact<{
  id: string | number;
  comment: string;
}>;


export type PublishIntegrationMutation = { publishIntegration: { integration: { id: string, versionNumber: number } | null, errors: Array<{ field: string, messages: Array<string> }> } };

export type FindIntegrationQueryVariables = Exact<{
  name: string;
}>;


export type FindIntegrationQuery = { integrations: { nodes: Array<{ id: string, name: string }> } };

export type VersionsQueryVariables = Exact<{
  id: string | number;
}>;


export type VersionsQuery = { integration: { versionSequence: { nodes: Array<{ id: string, versionNumber: number }> } } | null };

export type FindCustomerQueryVariables = Exact<{
  externalId: string;
}>;


export type FindCustomerQuery = { customers: { nodes: Array<{ id: string }> } };

export type CreateCustomerMutationVariables = Exact<{
  name: string;
  externalId: string;
}>;


export type CreateCustomerMutation = { createCustomer: { customer: { id: string } | null, errors: Array<{ field: string, messages: Array<string> }> } };

export type FindInstanceQueryVariables = Exact<{
  customer: string | number;
  integration: string | number;
}>;


export type FindInstanceQuery = { instances: { nodes: Array<{ id: string }> } };

export type CreateInstanceMutationVariables = Exact<{
  name: string;
  integration: string | number;
  customer: string | number;
}>;


export type CreateInstanceMutation = { createInstance: { instance: { id: string } | null, errors: Array<{ field: string, messages: Array<string> }> } };

export type DeployInstanceMutationVariables = Exact<{
  id: string | number;
}>;


export type DeployInstanceMutation = { deployInstance: { pendingDataPlanes: Array<string> | null, instance: { id: string, flowConfigs: { nodes: Array<{ id: string, webhookUrl: string, flow: { name: string } | null }> } } | null, errors: Array<{ field: string, messages: Array<string> }> } };

export type MasterKeysQueryVariables = Exact<{ [key: string]: never; }>;


export type MasterKeysQuery = { masterKeys: { fingerprints: Array<string>, dataPlanes: Array<{ id: string, name: string, isLive: boolean, fingerprints: Array<string>, inUse: Array<string>, servedVersion: number | null }> } };

export type ReloadMasterKeysMutationVariables = Exact<{ [key: string]: never; }>;


export type ReloadMasterKeysMutation = { reloadMasterKeys: { masterKeys: { fingerprints: Array<string> } | null, errors: Array<{ field: string, messages: Array<string> }> } };

export type ResealSecretsMutationVariables = Exact<{ [key: string]: never; }>;


export type ResealSecretsMutation = { resealSecrets: { resealedCount: number | null, isDone: boolean | null, feedVersion: number | null, errors: Array<{ field: string, messages: Array<string> }> } };

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

export const PublishComponentDocument = new TypedDocumentString(`
    mutation publishComponent($input: PublishComponentInput!) {
  publishComponent(input: $input) {
    publishResult {
      component {
        id
        versionNumber
      }
      iconUploadUrl
      packageUploadUrl
    }
    errors {
      field
      messages
    }
  }
}
    `) as unknown as TypedDocumentString<PublishComponentMutation, PublishComponentMutationVariables>;
export const ComponentReadyDocument = new TypedDocumentString(`
    query componentReady($key: String!, $versionNumber: Int!) {
  components(
    key: $key
    versionNumber: $versionNumber
    public: false
    includeComponentsForCodeNativeIntegrations: true
  ) {
    nodes {
      id
    }
  }
}
    `) as unknown as TypedDocumentString<ComponentReadyQuery, ComponentReadyQueryVariables>;
export const ImportIntegrationDocument = new TypedDocumentString(`
    mutation importIntegration($definition: String!) {
  importIntegration(input: { definition: $definition }) {
    integration {
      id
    }
    errors {
      field
      messages
    }
  }
}
    `) as unknown as TypedDocumentString<ImportIntegrationMutation, ImportIntegrationMutationVariables>;
export const UploadMediaDocument = new TypedDocumentString(`
    query uploadMedia($objectId: ID!, $fileName: String!) {
  uploadMedia(objectId: $objectId, fileName: $fileName, mediaType: AVATAR) {
    uploadUrl
    objectUrl
    error
  }
}
    `) as unknown as TypedDocumentString<UploadMediaQuery, UploadMediaQueryVariables>;
export const SetAvatarDocument = new TypedDocumentString(`
    mutation setAvatar($id: ID!, $avatarUrl: String!) {
  updateIntegration(input: { id: $id, avatarUrl: $avatarUrl }) {
    integration {
      id
    }
    errors {
      field
      messages
    }
  }
}
    `) as unknown as TypedDocumentString<SetAvatarMutation, SetAvatarMutationVariables>;
export const PublishIntegrationDocument = new TypedDocumentString(`
    mutation publishIntegration($id: ID!, $comment: String!) {
  publishIntegration(input: { id: $id, comment: $comment }) {
    integration {
      id
      versionNumber
    }
    errors {
      field
      messages
    }
  }
}
    `) as unknown as TypedDocumentString<PublishIntegrationMutation, PublishIntegrationMutationVariables>;
export const FindIntegrationDocument = new TypedDocumentString(`
    query findIntegration($name: String!) {
  integrations(name_Icontains: $name) {
    nodes {
      id
      name
    }
  }
}
    `) as unknown as TypedDocumentString<FindIntegrationQuery, FindIntegrationQueryVariables>;
export const VersionsDocument = new TypedDocumentString(`
    query versions($id: ID!) {
  integration(id: $id) {
    versionSequence(sortBy: [{ field: VERSION_NUMBER, direction: ASC }]) {
      nodes {
        id
        versionNumber
      }
    }
  }
}
    `) as unknown as TypedDocumentString<VersionsQuery, VersionsQueryVariables>;
export const FindCustomerDocument = new TypedDocumentString(`
    query findCustomer($externalId: String!) {
  customers(isSystem: false, externalId: $externalId) {
    nodes {
      id
    }
  }
}
    `) as unknown as TypedDocumentString<FindCustomerQuery, FindCustomerQueryVariables>;
export const CreateCustomerDocument = new TypedDocumentString(`
    mutation createCustomer($name: String!, $externalId: String!) {
  createCustomer(input: { name: $name, externalId: $externalId }) {
    customer {
      id
    }
    errors {
      field
      messages
    }
  }
}
    `) as unknown as TypedDocumentString<CreateCustomerMutation, CreateCustomerMutationVariables>;
export const FindInstanceDocument = new TypedDocumentString(`
    query findInstance($customer: ID!, $integration: ID!) {
  instances(customer: $customer, integration: $integration, isSystem: false) {
    nodes {
      id
    }
  }
}
    `) as unknown as TypedDocumentString<FindInstanceQuery, FindInstanceQueryVariables>;
export const CreateInstanceDocument = new TypedDocumentString(`
    mutation createInstance($name: String!, $integration: ID!, $customer: ID!) {
  createInstance(
    input: { name: $name, integration: $integration, customer: $customer }
  ) {
    instance {
      id
    }
    errors {
      field
      messages
    }
  }
}
    `) as unknown as TypedDocumentString<CreateInstanceMutation, CreateInstanceMutationVariables>;
export const DeployInstanceDocument = new TypedDocumentString(`
    mutation deployInstance($id: ID!) {
  deployInstance(input: { id: $id }) {
    instance {
      id
      flowConfigs {
        nodes {
          id
          webhookUrl
          flow {
            name
          }
        }
      }
    }
    pendingDataPlanes
    errors {
      field
      messages
    }
  }
}
    `) as unknown as TypedDocumentString<DeployInstanceMutation, DeployInstanceMutationVariables>;
export const MasterKeysDocument = new TypedDocumentString(`
    query masterKeys {
  masterKeys {
    fingerprints
    dataPlanes {
      id
      name
      isLive
      fingerprints
      inUse
      servedVersion
    }
  }
}
    `) as unknown as TypedDocumentString<MasterKeysQuery, MasterKeysQueryVariables>;
export const ReloadMasterKeysDocument = new TypedDocumentString(`
    mutation reloadMasterKeys {
  reloadMasterKeys(input: {  }) {
    masterKeys {
      fingerprints
    }
    errors {
      field
      messages
    }
  }
}
    `) as unknown as TypedDocumentString<ReloadMasterKeysMutation, ReloadMasterKeysMutationVariables>;
export const ResealSecretsDocument = new TypedDocumentString(`
    mutation resealSecrets {
  resealSecrets(input: {  }) {
    resealedCount
    isDone
    feedVersion
    errors {
      field
      messages
    }
  }
}
    `) as unknown as TypedDocumentString<ResealSecretsMutation, ResealSecretsMutationVariables>;