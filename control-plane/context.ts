/** What every resolver is given, and who is asking. */
import type { Logger } from "pino";
import type { Config } from "../shared/config.ts";
import type { ChangeFeed } from "./changeFeed.ts";
import type { Store } from "./store/store.ts";

export type Viewer =
  | { role: "ADMIN"; tokenId: string | null; userId: string | null }
  | { role: "CUSTOMER"; tokenId: string; userId: string; customerId: string }
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
  urls: Urls;
  log: Logger;
}

export interface Context extends Services {
  /** Null where no token was sent. */
  viewer: Viewer | null;
  requestId: string;
}

/** The one customer that the viewer may see; null for an admin, who sees all. */
export function customerScope(context: Context): string | null {
  return context.viewer?.role === "CUSTOMER" ? context.viewer.customerId : null;
}

export const isAdmin = (context: Context): boolean => context.viewer?.role === "ADMIN";

/** Whether rows of this customer may be shown to the viewer. */
export function maySeeCustomer(context: Context, customerId: string | null): boolean {
  if (isAdmin(context)) return true;
  return context.viewer?.role === "CUSTOMER" && context.viewer.customerId === customerId;
}

/** What is written as the maker of a key or version. */
export function viewerName(context: Context): string {
  switch (context.viewer?.role) {
    case "ADMIN":
      return context.viewer.userId ?? "admin";
    case "CUSTOMER":
      return context.viewer.userId;
    default:
      return "system";
  }
}
