/** A board in memory, of which every node has its own view. */
import type { Layout } from "../../src/core/layout.ts";
import type { LayoutBoard } from "../../src/ports.ts";

type Shown = Layout | "unreadable" | undefined;

export class MemoryLayoutBoard {
  readonly #tells = new Set<(shown: Shown) => void>();
  #shown: Shown;
  #isAway: boolean;

  constructor(isAway = false) {
    this.#isAway = isAway;
  }

  get shown(): Shown {
    return this.#shown;
  }

  /** Whatever stood there before. */
  show(shown: Shown): void {
    this.#shown = shown;
    if (this.#isAway) return;
    for (const tell of this.#tells) tell(shown);
  }

  comeBack(): void {
    this.#isAway = false;
    this.show(this.#shown);
  }

  view(): LayoutBoard {
    let own: (shown: Shown) => void = () => {};
    return {
      start: (onShown) => {
        own = onShown;
        this.#tells.add(own);
        if (!this.#isAway) own(this.#shown);
      },
      publish: (layout) => {
        const { shown } = this;
        const isOlder = shown === undefined ||
          (shown !== "unreadable" && shown.ringId === layout.ringId && shown.number < layout.number);
        if (isOlder) this.show(layout);
      },
      stop: () => Promise.resolve(void this.#tells.delete(own)),
    };
  }
}
