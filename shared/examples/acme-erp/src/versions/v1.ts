import { integration } from "@prismatic-io/spectral";
import { configPages } from "../configPages.ts";
import { createOrder } from "../flows/createOrder.ts";
import { routeWebhook } from "../flows/routeWebhook.ts";
import { updateInventoryV1 } from "./updateInventoryV1.ts";

/** Version 1, kept beside the current one so that the example can have a customer on each. */
export default integration({
  name: "Acme ERP",
  description: "Stock movements and orders from Acme ERP",
  category: "ERP",
  labels: ["example"],
  version: "1.0.0",
  iconPath: "icon.png",
  endpointType: "shared_instance",
  configPages,
  flows: [routeWebhook, updateInventoryV1, createOrder],
});
