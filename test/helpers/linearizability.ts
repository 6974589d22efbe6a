/**
 * Was there an order, one operation after another, that explains what everybody saw and contradicts no clock? The search
 * of Wing and Gong (1993), with Lowe's memory of configurations already tried (2017).
 */

export interface Operation<I, O> {
  readonly input: I;
  /** What it answered; undefined when nobody knows: it may have taken effect at any time since, or never. */
  readonly output: O | undefined;
  readonly calledAt: number;
  /** Infinity when it never returned. */
  readonly returnedAt: number;
}

export interface Model<S, I, O> {
  readonly initial: S;
  /** The state after the operation, or undefined if it could not have answered so in this state. */
  readonly apply: (state: S, input: I, output: O | undefined) => S | undefined;
  /** Equal for equal states. */
  readonly key: (state: S) => string;
}

/** Operations beyond it are more than a test may ask. */
const OPERATIONS_MAX = 64;

/** An order of all operations with a known answer, and of those others that it takes, or undefined when there is none. */
export function linearize<S, I, O>(
  history: readonly Operation<I, O>[],
  model: Model<S, I, O>,
): Operation<I, O>[] | undefined {
  if (history.length > OPERATIONS_MAX) throw new Error(`wanted at most ${OPERATIONS_MAX} operations`);
  const operations = [...history].sort((a, b) => a.calledAt - b.calledAt);
  const bits = operations.map((_, i) => 1n << BigInt(i));
  const known = operations.reduce((mask, { output }, i) => output === undefined ? mask : mask | bits[i]!, 0n);
  const tried = new Set<string>();
  const order: Operation<I, O>[] = [];

  const search = (done: bigint, state: S): boolean => {
    if ((done & known) === known) return true;
    const configuration = `${done} ${model.key(state)}`;
    if (tried.has(configuration)) return false;
    tried.add(configuration);
    let earliestReturn = Infinity;
    for (const [i, { output, returnedAt }] of operations.entries()) {
      if (output !== undefined && (done & bits[i]!) === 0n) {
        earliestReturn = Math.min(earliestReturn, returnedAt);
      }
    }
    for (const wanted of [true, false]) {
      // Those whose answer nobody knows are tried last: as a rule the others explain themselves.
      for (const [i, operation] of operations.entries()) {
        // Whatever was called after something pending had returned comes after it.
        if (operation.calledAt > earliestReturn) break;
        if ((operation.output !== undefined) !== wanted || (done & bits[i]!) !== 0n) continue;
        const after = model.apply(state, operation.input, operation.output);
        // One that nobody saw and that changed nothing might as well not have been.
        if (after === undefined || (!wanted && model.key(after) === model.key(state))) continue;
        order.push(operation);
        if (search(done | bits[i]!, after)) return true;
        order.pop();
      }
    }
    return false;
  };

  return search(0n, model.initial) ? order : undefined;
}
