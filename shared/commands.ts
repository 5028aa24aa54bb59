/** What the control plane wants done by a data plane: durable rows, leased by one data plane, idempotent by id. */
import type { InputValue } from "./definition.ts";
import type { InvokeType, StoredRequest } from "./reports.ts";
import type { PartReference } from "./requiredConfigVars.ts";

export type Command = { id: string; attempts: number } & (
  | {
      /** Run one flow of an instance (a test or `testInstanceFlowConfig`), without routing and without keys. */
      kind: "RUN_FLOW";
      payload: {
        executionId: string;
        instanceId: string;
        flowStableKey: string;
        isDebug: boolean;
        request: StoredRequest;
      };
    }
  | {
      /** Run the draft's endpoint configuration on the test customer. The outcome is the execution's. */
      kind: "TEST_ENDPOINT";
      payload: { executionId: string; integrationId: string; isDebug: boolean; request: StoredRequest };
    }
  | {
      /** Send a kept request the whole way again. The outcome is the execution's. */
      kind: "REPLAY";
      payload: { executionId: string; replayOf: string | null; request: StoredRequest };
    }
  | {
      /** Run the flow of a failed execution again, without routing and without keys: it was accepted before. */
      kind: "RETRY";
      payload: {
        executionId: string;
        /** The execution that failed first, and which retry of it this is. */
        retry: { of: string; number: number };
        instanceId: string;
        flowStableKey: string;
        userId: string | null;
        invokeType: InvokeType;
        isDebug: boolean;
        replayOf: string | null;
        request: StoredRequest;
      };
    }
  | {
      /**
       * Run one flow of an instance because of something else than a request: the request's `invocation` says what.
       * `feedVersion`: the change of configuration that it follows.
       */
      kind: "INVOKE_FLOW";
      payload: {
        executionId: string;
        instanceId: string;
        flowStableKey: string;
        feedVersion: number;
        invokeType: InvokeType;
        isDebug: boolean;
        replayOf: string | null;
        invokedBy: string | null;
        request: StoredRequest;
      };
    }
  | {
      /** End an execution, whether it waits or runs. For each data plane by itself: nobody else knows who holds it. */
      kind: "CANCEL";
      payload: { canceledId: string };
    }
  | {
      /** Fetch and load what an instance's version runs on, so that a bundle that can't load fails the deploy. */
      kind: "PREPARE_DEPLOY";
      payload: { instanceId: string; definitionDigest: string };
    }
  | {
      /** Run a data source of a component, with what an instance was configured with so far. */
      kind: "RUN_DATA_SOURCE";
      payload: {
        dataSource: PartReference;
        /** Of the component's package. */
        digest: string;
        inputs: Record<string, InputValue>;
        /** JSON of `ConfigVarValues`, sealed (purpose `configVars`). */
        sealedConfigVars: string;
        attributes: DataSourceAttributes;
      };
    }
);

/** What a data source's context says of whom it runs for. */
export interface DataSourceAttributes {
  customer: { id: string; externalId: string; name: string };
  instance: { id: string; name: string };
  user: { id: string; email: string; name: string; externalId: string };
}

export type CommandKind = Command["kind"];

export interface CommandResult {
  id: string;
  /** A sentence for the admin, or null where it went well. */
  error: string | null;
  /** JSON of what it gave, for commands that are asked for something. */
  result?: string;
}
