import { type BuiltInAction, type BuiltInInput, describeBuiltIn } from "./description.ts";

const message = { label: "Message", type: "text", required: true } as const satisfies BuiltInInput;
const secretKey = { label: "Secret Key", type: "string", required: true } as const satisfies BuiltInInput;
const hashFunction = {
  label: "Hash Function",
  type: "string",
  default: "sha256",
  choices: ["md5", "sha1", "sha256", "sha384", "sha512", "sha3-256", "sha3-512"],
} as const satisfies BuiltInInput;

const ofMessage = (name: string): BuiltInAction => ({
  label: `Compute ${name} Hash`,
  description: `The ${name} hash of a text, in hexadecimal.`,
  inputs: { message },
});

export const hash = describeBuiltIn({
  key: "hash",
  label: "Hash",
  description: "Hashes of texts, and webhooks that are signed with one.",
  category: "Helpers",
  actions: {
    computeHash: {
      label: "Compute Hash",
      description: "The hash of a text, in hexadecimal.",
      inputs: { hashFunction, message },
    },
    computeHmac: {
      label: "Compute HMAC Hash",
      description: "The HMAC of a text under a key, in hexadecimal.",
      inputs: { hashFunction, secretKey, message },
    },
    computeMd5: ofMessage("MD5"),
    computeSha1: ofMessage("SHA1"),
    computeSha256: ofMessage("SHA256"),
    computeSha384: ofMessage("SHA384"),
    computeSha512: ofMessage("SHA512"),
  },
  triggers: {
    hmacWebhookTrigger: {
      label: "HMAC Webhook",
      description: "Hands a webhook's request to the flow, if its body is signed with the key.",
      inputs: {
        hmacHeaderName: { label: "HMAC Header Name", type: "string", required: true },
        secretKey,
        hmacHashFunction: { ...hashFunction, label: "HMAC Hash Function" },
        statusCode: { label: "Response Status Code", type: "string" },
        contentType: { label: "Response Content Type", type: "string" },
        headers: { label: "Response Headers", type: "string", collection: "keyvaluelist" },
        body: { label: "Response Body", type: "string" },
      },
      scheduleSupport: "invalid",
      hasCode: true,
    },
  },
});
