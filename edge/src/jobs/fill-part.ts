/** Keeps the window of a part full: reads its lines, rehearses them, and has what needs a GPU put into the queue. */
import { logWarning } from '../log.ts';
import type { BatchLine, PartOrder } from './contract.ts';
import { partLines } from './part-lines.ts';
import type { EndedItem, PartTable, Place } from './part-table.ts';
import { ownerOf } from './perform-commit.ts';
import { fitsQueue } from './queue.ts';
import { withSettings } from './read-line.ts';
import { inTurn, type Rehearsal } from './rehearsal-turn.ts';
import { RESULTS_FULL } from './result-budget.ts';
import { isPassing, repliedItem, unrepliedItem } from './results.ts';
import { PartSender, type SenderParts } from './send-items.ts';

/** Items that are rehearsed at a time, and in one alarm. */
const AT_A_TIME = 8;
/** Characters of their lines, which are tokenized without a pause: those of a longer line are alone. */
const CHARACTERS_AT_A_TIME = 2 ** 13;
/** Characters of their results, by what the last ones had. */
const RESULTS_AT_A_TIME = 2 ** 16;
const READ_PER_ALARM = 512;
/** Between two tries of what failed for reasons outside. */
const RETRY_MS = 5000;
const MAX_RETRY_MS = 60_000;
/** After so many an item has failed. */
const MAX_FAILURES = 20;
/** An item's line as its row holds it. */
const MAX_LINE_CHARACTERS = 500_000;

/** @property at when there is more to do, milliseconds since the epoch; null for never */
export type Progress = { at: number | null; hasEnded: boolean };

type Parts = SenderParts & { bucket: R2Bucket };

type Chunk = { line: BatchLine; next: Place }[];

