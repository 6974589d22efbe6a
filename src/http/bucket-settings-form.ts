/** The form of a bucket's settings, as they come from outside and as the ring keeps them. */
import { z } from "zod";
import { type BucketSettings, mayBeForwarded } from "../core/bucket-settings.ts";
import { parseDirectives } from "../core/cache-control.ts";

const SECONDS_MAX = 2 ** 31;
const RULES_MAX = 100;
const NAMES_MAX = 64;

const token = z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/, "wanted a name as HTTP has them");
const seconds = z.int().min(1).max(SECONDS_MAX);

const cacheControl = z.string().min(1).max(1_000)
  .regex(/^[\x20-\x7e]*$/, "wanted printable ASCII")
  .refine((text) => (parseDirectives(text)?.size ?? 0) > 0, "wanted directives of Cache-Control");

const origin = z.strictObject({
  url: z.string().max(1_000).refine(
    isOriginUrl,
    "wanted a URL like https://example.com/files, without query and password",
  )
    .transform((url) => url.replace(/\/+$/, "")),
  forward: z.array(
    token.transform((name) => name.toLowerCase())
      .refine(mayBeForwarded, "wanted a request header that clients may pass on"),
  ).max(NAMES_MAX).optional(),
  redirects: z.enum(["follow", "pass"]).optional(),
  timeoutSeconds: z.int().min(1).max(300).optional(),
  maxBytes: z.int().min(0).optional(),
});

const cors = z.strictObject({
  origins: z.array(z.string().min(1).max(300)).min(1).max(NAMES_MAX),
  methods: z.array(token).min(1).max(NAMES_MAX),
  headers: z.array(token).max(NAMES_MAX).optional(),
  expose: z.array(token).max(NAMES_MAX).optional(),
  maxAgeSeconds: z.int().min(0).max(SECONDS_MAX).optional(),
});

export const bucketSettingsForm: z.ZodType<BucketSettings> = z.strictObject({
  public: z.literal("read").optional(),
  cacheControl: cacheControl.optional(),
  ttl: seconds.optional(),
  origin: origin.optional(),
  website: z.boolean().optional(),
  cors: z.array(cors).max(RULES_MAX).optional(),
  quota: z.strictObject({ bytes: z.int().min(0).optional(), objects: z.int().min(0).optional() }).optional(),
});

/** A password would stand in every listing of settings. */
function isOriginUrl(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && (url.protocol === "http:" || url.protocol === "https:") &&
    url.username + url.password + url.search + url.hash === "" && !/[?#\s]/.test(text);
}
