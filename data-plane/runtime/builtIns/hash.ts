import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { hash as described } from "../../../shared/builtIns/hash.ts";
import { type ActionPerform, implement, type TriggerPerform } from "./implement.ts";
import { givenResponse } from "./response.ts";
import { clip, isGiven, requiredText, text, textOf } from "./values.ts";

type Params = Record<string, unknown>;

const functions = new Set<string>(described.actions.computeHash.inputs.hashFunction.choices);

function algorithm(params: Params, key: string): string {
  const name = text(params, key).toLowerCase() || "sha256";
  if (functions.has(name)) return name;
  throw new Error(`There is no hash function ${clip(name)}: take ${[...functions].join(", ")}.`);
}

/** Files are hashed byte by byte; an empty text has a hash, too. */
const bytesOf = (value: unknown): Uint8Array =>
  value instanceof Uint8Array ? value : Buffer.from(textOf(value), "utf8");

const ofMessage =
  (name: string): ActionPerform =>
  (_context, params) => ({ data: createHash(name).update(bytesOf(params["message"])).digest("hex") });

const computeHmac: ActionPerform = (_context, params) => ({
  data: createHmac(algorithm(params, "hashFunction"), keyOf(params))
    .update(bytesOf(params["message"]))
    .digest("hex"),
});

function keyOf(params: Params): Uint8Array {
  const { secretKey } = params;
  if (!isGiven(secretKey)) throw new Error('The input "secretKey" is empty.');
  return bytesOf(secretKey);
}

/** The signature may be hexadecimal or Base64, with the function's name and "=" before it. */
const signedWebhook: TriggerPerform = (_context, payload, params) => {
  const name = algorithm(params, "hmacHashFunction");
  const header = requiredText(params, "hmacHeaderName");
  const sent = (payload["headers"] as Record<string, string>)[header.toLowerCase()];
  if (sent === undefined) throw new Error(`The request has no header ${clip(header)}.`);
  const { data } = payload["rawBody"] as { data: Uint8Array };
  const expected = createHmac(name, keyOf(params)).update(data).digest();
  const signature = sent.trim().toLowerCase().startsWith(`${name}=`)
    ? sent.trim().slice(name.length + 1)
    : sent.trim();
  const isSigned = (["hex", "base64"] as const).some((encoding) => {
    const given = Buffer.from(signature, encoding);
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
  if (!isSigned) throw new Error(`The header ${clip(header)} does not sign the body.`);
  return { payload, ...givenResponse(params) };
};

export const hash = implement(described, {
  actions: {
    computeHash: (context, params) => ofMessage(algorithm(params, "hashFunction"))(context, params),
    computeHmac,
    computeMd5: ofMessage("md5"),
    computeSha1: ofMessage("sha1"),
    computeSha256: ofMessage("sha256"),
    computeSha384: ofMessage("sha384"),
    computeSha512: ofMessage("sha512"),
  },
  triggers: { hmacWebhookTrigger: signedWebhook },
});
