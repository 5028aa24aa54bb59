/** The contenders of every run, in the order of the table. */
import type { World } from "../world.ts";
import type { Contender, ContenderId } from "./contender.ts";
import { scriptContender } from "./process.ts";
import { switchyard, switchyardHeld } from "./switchyard.ts";

/** Starts what is asked for. Switchyard's planes are the world's, and end with it. */
export async function startContenders(world: World, ids: readonly ContenderId[]): Promise<Contender[]> {
  const { data, held, requests } = world;
  const { api } = world.control;
  const { body } = requests;
  const targets = [body.targetsFile];
  const makers: Partial<Record<ContenderId, () => Promise<Contender> | Contender>> = {
    raw: () =>
      scriptContender({ id: "raw", name: "raw uWebSockets.js", script: "raw.mjs", args: [], requests: body }),
    accept: () =>
      switchyardHeld({ id: "accept", name: "accept, runs held back", plane: held, api, requests: body }),
    acceptAndRun: () =>
      switchyard({ id: "acceptAndRun", name: "accept, runs beside it", plane: data, api, requests: body }),
    shared: () =>
      switchyard({
        id: "shared",
        name: "shared, preprocess flow",
        plane: data,
        api,
        requests: requests.shared,
      }),
    flow: () =>
      switchyard({ id: "flow", name: "flow-specific, unsecured", plane: data, api, requests: requests.flow }),
    synchronous: () =>
      switchyard({
        id: "synchronous",
        name: "synchronous, answer on completion",
        plane: data,
        api,
        requests: requests.synchronous,
      }),
    fastify: () =>
      scriptContender({
        id: "fastify",
        name: "Fastify by hand, not durable",
        script: "fastify.ts",
        args: targets,
        requests: body,
      }),
    hono: () =>
      scriptContender({
        id: "hono",
        name: "Hono by hand, not durable",
        script: "hono.ts",
        args: targets,
        requests: body,
      }),
  };
  const contenders: Contender[] = [];
  for (const id of ids) {
    const contender = await makers[id]?.();
    if (contender !== undefined) contenders.push(contender);
  }
  return contenders;
}

export const standingIds: readonly ContenderId[] = [
  "raw",
  "accept",
  "acceptAndRun",
  "shared",
  "flow",
  "fastify",
  "hono",
  "synchronous",
];
