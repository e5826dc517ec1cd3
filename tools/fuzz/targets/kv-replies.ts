/** Replies in KV that the edge did not write so: each is the reply that was written, or as good as absent. */
import { createHash } from 'node:crypto';
import { type ImagePath, imagePathOf } from '@blip2/shared/cache-key';
import { withDefaults } from '@blip2/shared/generation-defaults';
import type { ImageId } from '@blip2/shared/image-id';
import { promptIds } from '@blip2/shared/prompts';
import { GenerationConfig } from '@blip2/shared/wire';
import * as fc from 'fast-check';
import * as z from 'zod/mini';
import type { Stack } from '../../local-stack.ts';
import { byteEdit, editBytes } from '../generate/byte-edits.ts';
import { hostileJson } from '../generate/hostile.ts';
import { editJson, jsonEdit } from '../generate/json-edits.ts';
import { type ApiDocument, checkReply } from '../http/described.ts';
import { exchange } from '../http/exchange.ts';
import { HANG_MS } from '../stack.ts';
import type { Target } from '../target.ts';
import { Violation } from '../violation.ts';

/** `older` and `edited`: the value that the edge would have written for the image; `text` takes the place of all of it. */
type KvReplyInput = { image: number } & (
  | { kind: 'older'; member: 'asked_at' | 'sent_at'; ms: number }
  | { kind: 'of another image' }
  | { kind: 'edited'; edits: Parameters<typeof editJson>[1] }
  | { kind: 'frames'; edits: Parameters<typeof editBytes>[1] }
  | { kind: 'text'; text: string }
);

const Entry = z.object({
  digest: z.string(),
  worker: z.string(),
  asked_at: z.number(),
  sent_at: z.number(),
  verified_at: z.number(),
  seal: z.string(),
  frames: z.string(),
});
type Entry = z.infer<typeof Entry>;

/** As few as differ from the default: what else the model can say does not matter here. */
const OPTIONS = { max_tokens: 3 };

export const KV_REPLIES: Target<KvReplyInput> = {
  name: 'kv-replies',
  about: 'cached replies in KV, read by hash',
  share: 4,
  lanes: 4,
  open: async (shared) => {
    const { stack, image, watch } = await shared.stack();
    const document = (await (await fetch(`${stack.url}/openapi.json`)).json()) as ApiDocument;
    const kv = await stack.kv('EMBEDDINGS');
    const known = imagePathOf('', image.sha256 as ImageId);
    const asked = await exchange(stack.url, captionOf(image.sha256), HANG_MS);
    const { caption } = JSON.parse(asked?.text ?? '{}');
    const knownKey = keyOf(known, digestOf(stack, known));
    const stored = await storedReply(kv, knownKey);
    if (stored === null) throw new Error(`The edge has cached no reply in KV as ${knownKey}.`);
    const [written] = z.tuple([Entry]).parse(JSON.parse(stored));

    const inputs: fc.Arbitrary<KvReplyInput> = fc
      .tuple(
        fc.nat(2 ** 30),
        fc.oneof(
          fc.record({
            kind: fc.constant('older' as const),
            member: fc.constantFrom('asked_at' as const, 'sent_at' as const),
            ms: fc.integer({ min: 1, max: 60_000 }),
          }),
          fc.constant({ kind: 'of another image' as const }),
          fc.record({
            kind: fc.constant('edited' as const),
            edits: fc.array(jsonEdit(), { maxLength: 2 }),
          }),
          fc.record({
            kind: fc.constant('frames' as const),
            edits: fc.array(byteEdit(64), { minLength: 1, maxLength: 3 }),
          }),
          fc.record({
            kind: fc.constant('text' as const),
            text: fc.oneof(hostileJson, fc.string(), fc.constant(stored)),
          }),
        ),
      )
      .map(([number, value]) => ({ image: number, ...value }));
    return {
      inputs,
      run: async (input) => {
        // Of an image of which nothing else is known: whatever is answered was in KV.
        const sha256 = createHash('sha256').update(JSON.stringify(input)).digest('hex');
        const path = imagePathOf('', sha256 as ImageId);
        const digest = digestOf(stack, path);
        const entry = sealedFor(path, { ...written, digest });
        const value =
          input.kind === 'of another image'
            ? JSON.stringify([{ ...written, digest }])
            : valueFor(input, entry);
        await kv.put(keyOf(path, digest), value);
        const request = captionOf(sha256);
        const reply = await exchange(stack.url, request, HANG_MS);
        if (reply === null) return 'closed';
        const outcome = checkReply(document, request, reply);
        if (reply.status === 200) expectWritten(value, entry, reply.text, caption);
        else if (value === JSON.stringify([entry])) {
          throw new Violation(`a reply that is whole and sealed is not answered: ${outcome}`);
        }
        return outcome;
      },
      settle: await watch(),
      [Symbol.asyncDispose]: async () => {},
    };
  },
};

