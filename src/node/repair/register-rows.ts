/** Looking at all registers of this node, one page after the other, past those whose rows are damaged. */
import { compareUtf8, type Name } from "../../core/names.ts";
import { DamagedRegister } from "../../errors.ts";
import type { Catalog, RegisterRow } from "../../ports.ts";

export interface RegisterRowsDeps {
  catalog: Catalog;
  /** Its row was passed over. The same one may be named several times in a row. */
  onDamaged: (name: Name) => void;
}

/** The next registers after that name, at most `limit`; none at the end, and only there. `thorough`: as in `Catalog.scan`. */
export async function nextRegisters(
  { catalog, onDamaged }: RegisterRowsDeps,
  after: Name,
  limit: number,
  thorough = false,
): Promise<readonly RegisterRow[]> {
  for (let from = after, most = limit;;) {
    try {
      return await catalog.scan({ prefix: "", after: from, limit: most }, thorough);
    } catch (error) {
      if (!(error instanceof DamagedRegister)) throw error;
      onDamaged(error.register);
      // First those before it one by one, then what comes after it.
      if (most > 1) most = 1;
      else if (compareUtf8(error.register, from) > 0) {
        from = error.register;
        most = limit;
      } else throw error;
    }
  }
}
