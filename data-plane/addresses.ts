/** Who may post to an endpoint: the list of the flow, instance or integration that its URL belongs to. */
import { type AddressList, createAddressList } from "../shared/addresses.ts";
import type { Endpoint } from "./resolve.ts";

/** An empty list is no limit. */
export function isAllowedAddress(endpoint: Endpoint, remoteAddress: string): boolean {
  // In a replica of an earlier release the field is not there.
  const texts = allowedAddresses(endpoint) ?? [];
  return texts.length === 0 || listOf(texts).includes(remoteAddress);
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

/** Made once for each list, and gone with it: a list is part of a compiled instance or integration. */
const lists = new WeakMap<readonly string[], AddressList>();

function listOf(texts: readonly string[]): AddressList {
  let list = lists.get(texts);
  if (list === undefined) {
    list = createAddressList(texts);
    lists.set(texts, list);
  }
  return list;
}
