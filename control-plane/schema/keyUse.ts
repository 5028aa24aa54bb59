/** Which keys webhook senders have shown: told by data planes every half minute, off the webhooks' way. */
import { z } from "zod";
import { isUuid } from "../../shared/ids.ts";
import { noteLastUse } from "../store/lastUse.ts";
import { InputError, mutation } from "./payloads.ts";

const usesAtOnceMax = 1000;

const usesShape = z
  .array(z.object({ keyId: z.string().refine(isUuid), lastUsedAtMs: z.number().int().nonnegative() }))
  .max(usesAtOnceMax);

mutation("reportKeyUse", {
  description: "Notes when keys were last shown to a data plane and accepted.",
  authScopes: { dataPlane: true },
  input: (t) => ({
    dataPlaneId: t.string({ required: true, description: "The data plane that reports." }),
    uses: t.field({
      type: "JSON",
      required: true,
      description: `A list of {keyId, lastUsedAtMs}, at most ${usesAtOnceMax}; the same use may come again.`,
    }),
  }),
  resolve: async ({ uses }, { store }) => {
    const checked = usesShape.safeParse(uses);
    if (!checked.success) {
      throw new InputError(
        "uses",
        `This must be a list of at most ${usesAtOnceMax} objects, each with keyId and lastUsedAtMs.`,
      );
    }
    // A data plane whose clock is ahead must not keep later uses from being noted.
    const nowMs = Date.now();
    await noteLastUse(
      store,
      "apiKeys",
      checked.data.map(({ keyId, lastUsedAtMs }) => [keyId, Math.min(lastUsedAtMs, nowMs)]),
    );
    return {};
  },
  output: () => ({}),
});
