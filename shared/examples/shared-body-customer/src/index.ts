import { flow, integration } from "@prismatic-io/spectral";

interface Invoice {
  accountId: string;
  invoice: string;
  amount?: number;
}

const invoicePaid = flow({
  name: "Invoice Paid",
  stableKey: "invoice-paid",
  description: "Books a payment",
  onExecution: async ({ logger, customer }, params) => {
    const { invoice, amount = 0 } = params.onTrigger.results.body.data as Invoice;
    logger.info(`Invoice ${invoice} was paid: ${amount.toFixed(2)} for ${customer.name}`);
    return { data: { customer: customer.externalId, invoice, state: "paid" } };
  },
});

const invoiceOverdue = flow({
  name: "Invoice Overdue",
  stableKey: "invoice-overdue",
  description: "Reminds of a payment",
  onExecution: async ({ logger, customer }, params) => {
    const { invoice } = params.onTrigger.results.body.data as Invoice;
    logger.warn(`Invoice ${invoice} of ${customer.name} is overdue`);
    return { data: { customer: customer.externalId, invoice, state: "overdue" } };
  },
});

/** One URL for all customers, no preprocess flow: the customer stands in the body, the flow in a header. */
export default integration({
  name: "Invoice Relay",
  description: "Invoices of all customers, through one URL",
  category: "Accounting",
  labels: ["example"],
  iconPath: "icon.png",
  endpointType: "shared_instance",
  triggerPreprocessFlowConfig: {
    flowNameField: "headers.x-flow-name",
    externalCustomerIdField: "body.data.accountId",
  },
  flows: [invoicePaid, invoiceOverdue],
});
