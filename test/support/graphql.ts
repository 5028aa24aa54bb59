/** GraphQL as a plain client sends it: any document, data as it comes. */

export interface GraphqlAnswer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: tests read whatever their own document asked for.
  data: any;
  errors: { message: string; path?: (string | number)[]; extensions?: Record<string, unknown> }[] | undefined;
}

/** The data of the answer. Throws where there are top-level errors. */
export async function graphql(
  url: string,
  token: string,
  document: string,
  variables: Record<string, unknown> = {},
  // biome-ignore lint/suspicious/noExplicitAny: as above.
): Promise<any> {
  const { data, errors, status } = await rawGraphql(url, token, document, variables);
  if (errors?.length) throw new Error(errors.map((error) => error.message).join(" "));
  if (!data) throw new Error(`The answer was ${status} without data.`);
  return data;
}

/** Data and errors as they come; `token` null sends none. */
export async function rawGraphql(
  url: string,
  token: string | null,
  document: string,
  variables: Record<string, unknown> = {},
): Promise<GraphqlAnswer> {
  const answer = await fetch(`${url}/api`, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      ...(token === null ? {} : { Authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify({ query: document, variables }),
    signal: AbortSignal.timeout(60_000),
  });
  const body = (await answer.json()) as Omit<GraphqlAnswer, "status">;
  return { status: answer.status, data: body.data, errors: body.errors };
}
