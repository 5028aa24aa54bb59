/** Who may read `/metrics` of either plane: who is on this machine, and who has the token of the settings. */
import { createAddressList } from "./addresses.ts";
import { equalInConstantTime } from "./secrets.ts";

export interface MetricsRequest {
  /** The connection's other end, whatever headers say. */
  peer: string;
  /** X-Forwarded-For: with it the peer is a proxy, and whom it speaks for is not known to be near. */
  forwardedFor: string | undefined;
  authorization: string | undefined;
}

const loopback = createAddressList(["127.0.0.0/8", "::1"]);

export function mayReadMetrics(request: MetricsRequest, metricsToken: string | undefined): boolean {
  if (request.forwardedFor === undefined && loopback.includes(request.peer)) return true;
  const sent = /^bearer\s+(\S+)$/i.exec(request.authorization?.trim() ?? "")?.[1];
  return sent !== undefined && metricsToken !== undefined && equalInConstantTime(sent, metricsToken);
}

export const metricsRefusal =
  "Metrics are for this machine; from elsewhere send Authorization: Bearer with the token of SWITCHYARD_METRICS_TOKEN.";
