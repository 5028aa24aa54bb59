import { flow } from "@prismatic-io/spectral";
import { isRecord, readWebhook } from "../acmeWebhook.ts";

interface Order {
  id: string;
  date: string;
  address: string[];
  total: number;
  isPaid: boolean;
  isShipped: boolean;
}

export const createOrder = flow({
  name: "Create Order",
  stableKey: "create-order",
  description: "Places the order that Acme took",
  onExecution: async ({ logger, customer, configVars }, params) => {
    const { data } = readWebhook(params.onTrigger.results.body.data);
    const order = readOrder(data);
    const warehouse = configVars.Warehouse;
    logger.info(`Order ${order.id} of ${order.date} over ${order.total.toFixed(2)}`);
    for (const line of order.address) logger.info(`  to ${line}`);
    if (!order.isPaid) logger.warn(`Order ${order.id} is not paid yet: it waits in ${warehouse}`);
    const status = order.isShipped ? "shipped" : order.isPaid ? "ready to ship" : "waiting for payment";
    logger.info(`Order ${order.id} is ${status}`);
    return {
      data: { customer: customer.externalId, warehouse, orderId: order.id, status, total: order.total },
    };
  },
});

function readOrder(data: unknown): Order {
  if (!isRecord(data)) throw new Error("An order must be an object.");
  const { orderid, date, addr_1, addr_2, total, paid, shipped } = data;
  if (typeof orderid !== "string" || orderid === "") throw new Error("An order needs an orderid.");
  if (typeof date !== "string" || Number.isNaN(Date.parse(date))) {
    throw new Error(`Order ${orderid} needs a date.`);
  }
  if (typeof total !== "number" || total < 0) throw new Error(`Order ${orderid} needs a total.`);
  const address = [addr_1, addr_2].filter((line): line is string => typeof line === "string" && line !== "");
  if (address.length === 0) throw new Error(`Order ${orderid} has no address.`);
  return { id: orderid, date, address, total, isPaid: paid === true, isShipped: shipped === true };
}
