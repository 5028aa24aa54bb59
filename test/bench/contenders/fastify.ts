/** `node fastify.ts <targets file>`: the logical work as a Fastify route. */
import fastify from "fastify";
import { createAccept, isRefused } from "./byHand.ts";

const accept = createAccept(process.argv[2]!);
const app = fastify({ bodyLimit: 8 * 1024 * 1024 });

app.post("/trigger/:token", async (request, reply) => {
  const key = request.headers["api-key"];
  const result = accept(request.url, typeof key === "string" ? key : undefined, request.body);
  if (isRefused(result)) return reply.code(result.status).send({ error: { message: result.message } });
  return reply.header("prismatic-executionid", result.executionId).send(result);
});

console.log(`listening on ${await app.listen({ host: "127.0.0.1", port: 0 })}`);
