/** The examples that a first start publishes: where they are, who has them, and what to send them. */
export interface Example {
  /** Folder in `shared/examples`. */
  folder: string;
  /** The integration's name. */
  name: string;
  /** One line for the reader. */
  about: string;
  /** The entry file of each version, oldest first. */
  versions: { entry: string; comment: string }[];
  /** Which customer gets which version (1 is the oldest). */
  customers: { name: string; externalId: string; versionNumber: number }[];
  /** Requests to try, each to the URL of `flow` in the instance of `customer`. */
  requests: SampleRequest[];
}

export interface SampleRequest {
  about: string;
  /** External id of the customer whose URL is used; with a shared endpoint all have the same. */
  customer: string;
  /** The flow whose URL is used; with one URL for all flows any will do. */
  flow: string;
  headers?: Record<string, string>;
  body: unknown;
}

const hatters = { name: "Hatters of York", externalId: "hatters-of-york" };
const books = { name: "Bleecker Street Books", externalId: "bleecker-street-books" };

export const examples: Example[] = [
  {
    folder: "acme-erp",
    name: "Acme ERP",
    about: "one URL for all customers; a preprocess flow finds the customer and the flow",
    versions: [
      { entry: "src/versions/v1.ts", comment: "Stock movements and orders" },
      { entry: "src/index.ts", comment: "Update Inventory totals the units of each item" },
    ],
    customers: [
      { ...hatters, versionNumber: 2 },
      { ...books, versionNumber: 1 },
    ],
    requests: [
      {
        about: "Acme customer A06DFFAC updates its inventory",
        customer: hatters.externalId,
        flow: "Update Inventory",
        body: {
          customerId: "A06DFFAC",
          type: "inventory_update",
          data: [
            {
              txid: "E865298B-A3EC-4D17-B410-5FDFC8861BA7",
              item: "bowler hat",
              quantity: 5,
              state: "removed",
            },
            { txid: "4A38DE96-EA6B-4AB9-B9E2-3B033CA997CC", item: "pencils", quantity: 20, state: "added" },
          ],
        },
      },
      {
        about: "Acme customer C3E72B0C creates an order",
        customer: books.externalId,
        flow: "Create Order",
        body: {
          customerId: "C3E72B0C",
          type: "create_order",
          data: {
            orderid: "75F5AEC5-D482-4386-8878-219F92185DEC",
            date: "2021-09-08",
            shipped: false,
            addr_1: "177A Bleecker St.",
            addr_2: "New York, NY 10012",
            total: 122.57,
            paid: true,
          },
        },
      },
    ],
  },
  {
    folder: "instance-specific-body",
    name: "Parcel Tracker",
    about: "one URL for each customer; the body names the flow",
    versions: [{ entry: "src/index.ts", comment: "First version" }],
    customers: [{ ...hatters, versionNumber: 1 }],
    requests: [
      {
        about: "A parcel comes late",
        customer: hatters.externalId,
        flow: "parcel.delayed",
        body: { event: "parcel.delayed", parcel: "P-1001", hoursLate: 3 },
      },
    ],
  },
  {
    folder: "instance-specific-header",
    name: "Helpdesk Sync",
    about: "one URL for each customer; a header names the flow",
    versions: [{ entry: "src/index.ts", comment: "First version" }],
    customers: [{ ...hatters, versionNumber: 1 }],
    requests: [
      {
        about: "A ticket is opened",
        customer: hatters.externalId,
        flow: "Open Ticket",
        headers: { "X-Flow-Name": "Open Ticket" },
        body: { ticket: 17, subject: "The hat is too small" },
      },
    ],
  },
  {
    folder: "flow-specific",
    name: "Newsletter",
    about: "one URL for each flow of each customer; this flow answers with its result",
    versions: [{ entry: "src/index.ts", comment: "First version" }],
    customers: [{ ...books, versionNumber: 1 }],
    requests: [
      {
        about: "Can this address be subscribed?",
        customer: books.externalId,
        flow: "Check Address",
        body: { email: "reader@example.com" },
      },
    ],
  },
  {
    folder: "shared-body-customer",
    name: "Invoice Relay",
    about: "one URL for all customers; the body names the customer, a header the flow",
    versions: [{ entry: "src/index.ts", comment: "First version" }],
    customers: [
      { ...hatters, versionNumber: 1 },
      { ...books, versionNumber: 1 },
    ],
    requests: [
      {
        about: "An invoice of Bleecker Street Books was paid",
        customer: books.externalId,
        flow: "Invoice Paid",
        headers: { "X-Flow-Name": "Invoice Paid" },
        body: { accountId: books.externalId, invoice: "2026-0042", amount: 19.9 },
      },
    ],
  },
];
