/** What every resolver is given, and who is asking. */
import type { Logger } from "pino";
import type { Config } from "../shared/config.ts";
import type { AuditLog } from "./audit.ts";
import type { ChangeFeed } from "./changeFeed.ts";
import type { HeldBack } from "./heldBack.ts";
import type { ControlMetrics } from "./metrics.ts";
import type { Store } from "./store/store.ts";
import type { Ticker } from "./ticker.ts";

export type Viewer =
  /** Of the organization: does everything. The first admin token and the one in the settings have no user. */
  | { role: "ADMIN"; tokenId: string | null; userId: string | null }
  /** Of the organization: reads everything, changes nothing but its own tokens. */
  | { role: "MEMBER"; tokenId: string; userId: string }
  /** Of a customer: sees that customer only; an admin also manages the keys of its instances. */
  | { role: "CUSTOMER_ADMIN" | "CUSTOMER_MEMBER"; tokenId: string | null; userId: string; customerId: string }
  | { role: "DATA_PLANE"; tokenId: string | null };

export interface Urls {
  /** An address of this control plane; `path` starts with a slash. */
  control(path: string): string;
  /** The address that a webhook sender posts to. */
  webhook(token: string): string;
}

export interface Services {
  store: Store;
  config: Config;
  feed: ChangeFeed;
  heldBack: HeldBack;
  audit: AuditLog;
  metrics: ControlMetrics;
  retries: Pick<Ticker, "wake">;
  bulkReplays: Pick<Ticker, "wake">;
  urls: Urls;
  log: Logger;
}

export interface Context extends Services {
  /** Null where no token was sent. */
  viewer: Viewer | null;
  requestId: string;
  /** Who sent the request; behind trusted proxies, whom they name. */
  remoteAddress: string;
}

/** The one customer that the viewer may see; null for the organization, which sees all. */
export function customerScope({ viewer }: Context): string | null {
  return viewer !== null && "customerId" in viewer ? viewer.customerId : null;
}

export const isAdmin = ({ viewer }: Context): boolean => viewer?.role === "ADMIN";

/** Whether the viewer is of the organization, and so may read what belongs to no customer, or to any. */
export const isOrganization = ({ viewer }: Context): boolean =>
  viewer?.role === "ADMIN" || viewer?.role === "MEMBER";

/** Whether rows of this customer may be shown to the viewer. */
export function maySeeCustomer(context: Context, customerId: string | null): boolean {
  return isOrganization(context) || (customerId !== null && customerScope(context) === customerId);
}

/** The user that the viewer acts for; null for the tokens that belong to nobody. */
export const viewerUserId = (viewer: Viewer | null): string | null =>
  viewer !== null && "userId" in viewer ? viewer.userId : null;

/** What is written as the maker of a key or version. */
export function viewerName(context: Context): string {
  return viewerUserId(context.viewer) ?? (isAdmin(context) ? "admin" : "system");
}
