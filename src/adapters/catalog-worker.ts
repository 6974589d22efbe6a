/**
 * The catalog's thread: the module that starts it, and what runs in it.
 *
 * Both in one module, found by its own address. A bundle of one file carries the module a second time, on its own and as
 * text: at the bundle's address the thread would load, and keep in memory, all the rest as well.
 */
import { setImmediate } from "node:timers";
import { isMainThread, type MessagePort, parentPort, Worker, workerData } from "node:worker_threads";
import type { Answer, CatalogWorkerOptions, Notice, Opened, Question } from "./catalog-messages.ts";
import type { ReadQuestion } from "./catalog-reads.ts";
import { CatalogStore, faultOf } from "./catalog-store.ts";

const ROLE = "atoll-catalog";
/** Rows and buffers on their way are short-lived and small. */
const YOUNG_GENERATION_MB = 8;

/** This module as one piece of JavaScript, where the build has put it. */
declare const ATOLL_CATALOG_WORKER: string | undefined;

export function spawnCatalogWorker(options: CatalogWorkerOptions): Worker {
  const url = typeof ATOLL_CATALOG_WORKER === "string"
    ? `data:text/javascript,${encodeURIComponent(ATOLL_CATALOG_WORKER)}`
    : import.meta.url;
  return new Worker(new URL(url), {
    workerData: { role: ROLE, options },
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
  });
}

function serve(port: MessagePort, options: CatalogWorkerOptions): void {
  let store: CatalogStore;
  try {
    store = new CatalogStore(options, (mended) => port.postMessage({ mended } satisfies Notice));
  } catch (error) {
    port.postMessage({ opened: true, fault: faultOf(error) } satisfies Opened);
    return;
  }
  port.postMessage({ opened: true } satisfies Opened);
  let waiting: Question[] = [];
  port.on("message", (questions: Question[]) => {
    // Whatever came in while the last sync ran is delivered before the immediate, and joins the next one.
    if (waiting.length === 0) {
      setImmediate(() => {
        const all = waiting;
        waiting = [];
        answerAll(port, store, all);
      });
    }
    waiting.push(...questions);
  });
}

/** Reads first, and answered at once: they need not wait for the sync of commits they cannot depend on. */
function answerAll(port: MessagePort, store: CatalogStore, questions: readonly Question[]): void {
  const commits: Question<"commit">[] = [];
  const answers: Answer[] = [];
  const transfers: ArrayBuffer[] = [];
  const mends: Question<"mend">[] = [];
  let closing: Question<"close"> | undefined;
  for (const question of questions) {
    if (question.type === "commit") commits.push(question);
    else if (question.type === "mend") mends.push(question);
    else if (question.type === "close") closing = question;
    else answers.push(read(store, question, transfers));
  }
  if (answers.length > 0) port.postMessage(answers, transfers);
  if (commits.length > 0) {
    const faults = store.commit(commits.map(({ change }) => change));
    port.postMessage(commits.map(({ id }, index): Answer => ({ id, fault: faults[index] })));
  }
  if (mends.length > 0) {
    const fault = store.mend();
    port.postMessage(mends.map(({ id }): Answer => ({ id, fault })));
  }
  if (closing) {
    store.close();
    port.postMessage([{ id: closing.id } satisfies Answer]);
  }
}

function read(
  store: CatalogStore,
  question: ReadQuestion,
  transfers: ArrayBuffer[],
): Answer {
  const { id } = question;
  try {
    const value = store.reads.answer(question);
    if (value instanceof ArrayBuffer) transfers.push(value);
    return { id, value };
  } catch (error) {
    return { id, fault: faultOf(error) };
  }
}

function isOurs(data: unknown): data is { options: CatalogWorkerOptions } {
  return typeof data === "object" && data !== null && "role" in data && data.role === ROLE;
}

if (!isMainThread && parentPort && isOurs(workerData)) serve(parentPort, workerData.options);
