/** A site for the tests of one file: there before the first of them, gone after the last. */
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { newLedger } from "../support/ledger.ts";
import { bootPlanes } from "../support/planes.ts";
import { newTemporaryFolder, removeFolder } from "../support/temporaryFolder.ts";
import { openSite, type Site, siteSettings } from "./site.ts";

export function siteOfFile(environment: Record<string, string> = {}): Site {
  const folder = newTemporaryFolder();
  const site = {} as Site;
  beforeAll(async () => {
    const planes = await bootPlanes({
      dataDir: join(folder, "data"),
      environment: { ...siteSettings, ...environment },
    });
    Object.assign(site, { planes }, await openSite(planes, newLedger(folder)));
  });
  afterAll(async () => {
    await site.planes?.stop();
    removeFolder(folder);
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
