/** Listening to a draft: third parties are told to send their webhooks to the instance that tests it. */
import type { Context } from "../context.ts";
import { runListeningHooks } from "../lifecycle.ts";
import { configuredVersionOf } from "../store/configuredVersions.ts";
import { deployedFlows } from "../store/invokedFlows.ts";
import { type FlowLifecycle, lifecycleOf } from "../store/lifecycle.ts";
import { exclusivelyFor } from "./deploys.ts";
import { draftOf, requiredIntegration } from "./integrationItems.ts";
import { InputError, mutation, wholeInput } from "./payloads.ts";
import { Integration } from "./refs.ts";

mutation("updateWorkflowTestConfiguration", {
  description:
    "Begins or ends listening to a draft: runs webhookLifecycleHandlers.create or .delete of its flows' triggers, as tests.",
  authScopes: { admin: true },
  input: (t) => ({
    id: t.id({ required: true, description: "The integration." }),
    listeningMode: t.boolean({
      description: "True to begin, false to end; nothing is done where it is left out.",
    }),
  }),
  resolve: async (input, context) => {
    const { integration } = await requiredIntegration(context.store.config, input.id, "id");
    if (input.listeningMode != null) await listen(context, integration.id, input.listeningMode);
    return { integration: draftOf(integration) };
  },
  output: (t) => ({
    integration: t.expose("integration", {
      type: Integration,
      nullable: true,
      description: "The integration's draft.",
    }),
  }),
});

async function listen(context: Context, integrationId: string, isListening: boolean): Promise<void> {
  const { store } = context;
  const instance = await store.config
    .selectFrom("instances")
    .selectAll()
    .where("integrationId", "=", integrationId)
    .where("isSystem", "=", 1)
    .executeTakeFirst();
  const configured = instance === undefined ? null : await configuredVersionOf(store.config, instance);
  if (instance === undefined || configured === null)
    throw new InputError("id", "The integration's draft is empty: import a definition first.");
  const flows = await deployedFlows(store.config, instance, configured);
  const lifecycle: FlowLifecycle[] = await lifecycleOf(store.config, flows);
  await exclusivelyFor(instance.id, async () => {
    const problems = await runListeningHooks(context, lifecycle, isListening);
    if (problems.length > 0) throw new InputError(wholeInput, problems);
  });
}
