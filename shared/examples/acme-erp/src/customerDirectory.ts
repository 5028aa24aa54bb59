/**
 * Acme's customer ids, and the external ids by which we know the same companies. A real integration would
 * ask a directory service: the answer would look the same.
 */
const externalIds: ReadonlyMap<string, string> = new Map([
  ["A06DFFAC", "hatters-of-york"],
  ["C3E72B0C", "bleecker-street-books"],
]);

export async function findExternalId(acmeCustomerId: string): Promise<string | undefined> {
  return externalIds.get(acmeCustomerId);
}
