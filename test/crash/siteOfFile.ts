/** A site for the tests of one file: there before the first of them, gone after the last. */
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { newLedger } from "../support/ledger.ts";
import { planesOfFile } from "../support/planesOfFile.ts";
import { newTemporaryFolder, removeFolder } from "../support/temporaryFolder.ts";
import { openSite, type Site, siteSettings } from "./site.ts";

export function siteOfFile(environment: Record<string, string> = {}): Site {
  const folder = newTemporaryFolder();
  // After the planes' own: what is registered first is done last.
  afterAll(() => removeFolder(folder));
  const planes = planesOfFile({
    dataDir: join(folder, "data"),
    environment: { ...siteSettings, ...environment },
  });
  const site = { planes } as Site;
  beforeAll(async () => {
    Object.assign(site, await openSite(planes, newLedger(folder)));
  });
  return site;
}

/** The data plane with other settings, and a ledger without lines. */
export async function restartWith(
  { planes, ledger }: Site,
  environment: Record<string, string>,
): Promise<void> {
  await planes.data.stop();
  await planes.data.start(environment);
  ledger.clear();
}
