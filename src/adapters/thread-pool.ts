/**
 * Node runs file operations and hashing beside the event loop on a pool of four threads, and a sync holds one of them
 * for as long as the disk takes: four syncs, and every read waits. The size is read once, at the pool's first use, so
 * this module has to be imported before any other. Deno's pool needs no setting.
 */
import process from "node:process";

process.env["UV_THREADPOOL_SIZE"] ??= "24";
