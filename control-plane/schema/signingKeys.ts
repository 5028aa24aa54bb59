/** Signing keys: with the private half, the organization's own backend signs in the users of its customers. */
import { createPublicKey, generateKeyPair, type KeyObject } from "node:crypto";
import { promisify } from "node:util";
import { newId } from "../../shared/ids.ts";
import { type Context, isOrganization, viewerName } from "../context.ts";
import {
  deleteSigningKey,
  insertSigningKey,
  readSigningKeys,
  type SigningKeyRow,
  signingKeysMax,
} from "../store/signingKeys.ts";
import { builder } from "./builder.ts";
import { pageOfList } from "./connections.ts";
import { isUniqueViolation, notFound, requiredId } from "./inputs.ts";
import { Organization } from "./organization.ts";
import { InputError, mutation, wholeInput } from "./payloads.ts";

const generatedBits = 4096;
const rsaBitsMin = 2048;
/** The larger the key, the longer each check takes. */
const rsaBitsMax = 8192;
const pemLengthMax = 10_000;
const previewLength = 4;

const SigningKey = builder.objectRef<SigningKeyRow>("OrganizationSigningKey");

builder.node(SigningKey, {
  description: "A public key. Who has the private half can sign in the users of any customer.",
  authScopes: { organization: true },
  id: { resolve: (key) => key.id },
  loadOne: async (id, context) =>
    isOrganization(context)
      ? (await readSigningKeys(context.store.config)).find((key) => key.id === id)
      : null,
  fields: (t) => ({
    publicKey: t.exposeString("publicKey", { description: "The public key as PEM." }),
    privateKeyPreview: t.exposeString("privateKeyPreview", {
      description: "The end of the private key that was generated; empty for a key that was imported.",
    }),
    issuedAt: t.field({
      type: "DateTime",
      description: "When it was generated or imported.",
      resolve: (key) => key.createdAtMs,
    }),
    imported: t.boolean({
      description: "Whether it was imported, so that its private key was never here.",
      resolve: (key) => key.isImported === 1,
    }),
    createdBy: t.exposeString("createdBy", { description: "Who generated or imported it." }),
  }),
});

builder.objectField(Organization, "signingKeys", (t) =>
  t.connection(
    {
      type: SigningKey,
      description: "The keys whose signatures are accepted, the oldest first.",
      authScopes: { organization: true },
      resolve: async (_organization, args, { store }) =>
        pageOfList(await readSigningKeys(store.config), args),
    },
    { name: "OrganizationSigningKeyConnection", description: "A page of signing keys." },
    { name: "OrganizationSigningKeyEdge", description: "A signing key with its cursor." },
  ),
);

interface GeneratedKey {
  privateKey: string;
  organizationSigningKey: SigningKeyRow;
}

const GeneratedKeyType = builder.objectRef<GeneratedKey>("CreateOrganizationSigningKeyResult").implement({
  description: "A key pair that was generated.",
  fields: (t) => ({
    privateKey: t.exposeString("privateKey", {
      description: "The private key as PEM. It is shown here only: nothing can show it again.",
    }),
    organizationSigningKey: t.expose("organizationSigningKey", {
      type: SigningKey,
      description: "What is kept: the public key.",
    }),
  }),
});

mutation("createOrganizationSigningKey", {
  description: `Generates an RSA key pair of ${generatedBits} bits, keeps its public key, and shows its private key this once.`,
  authScopes: { admin: true },
  input: () => ({}),
  resolve: async (_input, context) => {
    const { publicKey, privateKey } = await promisify(generateKeyPair)("rsa", {
      modulusLength: generatedBits,
    });
    const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    const end = pem.split("\n").at(-3)!.slice(-previewLength);
    const organizationSigningKey = await keep(context, publicKey, `\u2022\u2022\u2022\u2022${end}`);
    return { result: { privateKey: pem, organizationSigningKey } };
  },
  output: (t) => ({
    result: t.expose("result", { type: GeneratedKeyType, nullable: true, description: "The key pair." }),
  }),
});

mutation("importOrganizationSigningKey", {
  description: `Takes a public key: RSA of ${rsaBitsMin} bits or more, or Ed25519, as PEM.`,
  authScopes: { admin: true },
  input: (t) => ({ publicKey: t.string({ required: true, description: "The public key as PEM." }) }),
  resolve: async (input, context) => ({
    organizationSigningKey: await keep(context, readPublicKey(input.publicKey), ""),
  }),
  output: (t) => ({
    organizationSigningKey: t.expose("organizationSigningKey", {
      type: SigningKey,
      nullable: true,
      description: "The key that was imported.",
    }),
  }),
});

mutation("deleteOrganizationSigningKey", {
  description: "Removes a signing key: what was signed with it is refused from the next request on.",
  authScopes: { admin: true },
  input: (t) => ({ id: t.id({ required: true, description: "The key's id." }) }),
  resolve: async (input, { feed }) => {
    const id = requiredId("OrganizationSigningKey", input.id, "id");
    const organizationSigningKey = await feed.transact((transaction) => deleteSigningKey(transaction, id));
    if (organizationSigningKey === undefined) throw notFound("id", "signing key");
    return { organizationSigningKey };
  },
  output: (t) => ({
    organizationSigningKey: t.expose("organizationSigningKey", {
      type: SigningKey,
      nullable: true,
      description: "The key that was removed.",
    }),
  }),
});

/** Stores the key; the preview is what is shown of a private key that was generated. */
function keep(context: Context, key: KeyObject, privateKeyPreview: string): Promise<SigningKeyRow> {
  const row: SigningKeyRow = {
    id: newId(),
    publicKey: key.export({ type: "spki", format: "pem" }).toString(),
    privateKeyPreview,
    isImported: privateKeyPreview === "" ? 1 : 0,
    createdAtMs: Date.now(),
    createdBy: viewerName(context),
  };
  return context.feed.transact(async (transaction) => {
    if ((await readSigningKeys(transaction)).length >= signingKeysMax) {
      throw new InputError(wholeInput, `There are at most ${signingKeysMax} signing keys. Delete one first.`);
    }
    try {
      await insertSigningKey(transaction, row);
    } catch (error) {
      if (isUniqueViolation(error)) throw new InputError("publicKey", "This key is there already.");
      throw error;
    }
    return row;
  });
}

function readPublicKey(pem: string): KeyObject {
  // Node would take the public half of a private key: then a secret would have been sent for nothing.
  if (/PRIVATE KEY/.test(pem)) {
    throw new InputError("publicKey", "This is a private key. Keep it secret, and send its public key.");
  }
  if (pem.length > pemLengthMax) throw notAKey();
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch {
    throw notAKey();
  }
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (key.asymmetricKeyType === "ed25519") return key;
  if (key.asymmetricKeyType !== "rsa") throw notAKey();
  if (bits < rsaBitsMin || bits > rsaBitsMax) {
    throw new InputError(
      "publicKey",
      `An RSA key must have from ${rsaBitsMin} to ${rsaBitsMax} bits; this one has ${bits}.`,
    );
  }
  return key;
}

const notAKey = (): InputError =>
  new InputError("publicKey", "This is not a public key: send an RSA or Ed25519 public key as PEM.");
