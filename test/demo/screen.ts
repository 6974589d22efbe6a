/** What the demo says: chapters, the command a person could type instead, what came of it. */

const isTerminal = process.stdout.isTTY;
const BAR_WIDTH = 32;

function styled(code: string, text: string): string {
  return isTerminal && process.env["NO_COLOR"] === undefined ? `\x1b[${code}m${text}\x1b[0m` : text;
}

export function chapter(title: string): void {
  console.log(`\n${styled("1", title)}`);
}

/** The command that does the same. */
export function command(line: string): void {
  console.log(styled("2", `  $ ${line}`));
}

export function result(line: string): void {
  console.log(`  ${styled("32", "✓")} ${line}`);
}

export function note(line: string): void {
  console.log(`    ${line}`);
}

/** A bar that is drawn over itself on a terminal, and quarters of the way elsewhere. */
export function progressBar(label: string, totalBytes: number): (doneBytes: number) => void {
  let shown = -1;
  const steps = isTerminal ? 100 : 4;
  return (doneBytes) => {
    const step = Math.floor(steps * doneBytes / totalBytes);
    if (step === shown) return;
    shown = step;
    const done = `${(doneBytes / 2 ** 20).toFixed(0)} of ${(totalBytes / 2 ** 20).toFixed(0)} MiB`;
    if (!isTerminal) {
      if (step > 0) note(`${label} ${done}`);
      return;
    }
    const filled = Math.round(BAR_WIDTH * doneBytes / totalBytes);
    process.stdout.write(`\r  ${label} [${"█".repeat(filled)}${"░".repeat(BAR_WIDTH - filled)}] ${done} `);
    if (doneBytes === totalBytes) process.stdout.write("\r\x1b[K");
  };
}
