/**
 * A finished reply as the GPU worker wrote it: tokens, not text, so that whoever replays it makes the same text, deltas
 * and log-probabilities of them as at first.
 */
import {
  type Frame,
  FrameError,
  framesOf,
  type GeneratedToken,
  type TokensPayload,
} from '@blip2/shared/frames';
import { decodeEvent, encodeEvent } from '@blip2/shared/gpu-events';
import type { GpuDone, ImageInfo } from '@blip2/shared/wire';
import type { GpuReplyEvent } from '../gpu/client.ts';

export type ReplyRecord = {
  image: ImageInfo;
  /** Tokens of the texts, in the order in which they came. */
  tokens: readonly TokensPayload[];
  /** How the texts ended; absent where every one of them met a stop sequence before the worker was done. */
  choices?: GpuDone['choices'];
};

/** Takes a reply down while its events pass. */
export class ReplyRecorder {
  #image: ImageInfo | undefined;
  readonly #tokens: { choice: number; tokens: GeneratedToken[] }[] = [];
  #choices: GpuDone['choices'] | undefined;

  add(event: GpuReplyEvent): void {
    switch (event.type) {
      case 'imageInfo':
        this.#image = event.image;
        break;
      case 'tokens': {
        const last = this.#tokens.at(-1);
        if (last?.choice === event.choice) last.tokens.push(...event.tokens);
        else this.#tokens.push({ choice: event.choice, tokens: [...event.tokens] });
        break;
      }
      case 'done':
        this.#choices = event.choices;
        break;
    }
  }

  /** @returns null where no image has come */
  record(): ReplyRecord | null {
    if (this.#image === undefined) return null;
    const end = this.#choices === undefined ? {} : { choices: this.#choices };
    return { image: this.#image, tokens: this.#tokens, ...end };
  }
}

/** The events of a reply, again. No time was spent on them. */
export function eventsOf({ image, tokens, choices }: ReplyRecord): GpuReplyEvent[] {
  return [
    { type: 'imageInfo', image },
    ...tokens.map((payload) => ({ type: 'tokens', ...payload }) as const),
    ...(choices === undefined ? [] : [{ type: 'done', choices, timings_ms: {} } as const]),
  ];
}

/** The record as bytes: frames, as the worker sends them. */
export async function encodeRecord(record: ReplyRecord): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await new Blob(eventsOf(record).map(encodeEvent)).arrayBuffer());
}

/** @throws FrameError for what is no record */
export function decodeRecord(bytes: Uint8Array<ArrayBuffer>): ReplyRecord {
  const recorder = new ReplyRecorder();
  for (const frame of framesOf(bytes)) recorder.add(eventOf(frame));
  const record = recorder.record();
  if (record === null) throw new FrameError('unexpected', 'a record has no image');
  return record;
}

function eventOf(frame: Frame): GpuReplyEvent {
  const event = decodeEvent(frame);
  if (event.type === 'error') throw new FrameError('unexpected', 'a record has no error frame');
  return event;
}
