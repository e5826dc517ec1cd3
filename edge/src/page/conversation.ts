/** The conversation about one image: its caption, then questions, one after another. */
import type { DoneEvent, ImageEvent } from '@blip2/shared/schemas/events';
import { Failure, wordsFor } from './failure.ts';
import type { ChosenImage } from './images.ts';
import { requestReply, type Turn } from './request-reply.ts';
import type { TurnFacts } from './turn-facts.ts';
import { type TurnActions, TurnView } from './turn-view.ts';

/** What is sent of the conversation: the model answers worse the more stands before a question. */
const MAX_EARLIER_TURNS = 4;

export type ConversationEvents = {
  /** A turn was added to the page. */
  onTurn: (view: TurnView) => void;
  /** The service has the image. */
  onAccepted: (image: ImageEvent) => void;
  /** @param isWarned whether its turn says already that it is a guess */
  onCaption: (caption: string, isWarned: boolean) => void;
  /** The image cannot be read: there is nothing to ask about it. */
  onRefused: () => void;
  /** Text was written. */
  onWritten: () => void;
  /** What people should hear: a whole reply, or why there is none. */
  onNews: (text: string) => void;
  onOtherImage: () => void;
};

type Exchange = {
  /** null for the caption. */
  question: string | null;
  view: TurnView;
  /** null until it is complete. */
  answer: string | null;
  abort: AbortController;
};

type Times = Pick<TurnFacts, 'uploadMs' | 'firstTokenMs' | 'totalMs'>;

export class Conversation {
  readonly #image: ChosenImage;
  readonly #maxFileBytes: number;
  readonly #on: ConversationEvents;
  readonly #exchanges: Exchange[] = [];
  /** Settles when all that was asked so far is answered, or never will be. */
  #queue: Promise<void> = Promise.resolve();
  /** Image id, once the service has said it. */
  #sha256: string | null = null;
  /** What was thrown where nothing can be asked about the image. */
  #refusal: unknown = null;

  constructor(image: ChosenImage, maxFileBytes: number, on: ConversationEvents) {
    this.#image = image;
    this.#maxFileBytes = maxFileBytes;
    this.#on = on;
  }

  /** The caption comes first. */
  start(): void {
    this.#add(null);
  }

  ask(question: string): void {
    this.#add(question);
  }

  /** Forgets all questions; the caption stays. */
  forgetQuestions(): void {
    for (const exchange of this.#exchanges.filter(({ question }) => question !== null)) {
      exchange.abort.abort();
      exchange.view.element.remove();
    }
    this.#exchanges.splice(1);
  }

  /** Ends what is still being written, and takes everything off the page. */
  end(): void {
    for (const { abort, view } of this.#exchanges.splice(0)) {
      abort.abort();
      view.element.remove();
    }
  }

  #add(question: string | null): void {
    const actions: TurnActions = {
      onStop: () => exchange.abort.abort(),
      onRetry: () => this.#enqueue(exchange),
      onOtherImage: this.#on.onOtherImage,
    };
    const view = new TurnView(question, actions);
    const exchange: Exchange = { question, view, answer: null, abort: new AbortController() };
    this.#exchanges.push(exchange);
    this.#on.onTurn(view);
    this.#enqueue(exchange);
  }

  #enqueue(exchange: Exchange): void {
    const { view } = exchange;
    exchange.abort = new AbortController();
    exchange.abort.signal.addEventListener('abort', () => view.show({ is: 'stopped' }));
    view.clear();
    view.show({ is: 'waiting' });
    this.#queue = this.#queue.then(() => this.#run(exchange));
  }

  async #run(exchange: Exchange): Promise<void> {
    const { view, question, abort } = exchange;
    const { signal } = abort;
    if (signal.aborted) return;
    try {
      if (question !== null && this.#refusal !== null) throw this.#refusal;
      const facts = await this.#write(exchange);
      const { text, warnings = [] } = facts.reply;
      exchange.answer = text;
      view.show({ is: 'done', facts });
      if (question === null) this.#on.onCaption(text, warnings.length > 0);
      this.#on.onWritten();
      this.#on.onNews(text);
    } catch (thrown) {
      if (signal.aborted) return;
      const words = wordsFor(thrown);
      if (question === null && words.remedy === 'image') {
        this.#refusal = thrown;
        this.#on.onRefused();
      }
      view.show({ is: 'failed', words });
      this.#on.onWritten();
      this.#on.onNews(words.sentence);
      if (!(thrown instanceof Failure)) reportError(thrown);
    }
  }

  /** Asks with as many earlier turns as the prompt has room for. */
  async #write(exchange: Exchange): Promise<TurnFacts> {
    const earlier = this.#turnsBefore(exchange);
    for (let leftOut = 0; ; leftOut++) {
      try {
        return { ...(await this.#writeOnce(exchange, earlier.slice(leftOut))), leftOut };
      } catch (thrown) {
        const isFull = thrown instanceof Failure && thrown.slug === 'prompt-too-long';
        if (!isFull || leftOut === earlier.length) throw thrown;
      }
    }
  }

  #turnsBefore(exchange: Exchange): Turn[] {
    return this.#exchanges
      .slice(0, this.#exchanges.indexOf(exchange))
      .filter((turn): turn is Exchange & Turn => turn.question !== null && turn.answer !== null)
      .map(({ question, answer }) => ({ question, answer }))
      .slice(-MAX_EARLIER_TURNS);
  }

  async #writeOnce(
    { view, question, abort }: Exchange,
    history: readonly Turn[],
  ): Promise<{ reply: DoneEvent } & Times> {
    const { signal } = abort;
    const image = { chosen: this.#image, sha256: this.#sha256, maxFileBytes: this.#maxFileBytes };
    const times: Times = { uploadMs: null, firstTokenMs: null, totalMs: 0 };
    let sentAt = performance.now();
    const events = requestReply(image, question === null ? null : { question, history }, {
      signal,
      onState: (state) => {
        if (!signal.aborted) view.show(state);
      },
      onUploaded: (uploadMs) => {
        sentAt = performance.now();
        times.uploadMs = uploadMs;
      },
    });
    for await (const event of events) {
      signal.throwIfAborted();
      times.totalMs = performance.now() - sentAt;
      switch (event.type) {
        case 'image':
          if (this.#sha256 === null) this.#on.onAccepted(event.image);
          this.#sha256 = event.image.sha256;
          break;
        case 'token':
          if (times.firstTokenMs === null) view.show({ is: 'streaming' });
          times.firstTokenMs ??= times.totalMs;
          view.write(event.token.text);
          this.#on.onWritten();
          break;
        case 'done':
          return { reply: event.reply, ...times };
      }
    }
    throw new Failure('cut-off');
  }
}