/** @throws Violation where the value lies in anything that the seal is of, or the text is another */
function expectWritten(value: string, entry: Entry, text: string, caption: string): void {
  const all = z.array(z.looseObject({ digest: z.unknown() })).parse(JSON.parse(value));
  const used = Entry.parse(all.find(({ digest }) => digest === entry.digest));
  // Not all bits of the last character are of the frames.
  const sealed = ({ worker, asked_at, sent_at, seal, frames }: Entry) =>
    JSON.stringify([
      worker,
      asked_at,
      sent_at,
      seal,
      Buffer.from(frames, 'base64').toString('hex'),
    ]);
  if (sealed(used) === sealed(entry) && JSON.parse(text).caption === caption) return;
  throw new Violation(`a reply that nobody wrote is answered: ${text.slice(0, 300)}`);
}

function valueFor(
  input: Exclude<KvReplyInput, { kind: 'of another image' }>,
  entry: Entry,
): string {
  if (input.kind === 'text') return input.text;
  if (input.kind === 'older') {
    return JSON.stringify([{ ...entry, [input.member]: entry[input.member] - input.ms }]);
  }
  if (input.kind === 'edited') return editJson([entry], input.edits);
  const frames = editBytes(Buffer.from(entry.frames, 'base64'), input.edits);
  return JSON.stringify([{ ...entry, frames: Buffer.from(frames).toString('base64') }]);
}

function captionOf(sha256: string) {
  const body = Buffer.from(JSON.stringify({ image: { sha256 }, ...OPTIONS }));
  const headers = [['content-type', 'application/json']] as const;
  return { method: 'POST', target: '/v1/captions', headers, body, cuts: [], leaveAfter: null };
}

/** As `edge/src/generation/reply-key.ts` names the reply; `open` fails where that has changed. */
function digestOf({ model }: Stack, image: ImagePath): string {
  const { seed: _, ...settings } = GenerationConfig.parse(
    withDefaults(model.generation ?? {}, OPTIONS),
  );
  const parts = [
    1,
    image,
    model.revision,
    model.preprocessing,
    promptIds(model, []),
    null,
    Object.entries(settings).sort(([a], [b]) => (a < b ? -1 : 1)),
    [],
  ];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

/** As `edge/src/embeddings/sealed-entry.ts` seals without a secret. */
function sealedFor(image: ImagePath, entry: Entry): Entry {
  const { digest, worker, asked_at, sent_at, frames } = entry;
  const head = JSON.stringify(['reply', `${image}/${digest}`, worker, asked_at, sent_at]);
  const hash = createHash('sha256').update(head).update(Buffer.from(frames, 'base64'));
  return { ...entry, seal: hash.digest('hex').slice(0, 32) };
}

const keyOf = (image: ImagePath, digest: string) => `replies/${image}/${digest}`;

/** Waits for it: it is stored behind the reply. */
async function storedReply(
  kv: { get: (key: string) => Promise<string | null> },
  key: string,
): Promise<string | null> {
  const until = Date.now() + HANG_MS;
  for (;;) {
    const value = await kv.get(key);
    if (value !== null || Date.now() > until) return value;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
