/** The flows of a draft or version. */

import type { Step } from "../../shared/definition.ts";
import { securityTypeOf } from "../../shared/definition.ts";
import { type Context, isOrganization } from "../context.ts";
import { componentOfStep, findAction, partsOf } from "../store/components.ts";
import { builder } from "./builder.ts";
import { Action, type ActionItem } from "./components.ts";
import { pageOfList } from "./connections.ts";
import { inputId } from "./inputs.ts";
import { findFlow, flowsOf, visibleIntegration } from "./integrationItems.ts";
import { type FlowItem, Integration, IntegrationFlow } from "./refs.ts";

export const EndpointSecurityType = builder.enumType("EndpointSecurityType", {
  description: "Who must send an API key to a flow.",
  values: {
    UNSECURED: { value: "unsecured", description: "No key is looked at." },
    CUSTOMER_OPTIONAL: {
      value: "customer_optional",
      description: "Where the instance's flow has keys, one is needed.",
    },
    CUSTOMER_REQUIRED: {
      value: "customer_required",
      description: "One of the instance's keys is needed; without one it can't be deployed.",
    },
    ORGANIZATION: {
      value: "organization",
      description: "One of the organization's keys for the flow is needed.",
    },
  } as const,
});

/** A step of a flow with the bundles of its definition. */
interface StepItem {
  step: Step;
  bundles: Record<string, string>;
}

const IntegrationStep = builder.objectRef<StepItem>("IntegrationAction").implement({
  description: "A step of a flow.",
  fields: (t) => ({
    name: t.string({ description: "The step's name.", resolve: ({ step }) => step.name }),
    stableKey: t.string({
      description: "What the step is known by over versions.",
      resolve: ({ step }) => step.stableKey,
    }),
    isTrigger: t.boolean({
      description: "Whether it is the flow's trigger.",
      resolve: ({ step }) => step.isTrigger,
    }),
    action: t.field({
      type: Action,
      description: "The component's action that the step runs.",
      authScopes: { organization: true },
      resolve: ({ step, bundles }, _args, { store }) => actionOfStep(store.config, step, bundles),
    }),
  }),
});

builder.node(IntegrationFlow, {
  description: "A flow of an integration: a trigger and further steps.",
  authScopes: { signedIn: true },
  id: { resolve: (item) => item.id },
  loadOne: (id, context) => visibleFlow(context, id),
  fields: (t) => ({
    name: t.string({ description: "The flow's name.", resolve: ({ flow }) => flow.name }),
    description: t.string({ description: "What the flow does.", resolve: ({ flow }) => flow.description }),
    stableKey: t.string({
      description: "What the flow's URL, keys and state belong to; survives a new name and a new version.",
      resolve: ({ flow }) => flow.stableKey,
    }),
    isSynchronous: t.boolean({
      description: "Whether the sender is answered with the last step's result.",
      resolve: ({ flow }) => flow.isSynchronous,
    }),
    isPreprocess: t.boolean({
      description: "Whether it is the preprocess flow, which says where a webhook goes.",
      resolve: ({ flow, definition }) => definition.preprocessFlow === flow.stableKey,
    }),
    endpointSecurityType: t.field({
      type: EndpointSecurityType,
      description: "Who must send an API key to the flow.",
      resolve: ({ flow, definition }) => securityTypeOf(definition, flow),
    }),
    acceptedContentTypes: t.stringList({
      nullable: true,
      description: "The content types that the flow accepts; null where it accepts all.",
      resolve: ({ flow }) => flow.acceptedContentTypes,
    }),
    integration: t.field({
      type: Integration,
      description: "The draft or version that the flow belongs to.",
      resolve: ({ owner }) => owner,
    }),
    trigger: t.field({
      type: IntegrationStep,
      description: "The flow's first step.",
      resolve: ({ flow, definition }) => ({ step: flow.steps[0]!, bundles: definition.bundles }),
    }),
    steps: t.field({
      type: [IntegrationStep],
      description: "All steps of the flow, the trigger first.",
      resolve: ({ flow, definition }) => flow.steps.map((step) => ({ step, bundles: definition.bundles })),
    }),
    testUrl: t.string({
      nullable: true,
      description: "Runs this one flow of the draft for the test customer, whatever the endpoint type.",
      resolve: async (item, _args, context) => (isOrganization(context) ? testUrl(context, item) : null),
    }),
  }),
});

export const FlowConnection = builder.connectionObject(
  { type: IntegrationFlow, name: "IntegrationFlowConnection", description: "A page of flows." },
  { name: "IntegrationFlowEdge", description: "A flow with its cursor." },
);

builder.objectField(Integration, "flows", (t) =>
  t.connection(
    {
      type: IntegrationFlow,
      description: "The flows, in the definition's order.",
      resolve: async (item, args, { store }) => pageOfList(await flowsOf(store.config, item), args),
    },
    FlowConnection,
  ),
);

builder.queryField("integrationFlow", (t) =>
  t.field({
    type: IntegrationFlow,
    nullable: true,
    description: "One flow of a draft or version.",
    authScopes: { signedIn: true },
    args: { id: t.arg.id({ required: true, description: "The flow's id." }) },
    resolve: (_root, args, context) => {
      const id = inputId("IntegrationFlow", args.id);
      return id === null ? null : visibleFlow(context, id);
    },
  }),
);

async function visibleFlow(context: Context, id: string): Promise<FlowItem | null> {
  const item = await findFlow(context.store.config, id);
  if (item === null) return null;
  const owner = await visibleIntegration(context, item.owner.version?.id ?? item.owner.integration.id);
  return owner === null ? null : item;
}

async function testUrl({ store, urls }: Context, { owner, flow }: FlowItem): Promise<string | null> {
  const config = await store.config
    .selectFrom("instanceFlowConfigs")
    .innerJoin("instances", "instances.id", "instanceFlowConfigs.instanceId")
    .select("instanceFlowConfigs.token")
    .where("instances.integrationId", "=", owner.integration.id)
    .where("instances.isSystem", "=", 1)
    .where("instanceFlowConfigs.stableKey", "=", flow.stableKey)
    .executeTakeFirst();
  return config === undefined ? null : urls.webhook(config.token);
}

/** The action of the component's version that the definition runs on; of a deleted one, what the definition says. */
async function actionOfStep(
  database: Context["store"]["config"],
  { action, isTrigger }: Step,
  bundles: Record<string, string>,
): Promise<ActionItem> {
  const component = await componentOfStep(database, action, bundles);
  const kind = isTrigger ? "trigger" : "action";
  const part =
    component === null ? undefined : findAction(await partsOf(database, component), action.key, isTrigger);
  return {
    component: component ?? deletedComponent(action.componentKey),
    kind,
    part: part ?? { key: action.key },
  };
}

const deletedComponent = (key: string): ActionItem["component"] => ({
  id: `deleted-${key}`,
  key,
  versionNumber: 0,
  isCodeNative: 0,
  label: key,
  description: "This component was deleted.",
  category: "",
  documentationUrl: "",
  customerId: null,
  comment: "",
  attributesJson: null,
  iconUrl: null,
  status: "REFUSED",
  refusal: null,
  signature: null,
  digest: null,
  createdAtMs: 0,
  createdByUserId: null,
  isBuiltIn: false,
});
