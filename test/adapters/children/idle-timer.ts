/** A process that ends at once, if a clock's timer does not keep it alive. */
import { createClock } from "../../../src/adapters/clock.ts";

createClock().after(60_000, () => undefined);
createClock().after(1e12, () => undefined);
