/** Who may post to an endpoint: the list of the flow, instance or integration that its URL belongs to. */
import { type AddressList, createAddressList } from "../shared/addresses.ts";
import type { Endpoint } from "./resolve.ts";

/** Null where everyone may. */
export function addressListOf(endpoint: Endpoint): AddressList | null {
  const texts = allowedAddresses(endpoint);
  return texts.length === 0 ? null : createAddressList(texts);
}

function allowedAddresses({ kind, flow, instance, integration }: Endpoint): readonly string[] {
  switch (kind) {
    case "flow":
      return (flow && instance?.entity.flows[flow.stableKey]?.allowedAddresses) ?? [];
    case "instance":
      return instance?.entity.allowedAddresses ?? [];
    case "shared":
      return integration.entity.allowedAddresses;
  }
}
