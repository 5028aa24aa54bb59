import { integration } from "@prismatic-io/spectral";
import { configPages } from "./configPages.ts";
import { createOrder } from "./flows/createOrder.ts";
import { routeWebhook } from "./flows/routeWebhook.ts";
import { updateInventory } from "./flows/updateInventory.ts";

/** Acme ERP can be given one webhook URL only, so all customers' instances share this integration's. */
export default integration({
  name: "Acme ERP",
  description: "Stock movements and orders from Acme ERP",
  category: "ERP",
  labels: ["example"],
  version: "2.0.0",
  iconPath: "icon.png",
  endpointType: "shared_instance",
  configPages,
  flows: [routeWebhook, updateInventory, createOrder],
});
