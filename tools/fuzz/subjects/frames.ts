/** Decodes frames: those that were encoded must come back, and bytes that are none give a FrameError. */
import { isDeepStrictEqual } from 'node:util';
import {
  decodeJson,
  decodeTokens,
  encodeFrame,
  encodeTokensFrame,
  FRAME_HEADER_BYTES,
  type Frame,
  FrameError,
  readFrames,
  type TokensPayload,
} from '@blip2/shared/frames';
import { decodeEvent } from '@blip2/shared/gpu-events';
import { Violation } from '../violation.ts';

export type FramesInput =
  | { kind: 'frames'; frames: Frame[]; cuts: number[] }
  | { kind: 'tokens'; value: TokensPayload }
  | { kind: 'bytes'; bytes: Uint8Array; cuts: number[] };

/** The limit of a payload, so that a header that promises more is refused. */
const MOST_BYTES = 2 ** 20;

export async function readFrameBytes(input: FramesInput): Promise<string> {
  switch (input.kind) {
    case 'frames': {
      const bytes = Buffer.concat(
        input.frames.map(({ type, payload }) => encodeFrame(type, payload)),
      );
      const { frames } = await read(bytes, input.cuts);
      const plain = (all: readonly Frame[]) =>
        all.map(({ type, payload }) => ({ type, payload: Buffer.from(payload).toString('hex') }));
      if (!isDeepStrictEqual(plain(frames), plain(input.frames))) {
        throw new Violation('frames come back as others');
      }
      return 'the same frames';
    }
    case 'tokens': {
      const decoded = decodeTokens(encodeTokensFrame(input.value).subarray(FRAME_HEADER_BYTES));
      if (!isDeepStrictEqual(decoded, float32(input.value))) {
        throw new Violation('tokens come back as others');
      }
      return 'the same tokens';
    }
    case 'bytes': {
      const { frames, end } = await read(input.bytes, input.cuts);
      if (frames.length * FRAME_HEADER_BYTES > input.bytes.length) {
        throw new Violation('more frames than the bytes have room for');
      }
      for (const frame of frames) decodeAll(frame);
      return end;
    }
  }
}

async function read(bytes: Uint8Array, cuts: readonly number[]) {
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length];
  places.sort((a, b) => a - b);
  const chunks = places.slice(1).map((place, i) => bytes.slice(places[i], place));
  const frames: Frame[] = [];
  try {
    for await (const frame of readFrames(ReadableStream.from(chunks), MOST_BYTES))
      frames.push(frame);
    return { frames, end: 'frames' };
  } catch (error) {
    if (!(error instanceof FrameError)) throw error;
    return { frames, end: error.code };
  }
}

/** Whatever a payload is, each decoder takes it or refuses it. */
function decodeAll(frame: Frame): void {
  for (const decode of [
    () => decodeEvent(frame),
    () => decodeTokens(frame.payload),
    () => decodeJson(frame.payload),
  ]) {
    try {
      decode();
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
    }
  }
}

/** Log-probabilities travel as float32. */
function float32({ choice, tokens }: TokensPayload): TokensPayload {
  const rounded = tokens.map(({ id, scored }) => {
    if (scored === undefined) return { id };
    const top = scored.top.map((token) => ({ id: token.id, logprob: Math.fround(token.logprob) }));
    return { id, scored: { logprob: Math.fround(scored.logprob), top } };
  });
  return { choice, tokens: rounded };
}
