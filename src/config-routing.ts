/** Where readers of large objects are sent, as the settings say it. */
import { z } from "zod";
import { bytes } from "./config-values.ts";

export interface RoutingSettings {
  /** `here`: nobody is sent anywhere. */
  readonly mode: "here" | "redirect" | "fly-replay";
  /** Of an answer's content; less is answered here. */
  readonly minBytes: number;
}

export const ROUTING_VARIABLES = {
  ATOLL_ROUTE: {
    schema: z.enum(["here", "redirect", "fly-replay"], { error: "wanted here, redirect or fly-replay" }),
    default: "here",
    meaning: "who answers what is large and not here: this node, or the nearest replica (see the README)",
  },
  ATOLL_ROUTE_MIN_BYTES: {
    schema: bytes(1),
    default: "8MiB",
    meaning: "what is large to ATOLL_ROUTE",
  },
} as const;

type Values = {
  [K in keyof typeof ROUTING_VARIABLES]: z.infer<(typeof ROUTING_VARIABLES)[K]["schema"]> | undefined;
};

export function routingSettings(values: Values): RoutingSettings {
  return { mode: values.ATOLL_ROUTE!, minBytes: values.ATOLL_ROUTE_MIN_BYTES! };
}
