/** A decoder and its KV manager without an engine: prompts and tokens in, logits out. */
import { KvManager, type KvManagerOptions } from '@blip2/gpu-worker/engine/kv/kv-manager';
import type {
  DecodeRow,
  Decoder,
  ForwardBatch,
  Prompt,
} from '@blip2/gpu-worker/engine/models/decoder';

export class DecoderDriver {
  readonly decoder: Decoder;
  readonly kv: KvManager;

  constructor(decoder: Decoder, options: KvManagerOptions) {
    this.decoder = decoder;
    this.kv = new KvManager(decoder, options);
  }

  /** Whole prompts into consecutive slots. @returns logits of each, float32 [vocab] */
  prefill(firstSlot: number, prompts: readonly Prompt[]): Promise<Float32Array[]> {
    const rows = prompts.map((prompt) => ({
      prompt,
      positions: { start: 0, end: this.decoder.imagePositions + prompt.ids.length },
    }));
    return this.#pass({ kind: 'prefill', firstSlot, rows });
  }

  /** The text ids from `start` to before `end` of a prompt whose slot holds those before. @returns logits, float32 [vocab] */
  async prefillChunk(slot: number, prompt: Prompt, start: number, end: number) {
    const { imagePositions } = this.decoder;
    const positions = { start: imagePositions + start, end: imagePositions + end };
    const rows = [{ prompt, positions }];
    const [logits] = await this.#pass({ kind: 'prefill', firstSlot: slot, rows });
    return logits!;
  }

  /** One token for the rows in the slots 0 … n−1. @returns logits of each, float32 [vocab] */
  step(rows: readonly (DecodeRow | null)[]): Promise<Float32Array[]> {
    return this.#pass({ kind: 'decode', rows });
  }

  async release(): Promise<void> {
    this.kv.release();
    await this.decoder.release();
  }

  async #pass(planned: ForwardBatch): Promise<Float32Array[]> {
    const { batch } = await this.kv.restorePrefixes(planned);
    using out = await this.decoder.forward(batch);
    const logits = out.logits.map((row) => row.slice());
    await out.commit();
    await this.kv.storePrefixes(batch, out.keysAndValues);
    return logits;
  }
}
