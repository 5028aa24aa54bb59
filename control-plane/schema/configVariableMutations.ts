/** Setting config variables of an instance on their own. */
import { z } from "zod";
import { configuredVersionOf } from "../store/configuredVersions.ts";
import { instanceOwner, instanceVariables } from "../store/configVariables.ts";
import { touchInstance } from "../store/feedVersions.ts";
import { waitForDataPlanes } from "../waitForDataPlanes.ts";
import { ConfigVariableInput, saveConfigVariables } from "./configVariableInputs.ts";
import { applyDraftConfigVariables } from "./configVariables.ts";
import { notFound, requiredId } from "./inputs.ts";
import { mutation } from "./payloads.ts";
import { Instance } from "./refs.ts";

const inputsMax = 1_000;

mutation("updateInstanceConfigVariables", {
  description:
    "Sets config variables of an instance; those that are left out keep their values. They count with the next deploy.",
  authScopes: { admin: true },
  input: (t) => ({
    id: t.id({ required: true, description: "The instance's id." }),
    configVariables: t.field({
      type: [ConfigVariableInput],
      required: { list: false, items: false },
      description: "Values of config variables.",
    }),
    configMode: t.string({ description: 'What is configured; "INSTANCE" is all there is.' }),
    configComplete: t.boolean({
      description: "Whether this was the wizard's last page; nothing depends on it.",
    }),
  }),
  check: z.object({
    configVariables: z.array(z.unknown()).max(inputsMax, `At most ${inputsMax} at once.`).nullish(),
  }),
  resolve: async (input, context) => {
    const { store, feed } = context;
    const id = requiredId("Instance", input.id, "id");
    const { instance, version } = await feed.transact(async (transaction) => {
      const row = await transaction
        .selectFrom("instances")
        .selectAll()
        .where("id", "=", id)
        .executeTakeFirst();
      if (row === undefined) throw notFound("id", "instance");
      const configured = await configuredVersionOf(transaction, row);
      if (configured === null) throw notFound("id", "draft: import one first");
      const variables = instanceVariables(configured.definition);
      await saveConfigVariables(
        transaction,
        store,
        instanceOwner(id),
        variables,
        input.configVariables ?? [],
      );
      const changes = { needsDeploy: row.isSystem === 1 ? 0 : 1, updatedAtMs: Date.now() };
      await transaction.updateTable("instances").set(changes).where("id", "=", id).execute();
      if (row.isSystem === 1) await applyDraftConfigVariables(transaction, store, id, configured.definition);
      return { instance: { ...row, ...changes }, version: await touchInstance(transaction, id) };
    });
    return { instance, pendingDataPlanes: await waitForDataPlanes(context, version) };
  },
  output: (t) => ({
    instance: t.expose("instance", {
      type: Instance,
      nullable: true,
      description: "The instance as it is now.",
    }),
    pendingDataPlanes: t.exposeStringList("pendingDataPlanes", {
      nullable: true,
      description: "The data planes that do not serve the change yet.",
    }),
  }),
});
