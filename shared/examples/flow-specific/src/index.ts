import { flow, integration } from "@prismatic-io/spectral";

interface Subscriber {
  email: string;
}

const subscribe = flow({
  name: "Subscribe",
  stableKey: "subscribe",
  description: "Adds a reader to the newsletter",
  onExecution: async ({ logger, customer }, params) => {
    const { email } = params.onTrigger.results.body.data as Subscriber;
    logger.info(`${email} now reads the newsletter of ${customer.name}`);
    return { data: { email, isSubscribed: true } };
  },
});

/** Synchronous: the sender waits, and its answer is what the flow returns. */
const checkAddress = flow({
  name: "Check Address",
  stableKey: "check-address",
  description: "Says at once whether an address can be subscribed",
  isSynchronous: true,
  onExecution: async ({ logger }, params) => {
    const { email } = params.onTrigger.results.body.data as Subscriber;
    const isAcceptable = /^[^@\s]+@[^@\s]+\.[^@\s]+$/.test(String(email));
    logger.info(`${email} is ${isAcceptable ? "" : "not "}acceptable`);
    return { data: { email, isAcceptable } };
  },
});

/** The default: a URL of its own for each flow of each customer's instance. */
export default integration({
  name: "Newsletter",
  description: "Newsletter readers, one URL for each flow",
  category: "Marketing",
  labels: ["example"],
  iconPath: "icon.png",
  flows: [subscribe, checkAddress],
});
