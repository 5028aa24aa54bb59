/** The whole schema: every noun registers itself on the builder when it is imported. */
import { builder } from "./builder.ts";
import "./scalars.ts";
import "./payloads.ts";
import "./organization.ts";
import "./users.ts";
import "./tokens.ts";
import "./customers.ts";
import "./components.ts";
import "./integrations.ts";
import "./flows.ts";
import "./versions.ts";
import "./media.ts";
import "./logSeverities.ts";
import "./feed.ts";
import "./instances.ts";
import "./flowConfigs.ts";
import "./configVariables.ts";
import "./apiKeys.ts";
import "./executions.ts";
import "./stepResults.ts";
import "./logs.ts";
import "./rejections.ts";
import "./commands.ts";
import "./reports.ts";
import "./testRuns.ts";
import "./replays.ts";

export const schema = builder.toSchema();
