import { describe, expect, it } from 'vitest';
import { createCleaner } from '../tokenizer/clean-up.ts';
import { TextStreamer } from './text-streamer.ts';

const TOKENS = [' a', ' red', ' do', 'g', '\n', '\xc3', '\xa9'].map((text) =>
  Uint8Array.from(text, (character) => character.charCodeAt(0)),
);
const bytesOf = (id: number) => TOKENS[id] ?? new Uint8Array();
const scored = (id: number) => ({ id, scored: { logprob: -id, top: [{ id: 0, logprob: -0.5 }] } });

describe('a text while it is generated', () => {
  it('is emitted in deltas, each with the index of its last token', () => {
    const streamer = new TextStreamer({ bytesOf }, []);
    const deltas = [0, 1, 2, 5, 6, 4].map((id) => streamer.put({ id }));
    expect(deltas).toEqual([
      { text: 'a', index: 0 },
      { text: ' red', index: 1 },
      { text: ' do', index: 2 },
      null,
      { text: 'é', index: 4 },
      null,
    ]);
    expect(streamer.end()).toBeNull();
    expect(streamer).toMatchObject({ text: 'a red doé', count: 6, isStopped: false });
  });

  it('ends before a stop sequence, and ignores further tokens', () => {
    const streamer = new TextStreamer({ bytesOf }, [' dog']);
    const deltas = [0, 2, 3, 1].map((id) => streamer.put({ id })?.text);
    expect(deltas).toEqual(['a', undefined, undefined, undefined]);
    expect(streamer).toMatchObject({ text: 'a', count: 3, isStopped: true });
    expect(streamer.end()).toBeNull();
  });

  it('is rewritten as its tokenizer says, before stop sequences are looked for', () => {
    const words = [' a', ' dog', ' .', ' it', " 's", ' .'];
    const decoding = {
      bytesOf: (id: number) => new TextEncoder().encode(words[id]),
      createRewriter: createCleaner,
    };
    const streamer = new TextStreamer(decoding, ["'s."]);
    for (const id of words.keys()) streamer.put({ id });
    expect(streamer).toMatchObject({ text: 'a dog. it', isStopped: true });
  });

  it('emits at its end what might have become a stop sequence', () => {
    const streamer = new TextStreamer({ bytesOf }, [' dogs']);
    expect([0, 2, 3].map((id) => streamer.put({ id })?.text)).toEqual(['a', undefined, undefined]);
    expect(streamer.end()).toEqual({ text: ' dog', index: 2 });
  });

  it('has the log-probabilities of all tokens since the last delta with each', () => {
    const streamer = new TextStreamer({ bytesOf }, []);
    streamer.put(scored(1));
    streamer.put(scored(5));
    const delta = streamer.put(scored(6));
    const top_logprobs = [{ id: 0, text: ' a', logprob: -0.5 }];
    expect(delta?.logprobs).toEqual([
      { id: 5, text: '\ufffd', logprob: -5, top_logprobs },
      { id: 6, text: '\ufffd', logprob: -6, top_logprobs },
    ]);
    expect(streamer.logprobs.map(({ id }) => id)).toEqual([1, 5, 6]);
  });
});