export class PartFiller {
  readonly #parts: Parts;
  readonly #table: PartTable;
  readonly #sender: PartSender;
  /** How often in a row something outside was not to be had, and until when nothing is tried. */
  #delays = 0;
  #notBefore = 0;
  /** Whether items have ended without a GPU. */
  #hasEnded = false;
  /** Items that are rehearsed at a time, now that it is known how long their results are. */
  #atATime = AT_A_TIME;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#table = parts.table;
    this.#sender = new PartSender(parts);
  }

  /** Fills the window, and sends what is not in the queue. */
  async fill(): Promise<Progress> {
    this.#hasEnded = false;
    const at = await this.#fill();
    return { at, hasEnded: this.#hasEnded };
  }

  async #fill(): Promise<number | null> {
    // Commits wake the part too: they are no reason to try again sooner.
    if (Date.now() < this.#notBefore) return this.#notBefore;
    const { jobsWindow, jobsResendMs } = this.#parts.deps.config;
    let isDelayed: boolean;
    let isSent: boolean;
    try {
      isDelayed = await this.#read(jobsWindow);
    } finally {
      // What was read before is sent, whatever became of the rest.
      const { sent, hasEnded } = await this.#sender.send(jobsResendMs);
      isSent = sent === 'all';
      if (hasEnded) this.#hasEnded = true;
    }
    const now = Date.now();
    this.#delays = isDelayed || !isSent ? this.#delays + 1 : 0;
    if (this.#delays > 0) {
      this.#notBefore = now + Math.min(RETRY_MS * 2 ** (this.#delays - 1), MAX_RETRY_MS);
      return this.#notBefore;
    }
    return this.isHungry() ? now : this.#table.open.resendAt(jobsResendMs);
  }

  /** Whether there is something to do at once: lines to read and room for them, or an end. */
  isHungry(): boolean {
    const { state } = this.#table;
    if (state === null || state.isClosed) return false;
    const { place, order, ending } = state;
    const ended = state.tally.completed + state.tally.failed + state.tally.canceled;
    if (ended === order.items) return true;
    if (ending !== null) return true;
    if (place.item >= order.items) return false;
    const { jobsWindow } = this.#parts.deps.config;
    return Date.now() >= this.#notBefore && this.#table.openCount() <= jobsWindow / 2;
  }

  /** Reads and rehearses items until the window is full. @returns whether one has to wait for something outside */
  async #read(window: number): Promise<boolean> {
    const { state } = this.#table;
    if (state === null) return false;
    const { order } = state;
    let count = Math.min(window - this.#table.openCount(), READ_PER_ALARM);
    let from: Place = state.place;
    let chunk: Chunk = [];
    let characters = 0;
    const settings = JSON.stringify(order.settings ?? {}).length;
    const flush = async () => {
      const done = await inTurn(order.owner, characters, () => this.#tryChunk(order, from, chunk));
      from = chunk.at(-1)?.next ?? from;
      chunk = [];
      characters = 0;
      return done;
    };
    if (count <= 0 || from.item >= order.items) return false;
    let item = from.item;
    for await (const { text, next } of partLines(this.#parts.bucket, order, from)) {
      // Settings are read again with each.
      const length = settings + (text?.length ?? 0);
      // After a failure one is alone, so that it is known whose it is.
      const atATime = (this.#table.state?.failures ?? 0) > 0 ? 1 : this.#atATime;
      const isFull = chunk.length >= atATime || characters + length > CHARACTERS_AT_A_TIME;
      if (isFull && chunk.length > 0 && !(await flush())) return true;
      if (this.#isEnding()) return false;
      const line = withSettings(JSON.parse(text ?? '{}'), order.settings);
      chunk.push({ line, next: { offset: next, item: ++item } });
      characters += length;
      count--;
      if (count <= 0 || item >= order.items) break;
    }
    return chunk.length > 0 && !(await flush());
  }

  /** An error is a failure of the first item, which ends with it after so many: no item stops its part. */
  async #tryChunk(
    order: PartOrder,
    from: Place,
    chunk: Readonly<Chunk>,
  ): Promise<Rehearsal<boolean>> {
    try {
      return await this.#rehearse(order, from, chunk);
    } catch (error) {
      const { state } = this.#table;
      if (state === null || state.isClosed) throw error;
      const request_id = ownerOf(order, from.item).name;
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      logWarning('job-item-failure', { request_id, failures: state.failures, error: text });
      const [first] = chunk;
      const isOver = chunk.length === 1 && state.failures >= MAX_FAILURES;
      if (first === undefined || !isOver) {
        this.#table.update({ failures: state.failures + 1 });
        return { value: false, characters: 0 };
      }
      const place = { part: order.part, item: from.item };
      const ended = [unrepliedItem(place, first.line, 'failed', NOT_RUN)];
      if (this.#table.read(from, first.next, [], ended, Date.now())) this.#hasEnded = true;
      return { value: true, characters: 0 };
    }
  }

  /** @returns whether all of them can go on, and characters of what they have come to */
  async #rehearse(
    order: PartOrder,
    from: Place,
    chunk: Readonly<Chunk>,
  ): Promise<Rehearsal<boolean>> {
    const { rehearser } = this.#parts;
    // It may have been canceled while others had their turns.
    if (this.#isEnding()) return { value: true, characters: 0 };
    if (this.#isFull(order)) {
      this.#endFull(order, from, chunk);
      return { value: true, characters: 0 };
    }
    const failures = this.#table.state?.failures ?? 0;
    const rehearsed = await Promise.all(
      chunk.map(({ line }, index) => rehearser.rehearse(line, ownerOf(order, from.item + index))),
    );
    const open: Parameters<PartTable['read']>[2][number][] = [];
    const ended: EndedItem[] = [];
    let to = from;
    for (const [index, { line, next }] of chunk.entries()) {
      const item = from.item + index;
      const place = { part: order.part, item };
      const result = rehearsed[index];
      if (result === undefined) break;
      if (result.kind === 'work') {
        const text = JSON.stringify(line);
        const fits =
          text.length <= MAX_LINE_CHARACTERS && fitsQueue(JSON.stringify(result.work.task));
        if (fits) open.push({ item, line: text, work: result.work });
        else ended.push(unrepliedItem(place, line, 'failed', TOO_LARGE));
      } else {
        if (isPassing(result.reply.status) && (index > 0 || failures < MAX_FAILURES)) break;
        ended.push(repliedItem(place, line, result.reply));
      }
      to = next;
    }
    const characters = ended.reduce((sum, { line }) => sum + line.length, 0);
    this.#expectResults(characters / chunk.length);
    if (this.#isEnding()) return { value: true, characters };
    if (to.item > from.item && this.#table.read(from, to, open, ended, Date.now())) {
      if (ended.length > 0) this.#hasEnded = true;
    }
    const isAll = to === chunk.at(-1)?.next;
    if (to.item === from.item) this.#table.update({ failures: failures + 1 });
    return { value: isAll, characters };
  }

  #expectResults(characters: number): void {
    const fitting = Math.floor(RESULTS_AT_A_TIME / Math.max(characters, 1));
    this.#atATime = Math.min(Math.max(fitting, 1), AT_A_TIME);
  }

  #isFull({ maxResultBytes = Number.POSITIVE_INFINITY }: PartOrder): boolean {
    return (this.#table.state?.resultBytes ?? 0) >= maxResultBytes;
  }

  /** Ends items that are not run, since the results have their share. */
  #endFull({ part }: PartOrder, from: Place, chunk: Readonly<Chunk>): void {
    const ended = chunk.map(({ line }, index) =>
      unrepliedItem({ part, item: from.item + index }, line, 'failed', RESULTS_FULL),
    );
    const to = chunk.at(-1)?.next ?? from;
    if (this.#table.read(from, to, [], ended, Date.now())) this.#hasEnded = true;
  }

  /** Whether nothing more is to be run: what has not ended gets a line of its own. */
  #isEnding(): boolean {
    return this.#table.state?.ending !== null;
  }
}

const TOO_LARGE = {
  code: 'item_too_large',
  message:
    'The item is too large for the queue: send what it holds as images by URL, or fewer texts.',
};

const NOT_RUN = { code: 'item_failed', message: 'The item could not be run, however often.' };
