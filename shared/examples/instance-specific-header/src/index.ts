import { flow, integration } from "@prismatic-io/spectral";

interface Ticket {
  ticket: number;
  subject?: string;
}

const openTicket = flow({
  name: "Open Ticket",
  stableKey: "open-ticket",
  description: "Takes in a new ticket",
  onExecution: async ({ logger, customer }, params) => {
    const { ticket, subject = "(no subject)" } = params.onTrigger.results.body.data as Ticket;
    logger.info(`Ticket ${ticket} was opened: ${subject}`);
    return { data: { customer: customer.externalId, ticket, state: "open" } };
  },
});

const closeTicket = flow({
  name: "Close Ticket",
  stableKey: "close-ticket",
  description: "Closes a ticket",
  onExecution: async ({ logger, customer }, params) => {
    const { ticket } = params.onTrigger.results.body.data as Ticket;
    logger.info(`Ticket ${ticket} was closed`);
    return { data: { customer: customer.externalId, ticket, state: "closed" } };
  },
});

/** One URL for each customer; the header `x-flow-name` is the name of the flow. */
export default integration({
  name: "Helpdesk Sync",
  description: "Tickets of a helpdesk, one URL for each customer",
  category: "Support",
  labels: ["example"],
  iconPath: "icon.png",
  endpointType: "instance_specific",
  triggerPreprocessFlowConfig: { flowNameField: "headers.x-flow-name" },
  flows: [openTicket, closeTicket],
});
