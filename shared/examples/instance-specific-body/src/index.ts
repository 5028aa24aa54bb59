import { flow, integration } from "@prismatic-io/spectral";

interface ParcelEvent {
  event: string;
  parcel: string;
  place?: string;
  hoursLate?: number;
}

const parcelDelivered = flow({
  name: "parcel.delivered",
  stableKey: "parcel-delivered",
  description: "Notes where a parcel was left",
  onExecution: async ({ logger, customer }, params) => {
    const { parcel, place = "the front door" } = params.onTrigger.results.body.data as ParcelEvent;
    logger.info(`Parcel ${parcel} was left at ${place}`);
    return { data: { customer: customer.externalId, parcel, state: "delivered" } };
  },
});

const parcelDelayed = flow({
  name: "parcel.delayed",
  stableKey: "parcel-delayed",
  description: "Warns of a parcel that comes late",
  onExecution: async ({ logger, customer }, params) => {
    const { parcel, hoursLate = 0 } = params.onTrigger.results.body.data as ParcelEvent;
    logger.warn(`Parcel ${parcel} is ${hoursLate} hours late`);
    return { data: { customer: customer.externalId, parcel, state: "delayed", hoursLate } };
  },
});

/** One URL for each customer; the body's `event` is the name of the flow. */
export default integration({
  name: "Parcel Tracker",
  description: "Deliveries and delays, one URL for each customer",
  category: "Logistics",
  labels: ["example"],
  iconPath: "icon.png",
  endpointType: "instance_specific",
  triggerPreprocessFlowConfig: { flowNameField: "body.data.event" },
  flows: [parcelDelivered, parcelDelayed],
});
