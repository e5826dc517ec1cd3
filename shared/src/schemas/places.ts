/**
 * Where requests of a dialect have their image and their text. What holds one of them in a place that is not read is refused
 * by its name, with the place where it belongs: it would change what the model says. Other members that a schema does not
 * know are harmless in messages, to which clients add what they like.
 */
import * as z from 'zod/mini';
import { beginsAsImage } from '../image-text.ts';

/** What to do with an image, and with a text, in another place: ends of sentences. */
export type Places = { image: string; text: string };
type Held = keyof Places | 'sound';

const placesOfSchema = z.registry<Places>();

/** An object whose unknown members are errors, which say where an image and a text belong. */
export function closed<Shape extends z.core.$ZodLooseShape>(shape: Shape, places: Places) {
  return z.strictObject(shape).register(placesOfSchema, places);
}

/**
 * An object that may have unknown members, unless they hold what the model would have to read.
 * @example
 * const message = open({ content: z.string() }, { image: 'put it into content', text: 'put it into content' });
 * validate(message, { content: 'a', id: 7, images: [] }); // as it is
 * validate(message, { content: 'a', images: ['…'] }); // throws: images: is not read here: put it into content.
 */
export function open<Shape extends z.core.$ZodLooseShape>(shape: Shape, places: Places) {
  return z.looseObject(shape).check(({ value, issues }) => {
    for (const [name, member] of Object.entries(value)) {
      if (Object.hasOwn(shape, name)) continue;
      const held = isEmpty(member) ? undefined : (heldBy(name) ?? heldIn(name, member));
      if (held === undefined) continue;
      const message = `is not read here: ${held === 'sound' ? NO_SOUND : places[held]}`;
      issues.push({ code: 'custom', input: member, path: [name], message });
    }
  });
}

/** A text that is none where it begins as an image: its characters would be read as words. */
export const words = ({ image }: Pick<Places, 'image'>) => z.string().check(noImage(image));

/** Refuses such a text. @param instead what to do with the image: the end of a sentence */
export const noImage = (instead: string) =>
  z.refine<string>((text) => !beginsAsImage(text), `is an image, and read as a text: ${instead}`);

/** Where a closed schema has images and texts. */
export function placesOf(schema: z.core.$ZodType): Places | undefined {
  return placesOfSchema.get(schema as z.ZodMiniType);
}

/** What to do with an unknown member of such a schema, by its name; undefined where it tells nothing. */
export function placeFor(places: Places, name: string): string | undefined {
  const held = heldBy(name) ?? (ADDRESSES.has(plain(name)) ? 'image' : undefined);
  return held === 'sound' ? NO_SOUND : held && places[held];
}

const NO_SOUND = 'the model reads one image, and texts: leave it out';

/** Words in names of members that are images or files, in the singular. */
const IMAGES = new Set([
  ...['image', 'img', 'picture', 'pic', 'photo', 'photograph', 'screenshot'],
  ...['file', 'attachment', 'media', 'b64', 'base64'],
]);
const SOUNDS = new Set(['audio', 'video', 'sound', 'speech']);
/** Last words of names that say something of an image or file: `file_name`, `audio_tokens`. */
const ABOUT = new Set([
  ...['name', 'type', 'format', 'mime', 'size', 'detail', 'width', 'height', 'count', 'index'],
  ...['token', 'filter', 'citation', 'search', 'result', 'config'],
]);
/** Whole names of members that are texts. */
const TEXTS = new Set([
  ...['content', 'contents', 'text', 'texts', 'message', 'messages', 'prompt', 'question', 'query'],
  ...['input', 'inputs', 'parts', 'context', 'documents'],
]);
/** Whole names of members that may be an image's address. */
const ADDRESSES = new Set(['url', 'uri', 'src', 'data', 'blob', 'bytes']);

/** @example plain('imageUrl') // 'image_url' */
const plain = (name: string) => name.replaceAll(/(?<=[a-z0-9])(?=[A-Z])|-/g, '_').toLowerCase();

/** What a member holds, by its name. */
function heldBy(name: string): Held | undefined {
  const whole = plain(name);
  if (TEXTS.has(whole)) return 'text';
  const words = whole.split('_').map((word) => word.replace(/s$/, ''));
  if (ABOUT.has(words.at(-1) ?? '')) return undefined;
  if (words.some((word) => IMAGES.has(word))) return 'image';
  return words.some((word) => SOUNDS.has(word)) ? 'sound' : undefined;
}

/** What a member holds, by its value. */
function heldIn(name: string, value: unknown): Held | undefined {
  const isAddress =
    typeof value === 'string' && ADDRESSES.has(plain(name)) && /^\s*https?:\/\//i.test(value);
  return isAddress || hasImage(value) ? 'image' : undefined;
}

function hasImage(value: unknown): boolean {
  if (typeof value === 'string') return beginsAsImage(value);
  return typeof value === 'object' && value !== null && Object.values(value).some(hasImage);
}

/** What is neither a text nor anything with members holds nothing to read. */
function isEmpty(value: unknown): boolean {
  if (typeof value === 'string') return value.trim() === '';
  return typeof value !== 'object' || value === null || Object.keys(value).length === 0;
}
