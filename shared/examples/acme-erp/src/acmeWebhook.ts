/** What Acme ERP posts: every customer and every kind of event to the one URL that it can be given. */
export interface AcmeWebhook {
  customerId: string;
  type: string;
  data: unknown;
}

export function readWebhook(body: unknown): AcmeWebhook {
  if (!isRecord(body)) throw new Error("The body is not a JSON object.");
  const { customerId, type, data } = body;
  if (typeof customerId !== "string" || typeof type !== "string") {
    throw new Error("The body needs a customerId and a type, both text.");
  }
  return { customerId, type, data };
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
