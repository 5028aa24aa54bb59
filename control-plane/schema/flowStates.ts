/** State that flows keep between runs: for data planes, which run them, and for the organization's admins. */
import { GraphQLError } from "graphql";
import { z } from "zod";
import { type StateKey, stateVersion, unpackState } from "../../shared/states.ts";
import type { Context } from "../context.ts";
import { clearStates, readState, readStateKeys } from "../store/flowStates.ts";
import { builder } from "./builder.ts";
import { loadFlowConfig } from "./flowConfigs.ts";
import { notFound, requiredId } from "./inputs.ts";
import { InstanceFlowConfig } from "./instanceRefs.ts";
import { loadInstance } from "./instances.ts";
import { visibleIntegration } from "./integrationItems.ts";
import { InputError, mutation, wholeInput } from "./payloads.ts";
import { Instance, type InstanceRow } from "./refs.ts";

const keysAtOnceMax = 10_000;
const statesAtOnceMax = 100;
/** Of all values of an answer: what goes beyond it is asked for again. */
const answerCharactersMax = 32 * 1024 * 1024;

builder.queryField("feedStateKeys", (t) =>
  t.field({
    type: "JSON",
    description: "Which states there are, in the order in which they came to be.",
    authScopes: { dataPlane: true },
    args: {
      after: t.arg.float({ required: true, description: "The position that the data plane has; 0 for all." }),
      first: t.arg.int({ required: true, description: `How many at most, up to ${keysAtOnceMax}.` }),
    },
    resolve: async (_root, { after, first }, { store }) => {
      if (first < 1 || first > keysAtOnceMax)
        throw new GraphQLError(`first must be from 1 to ${keysAtOnceMax}.`);
      return { epoch: store.epoch, ...(await readStateKeys(store, after, first)) };
    },
  }),
);

const knownStates = z
  .array(
    z.object({
      scope: z.enum(["FLOW", "INSTANCE", "INTEGRATION"]),
      ownerId: z.string(),
      stableKey: z.string(),
      version: z.string().nullable(),
    }),
  )
  .max(statesAtOnceMax);

builder.queryField("feedStates", (t) =>
  t.field({
    type: "JSON",
    description:
      "States as they are stored, in the order of the question: null for each that there is none of, SAME for each that is of the version named, LATER for what did not fit into one answer.",
    authScopes: { dataPlane: true },
    args: {
      known: t.arg({
        type: "JSON",
        required: true,
        description: `A list of at most ${statesAtOnceMax} states, each with the version that the data plane has or null.`,
      }),
    },
    resolve: async (_root, { known }, { store }) => {
      const asked = knownStates.safeParse(known);
      if (!asked.success) throw new GraphQLError("known must be a list of states with their versions.");
      const answers: unknown[] = [];
      let characters = 0;
      for (const { version, ...key } of asked.data) {
        const stored = characters > answerCharactersMax ? "LATER" : await readState(store, key);
        const isSame = stored !== null && stored !== "LATER" && stateVersion(stored) === version;
        answers.push(isSame ? "SAME" : stored);
        if (!isSame && stored !== null && stored !== "LATER") characters += stored.value?.length ?? 0;
      }
      return answers;
    },
  }),
);

/** No person reads a larger one, and no page holds it. */
const shownBytesMax = 1024 * 1024;

async function shownState(context: Context, key: StateKey): Promise<unknown> {
  const stored = await readState(context.store, key);
  if (stored === null || stored.value === null) return null;
  const json = unpackState(stored.value);
  const bytes = Buffer.byteLength(json);
  if (bytes > shownBytesMax)
    throw new GraphQLError(
      `This state takes ${bytes} bytes, which is more than can be shown (${shownBytesMax}).`,
    );
  return JSON.parse(json);
}

builder.objectFields(InstanceFlowConfig, (t) => ({
  instanceState: t.field({
    type: "JSON",
    nullable: true,
    description: "What the flow keeps between executions as its instanceState; null where that is nothing.",
    authScopes: { admin: true },
    resolve: ({ row }, _args, context) =>
      shownState(context, { scope: "FLOW", ownerId: row.instanceId, stableKey: row.stableKey }),
  }),
}));

builder.objectFields(Instance, (t) => ({
  crossFlowState: t.field({
    type: "JSON",
    nullable: true,
    description: "What the instance's flows keep together as crossFlowState; null where that is nothing.",
    authScopes: { admin: true },
    resolve: ({ id }, _args, context) =>
      shownState(context, { scope: "INSTANCE", ownerId: id, stableKey: "" }),
  }),
  integrationState: t.field({
    type: "JSON",
    nullable: true,
    description:
      "What the flows of all instances of the integration keep together as integrationState; of a system instance, what tests of the draft keep. Null where that is nothing.",
    authScopes: { admin: true },
    resolve: (instance, _args, context) =>
      shownState(context, { scope: "INTEGRATION", ownerId: integrationOwner(instance), stableKey: "" }),
  }),
}));

/** Tests of a draft share nothing with what is deployed. */
const integrationOwner = ({ id, integrationId, isSystem }: InstanceRow): string =>
  isSystem === 1 ? id : integrationId;

mutation("clearPersistedState", {
  description:
    "Empties what flows keep between executions: of one flow, of a whole instance, or what an integration's instances share. An execution that runs meanwhile stores anew what it holds.",
  authScopes: { admin: true },
  input: (t) => ({
    flowConfig: t.id({ description: "One flow of an instance: its instanceState." }),
    instance: t.id({
      description: "An instance: the instanceState of all its flows, and its crossFlowState.",
    }),
    integration: t.id({ description: "An integration: its integrationState." }),
  }),
  resolve: async (input, context) => {
    const given = [input.flowConfig, input.instance, input.integration].filter((id) => id != null);
    if (given.length !== 1)
      throw new InputError(wholeInput, "Give one of flowConfig, instance and integration.");
    const { ownerId, ...only } = await stateOf(input, context);
    await clearStates(context.store, ownerId, only);
    return {};
  },
  output: () => ({}),
});

interface OwnerInput {
  flowConfig?: string | null | undefined;
  instance?: string | null | undefined;
  integration?: string | null | undefined;
}

async function stateOf(
  input: OwnerInput,
  context: Context,
): Promise<Partial<StateKey> & { ownerId: string }> {
  if (input.flowConfig != null) {
    const item = await loadFlowConfig(
      context,
      requiredId("InstanceFlowConfig", input.flowConfig, "flowConfig"),
    );
    if (item === null) throw notFound("flowConfig", "flow config");
    return { ownerId: item.row.instanceId, scope: "FLOW", stableKey: item.row.stableKey };
  }
  if (input.instance != null) {
    const instance = await loadInstance(context, requiredId("Instance", input.instance, "instance"));
    if (instance === null) throw notFound("instance", "instance");
    return { ownerId: instance.id };
  }
  const item = await visibleIntegration(
    context,
    requiredId("Integration", input.integration!, "integration"),
  );
  if (item === null) throw notFound("integration", "integration");
  return { ownerId: item.integration.id, scope: "INTEGRATION" };
}
