/**
 * Token ids of the texts of items, for a while: each item of a job has the texts of its settings, and its app runs twice, so that they
 * would be tokenized twice for each.
 */
import type { ServedModels } from '@blip2/shared/served-models';
import type { TextTokenizer } from '@blip2/shared/tokenizer/text-tokenizer';
import { LRUCache } from 'lru-cache';

/** Characters and ids of one tokenizer's texts: several jobs' settings. */
const MAX_SIZE = 2 ** 17;

/** Of an isolate: what an object of a part has tokenized, others need not. */
const remembering = new WeakMap<ServedModels, ServedModels>();

/**
 * The same models, whose tokenizers remember what they were asked.
 * @param models of which there are few
 */
export function rememberingModels(models: ServedModels): ServedModels {
  const known = remembering.get(models);
  if (known !== undefined) return known;
  const { generate, retrieve } = models;
  const { instruction } = generate;
  const made: ServedModels = {
    ...models,
    generate: {
      ...withMemory(generate),
      ...(instruction && { instruction: withMemory(instruction) }),
    },
    ...(retrieve && { retrieve: withMemory(retrieve) }),
  };
  remembering.set(models, made);
  return made;
}

function withMemory<Model extends { tokenizer: () => TextTokenizer }>(model: Model): Model {
  const ids = new LRUCache<string, readonly number[]>({
    maxSize: MAX_SIZE,
    sizeCalculation: (of, text) => 1 + text.length + of.length,
  });
  const encode = (text: string): number[] => {
    const known = ids.get(text);
    if (known !== undefined) return [...known];
    const found = model.tokenizer().encode(text);
    ids.set(text, [...found]);
    return found;
  };
  return { ...model, tokenizer: () => ({ ...model.tokenizer(), encode }) };
}
