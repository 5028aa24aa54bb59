/** GraphQL over HTTP with typed documents, as the scripts use it. */
import type { TypedDocumentString } from "./generated/graphql.ts";

export interface Api {
  /** The control plane's address, without `/api`. */
  url: string;
  token: string;
}

export class ApiError extends Error {
  override name = "ApiError";
}

const requestTimeoutMs = 60_000;

/** Sends one operation. Throws `ApiError` for top-level errors; payload `errors` are the caller's. */
export async function request<Result, Variables>(
  api: Api,
  document: TypedDocumentString<Result, Variables>,
  variables: Variables,
): Promise<Result> {
  const answer = await fetch(`${api.url}/api`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${api.token}` },
    body: JSON.stringify({ query: document.toString(), variables }),
    signal: AbortSignal.timeout(requestTimeoutMs),
  });
  const body = (await answer.json()) as { data?: Result | null; errors?: { message: string }[] };
  if (body.errors?.length) throw new ApiError(body.errors.map((error) => error.message).join(" "));
  if (!body.data) throw new ApiError(`The control plane answered ${answer.status} without data.`);
  return body.data;
}

interface FieldError {
  field: string;
  messages: readonly string[];
}

/** The payload of a mutation, or an `ApiError` that says which fields were refused, and why. */
export function accepted<Payload extends { errors?: readonly FieldError[] | null }>(
  payload: Payload | null | undefined,
): Payload {
  if (!payload) throw new ApiError("The mutation returned nothing.");
  if (payload.errors?.length) {
    const sentences = payload.errors.map((error) =>
      error.field === "__all__" ? error.messages.join(" ") : `${error.field}: ${error.messages.join(" ")}`,
    );
    throw new ApiError(sentences.join(" "));
  }
  return payload;
}

/** Uploads bytes to an address that the control plane handed out. */
export async function upload(
  url: string,
  bytes: Uint8Array<ArrayBuffer>,
  contentType: string,
): Promise<void> {
  const answer = await fetch(url, {
    method: "PUT",
    headers: { "Content-Type": contentType },
    body: bytes,
    signal: AbortSignal.timeout(requestTimeoutMs),
  });
  const text = await answer.text();
  if (!answer.ok) throw new ApiError(`An upload was refused with ${answer.status}: ${text.slice(0, 500)}`);
}
