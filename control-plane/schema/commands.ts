/** The commands that data planes lease and answer. */
import { z } from "zod";
import type { CommandResult } from "../../shared/commands.ts";
import { type CommandCounts, completeCommands, countCommands, leaseCommands } from "../store/commandQueue.ts";
import { builder } from "./builder.ts";
import { mutation } from "./payloads.ts";

const leasedAtOnceMax = 100;
const completedAtOnceMax = 1000;
const errorLengthMax = 10_000;
const heldMax = 1000;
const resultLengthMax = 4 * 1024 * 1024;
const dataPlaneIdCheck = z
  .string()
  .min(1, "This field may not be blank.")
  .max(200, "At most 200 characters.");

mutation("leaseCommands", {
  description:
    "Hands out queued commands for sixty seconds; one whose lease runs out, or that its data plane does not hold any more, is handed out again.",
  authScopes: { dataPlane: true },
  input: (t) => ({
    dataPlaneId: t.string({ required: true, description: "The data plane that will carry them out." }),
    first: t.int({ required: true, description: `How many at most, up to ${leasedAtOnceMax}.` }),
    held: t.stringList({
      description:
        `The commands that it has in hand, ${heldMax} at most. What it leased besides was lost on the way or with its process, and is ` +
        "queued again at once. Where this is missing, such a command waits until its lease runs out.",
    }),
  }),
  check: z.object({
    dataPlaneId: dataPlaneIdCheck,
    first: z.number().min(1, "At least 1.").max(leasedAtOnceMax, `At most ${leasedAtOnceMax}.`),
    held: z.array(z.string()).max(heldMax, `At most ${heldMax}.`).nullish(),
  }),
  resolve: async ({ dataPlaneId, first, held }, { store }) => ({
    commands: (await leaseCommands(store, dataPlaneId, first, held)) as unknown,
  }),
  output: (t) => ({
    commands: t.expose("commands", { type: "JSON", nullable: true, description: "The commands." }),
  }),
});

const resultsCheck = z
  .array(
    z.object({
      id: z.string(),
      error: z.string().nullable(),
      result: z.string().max(resultLengthMax).optional(),
    }),
  )
  .max(completedAtOnceMax, `At most ${completedAtOnceMax} at once.`);

mutation("completeCommands", {
  description: "Says how commands went.",
  authScopes: { dataPlane: true },
  input: (t) => ({
    dataPlaneId: t.string({ required: true, description: "The data plane that carried them out." }),
    results: t.field({
      type: "JSON",
      required: true,
      description:
        "A list of {id, error, result}; error is null where it went well, result is JSON where something was asked for.",
    }),
  }),
  check: z.object({ dataPlaneId: dataPlaneIdCheck, results: resultsCheck }),
  resolve: async ({ results }, { store }) => {
    const bounded = (results as CommandResult[]).map((result) => ({
      ...result,
      error: result.error?.slice(0, errorLengthMax) ?? null,
    }));
    await completeCommands(store, bounded);
    return { isDone: true };
  },
  output: (t) => ({
    isDone: t.exposeBoolean("isDone", { nullable: true, description: "True where the results were noted." }),
  }),
});

const CommandCountsType = builder.objectRef<CommandCounts>("CommandCounts").implement({
  description: "How many commands wait for data planes.",
  fields: (t) => ({
    queued: t.exposeInt("queued", { description: "Commands that no data plane has taken." }),
    leased: t.exposeInt("leased", { description: "Commands that a data plane is carrying out." }),
  }),
});

builder.queryField("commandCounts", (t) =>
  t.field({
    type: CommandCountsType,
    description: "How many commands wait for data planes.",
    authScopes: { organization: true },
    resolve: (_root, _args, { store }) => countCommands(store),
  }),
);
