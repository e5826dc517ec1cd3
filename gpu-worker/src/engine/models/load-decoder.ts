/** Opens the decoder of a bundle: OPT or T5. */
import type { EngineOptions } from '../protocol.ts';
import type { Decoder } from './decoder.ts';
import { OptDecoder } from './opt-decoder.ts';
import { T5Decoder } from './t5-decoder.ts';

/** @throws Error that names the execution provider when it cannot be loaded */
export function loadDecoder(options: EngineOptions): Promise<Decoder> {
  const { manifest } = options;
  return manifest.family === 't5'
    ? T5Decoder.load({ ...options, manifest })
    : OptDecoder.load({ ...options, manifest });
}
