import { expect, test } from "vitest";
import type { RunContext } from "../data-plane/contexts.ts";
import { createContexts } from "../data-plane/runtime/contexts.ts";
import type { RunCode } from "../data-plane/runtime/messages.ts";
import { createThreadContexts } from "../data-plane/threadContexts.ts";

const contextOf = (code: RunCode, name: string, configVarsJson: string | null = null): RunContext => {
  const nothing = { id: "", name: "" };
  const attributes = {
    webhookUrls: {},
    webhookApiKeys: {},
    customer: nothing,
    instance: { id: name, name },
    integration: nothing,
    user: nothing,
    flow: nothing,
  };
  const json = JSON.stringify({ part: "FLOW", ingressUrl: "", attributes, configVarsJson });
  return { code, digests: [], json, expiresAtMs: Number.POSITIVE_INFINITY };
};

test("a thread knows every context that a batch names, however many instances take turns", () => {
  const flow = { stableKey: "flow" } as RunCode["flow"];
  const codes = Array.from(
    { length: 1_500 },
    (): RunCode => ({ flow, isCodeNative: true, bundles: {}, flowSchemas: null }),
  );
  const contexts = Array.from({ length: 6_000 }, (_, index) =>
    contextOf(codes[index % codes.length]!, `instance-${index}`),
  );
  const thread = createContexts();
  let messages = 0;
  const sent = createThreadContexts((message) => {
    messages++;
    if (message.kind === "contexts") thread.take(structuredClone(message));
  });
  let next = 0;
  for (let batch = 0; batch < 500; batch++) {
    const runs = Array.from({ length: 32 }, () => {
      // Every third one was used a while ago, and is about to be given up when the others need its place.
      const place = next % 3 === 0 ? (next * 7) % contexts.length : next % contexts.length;
      next++;
      return { context: contexts[place]!, name: `instance-${place}` };
    });
    const named = runs.map(({ context, name }) => ({ number: sent.numberOf(context), name }));
    sent.sendChanges();
    for (const { number, name } of named)
      expect(thread.context(number).freshAttributes().instance.id).toBe(name);
  }
  expect(messages).toBeLessThanOrEqual(500);
});

test("what is given up for its size while a batch is put together is known until the batch has been sent", () => {
  const code: RunCode = {
    flow: { stableKey: "flow" } as RunCode["flow"],
    isCodeNative: true,
    bundles: {},
    flowSchemas: null,
  };
  const configVars = JSON.stringify({ large: "x".repeat(1024 * 1024) });
  const thread = createContexts();
  const sent = createThreadContexts((message) => {
    if (message.kind === "contexts") thread.take(message);
  });
  const large = (name: string) => ({ name, context: contextOf(code, name, configVars) });
  let last = large("first");
  for (let batch = 0; batch < 3; batch++) {
    // The thread has the first of them from the batch before.
    const runs = [last, ...Array.from({ length: 24 }, (_, index) => large(`large-${batch}-${index}`))];
    const named = runs.map(({ name, context }) => ({ name, number: sent.numberOf(context) }));
    sent.sendChanges();
    last = runs.at(-1)!;
    for (const { number, name } of named)
      expect(thread.context(number).freshAttributes().instance.id).toBe(name);
  }
});
