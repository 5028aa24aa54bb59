import { type BuiltInInput, describeBuiltIn } from "./description.ts";

const dateTime = {
  label: "Date/Time",
  type: "data",
  required: true,
  comments: "A Date, an ISO text, or milliseconds since 1970.",
} as const satisfies BuiltInInput;
const timezone = {
  label: "Time Zone",
  type: "string",
  default: "UTC",
  comments: "As in Europe/Berlin.",
} as const satisfies BuiltInInput;
const amount = (label: string) => ({ label, type: "string" }) as const satisfies BuiltInInput;

export const datetime = describeBuiltIn({
  key: "datetime",
  label: "Date/Time",
  description: "Gets, moves and formats times.",
  category: "Helpers",
  actions: {
    getCurrentDateTime: {
      label: "Get Current Date/Time",
      description: "Now, as an ISO text in UTC.",
      inputs: {
        displayEpochInSeconds: {
          label: "Display Epoch In Seconds",
          type: "boolean",
          default: "false",
          comments: "Gives seconds since 1970 instead.",
        },
      },
    },
    adjustDateTime: {
      label: "Adjust Date/Time",
      description: "The time with what is given added to it; negative amounts are taken off.",
      inputs: {
        dateTime,
        seconds: amount("Seconds"),
        minutes: amount("Minutes"),
        hours: amount("Hours"),
        days: amount("Days"),
      },
    },
    formatDateTime: {
      label: "Format Date/Time",
      description: "The time as a text in a format of its own.",
      inputs: {
        dateTime,
        timezone,
        format: {
          label: "Format",
          type: "string",
          default: "YYYY-MM-DDTHH:mm:ss.SSSZ",
          comments: "YYYY, MM, MMM, DD, dddd, HH, hh, mm, ss, SSS, A, Z; text between brackets stays.",
        },
      },
    },
    convertToIsoString: {
      label: "Convert Date/Time To ISO String",
      description: "The time as an ISO text in UTC.",
      inputs: { dateTime },
    },
    convertToLocalIsoString: {
      label: "Convert Date/Time To Local ISO String",
      description: "The time as an ISO text in a time zone.",
      inputs: { dateTime, timezone },
    },
    convertToEpoch: {
      label: "Convert Date To Epoch",
      description: "The time as milliseconds since 1970.",
      inputs: {
        dateTime,
        displayEpochInSeconds: {
          label: "Display Epoch In Seconds",
          type: "boolean",
          default: "false",
        },
      },
    },
    convertFromEpoch: {
      label: "Convert Epoch Timestamp To Date",
      description: "Milliseconds since 1970 as an ISO text in UTC.",
      inputs: {
        epochTimestamp: { label: "Epoch Timestamp", type: "string", required: true },
        epochTimestampInSeconds: {
          label: "Epoch Timestamp in Seconds",
          type: "boolean",
          default: "false",
        },
      },
    },
  },
  triggers: {},
});
