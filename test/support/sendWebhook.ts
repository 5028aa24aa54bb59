/** A webhook, and its answer. */
export interface WebhookAnswer {
  status: number;
  headers: Headers;
  text: string;
  /** The body, where it is JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: tests know what they asked for.
  json: any;
  /** The execution's node id, of the header or the body. */
  executionId: string | undefined;
}

export interface Webhook {
  method?: string;
  headers?: Record<string, string>;
  /** Objects are sent as JSON; text and bytes as they are. */
  body?: unknown;
  timeoutMs?: number;
}

export async function sendWebhook(url: string, webhook: Webhook = {}): Promise<WebhookAnswer> {
  const { method = "POST", body, timeoutMs = 40_000 } = webhook;
  const isRaw = typeof body === "string" || body instanceof Uint8Array;
  const answer = await fetch(url, {
    method,
    headers: {
      ...(body === undefined || isRaw ? {} : { "Content-Type": "application/json" }),
      ...webhook.headers,
    },
    ...(body === undefined ? {} : { body: isRaw ? (body as BodyInit) : JSON.stringify(body) }),
    redirect: "manual",
    signal: AbortSignal.timeout(timeoutMs),
  });
  const text = await answer.text();
  const json = parseOrUndefined(text);
  return {
    status: answer.status,
    headers: answer.headers,
    text,
    json,
    executionId: answer.headers.get("prismatic-executionid") ?? json?.executionId,
  };
}

// biome-ignore lint/suspicious/noExplicitAny: as above.
function parseOrUndefined(text: string): any {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
