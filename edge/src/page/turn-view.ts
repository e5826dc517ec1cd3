/** One turn of the conversation on the page: what was asked, what was answered, and how far it is. */
import type { Warning } from '@blip2/shared/schemas/generation';
import { copyOf, within } from './elements.ts';
import type { Words } from './failure.ts';
import { factsLine, type TurnFacts } from './turn-facts.ts';

export type TurnState =
  | { is: 'waiting' }
  | { is: 'uploading'; sent: number; total: number }
  /** All was sent, and nothing has been written yet. */
  | { is: 'encoding'; what: string }
  | { is: 'streaming' }
  | { is: 'done'; facts: TurnFacts }
  | { is: 'stopped' }
  | { is: 'failed'; words: Words };

export type TurnActions = { onStop: () => void; onRetry: () => void; onOtherImage: () => void };

const MEGABYTE = 1e6;

export class TurnView {
  readonly element = copyOf('turn');
  readonly #said = within(this.element, '.said', HTMLElement);
  readonly #failure = within(this.element, '.failure', HTMLElement);
  readonly #status = within(this.element, '.status', HTMLElement);
  readonly #progress = within(this.element, 'progress', HTMLProgressElement);
  readonly #stop = within(this.element, '.stop', HTMLButtonElement);
  readonly #retry = within(this.element, '.retry', HTMLButtonElement);
  readonly #otherImage = within(this.element, '.other-image', HTMLButtonElement);
  readonly #warnings = within(this.element, '.warnings', HTMLElement);
  #facts: HTMLElement | null = null;

  /** @param question null for the caption */
  constructor(question: string | null, { onStop, onRetry, onOtherImage }: TurnActions) {
    within(this.element, '.asked', HTMLElement).textContent = question ?? 'Caption';
    if (question === null) this.element.classList.add('caption');
    within(this.element, '.reply', HTMLElement).dataset.testid =
      question === null ? 'caption' : 'answer';
    this.#stop.addEventListener('click', onStop);
    this.#retry.addEventListener('click', onRetry);
    this.#otherImage.addEventListener('click', onOtherImage);
  }

  get text(): string {
    return this.#said.textContent ?? '';
  }

  write(text: string): void {
    this.#said.textContent += text;
  }

  clear(): void {
    this.#said.textContent = '';
  }

  show(state: TurnState): void {
    const { element } = this;
    const { activeElement: focused } = document;
    element.dataset.state = state.is;
    const isPending = ['waiting', 'uploading', 'encoding', 'streaming'].includes(state.is);
    element.setAttribute('aria-busy', String(isPending));
    this.#status.textContent = statusOf(state);
    this.#progress.hidden = state.is !== 'uploading';
    if (state.is === 'uploading') {
      this.#progress.max = state.total;
      this.#progress.value = state.sent;
    }
    this.#failure.textContent = state.is === 'failed' ? state.words.sentence : '';
    const remedy = state.is === 'failed' ? state.words.remedy : null;
    this.#stop.hidden = !isPending;
    this.#retry.hidden = state.is !== 'stopped' && remedy !== 'retry';
    this.#otherImage.hidden = remedy !== 'image';
    const warnings = state.is === 'done' ? (state.facts.reply.warnings ?? []) : [];
    this.#warnings.replaceChildren(...warnings.map(noteOf));
    this.#warnings.hidden = warnings.length === 0;
    this.#facts?.remove();
    this.#facts = state.is === 'done' ? factsLine(state.facts) : null;
    if (this.#facts !== null) element.append(this.#facts);
    // A button that goes away must not take the focus with it.
    if (element.contains(focused) && focused?.closest('[hidden]')) element.focus();
  }
}

/** A warning in words; the page has no more to say of it than the API. */
function noteOf({ detail, remedy }: Warning): HTMLElement {
  const note = document.createElement('li');
  note.className = 'caution';
  note.dataset.testid = 'warning';
  const [before, command, after] = remedy.split('`');
  note.append(`${detail} ${before ?? ''}`);
  if (command !== undefined) {
    const code = document.createElement('code');
    code.textContent = command;
    note.append(code, after ?? '');
  }
  const link = document.createElement('a');
  link.href = '/docs';
  link.textContent = 'How to load one';
  note.append(' ', link);
  return note;
}

function statusOf(state: TurnState): string {
  switch (state.is) {
    case 'waiting':
      return 'Waiting for its turn';
    case 'uploading': {
      const [sent, total] = [state.sent / MEGABYTE, state.total / MEGABYTE];
      return total < 0.1 ? 'Uploading' : `Uploading ${sent.toFixed(1)} of ${total.toFixed(1)} MB`;
    }
    case 'encoding':
      return state.what;
    case 'streaming':
      return 'Writing';
    case 'stopped':
      return 'Stopped';
    case 'done':
    case 'failed':
      return '';
  }
}
