/** `node hono.ts <targets file>`: the logical work as a Hono route on Node. */
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { createAccept, isRefused } from "./byHand.ts";

const accept = createAccept(process.argv[2]!);
const app = new Hono();

app.post("/trigger/:token", async (context) => {
  const result = accept(context.req.path, context.req.header("api-key"), await context.req.json());
  if (isRefused(result)) {
    return context.json({ error: { message: result.message } }, result.status as 401);
  }
  context.header("prismatic-executionid", result.executionId);
  return context.json(result);
});

serve({ fetch: app.fetch, hostname: "127.0.0.1", port: 0 }, ({ port }) => {
  console.log(`listening on http://127.0.0.1:${port}`);
});
