/** What an image is to the page: where it comes from, what is shown of it, and how a request names it. */

export type ChosenImage = {
  /** For people: its file's name, its host, or what a sample shows. */
  name: string;
  /** URL of what is shown. */
  preview: string;
  source: ImageSource;
  /** Questions to ask with one click. */
  questions: readonly string[];
  isSample: boolean;
};

/** An address is http(s), and is fetched by the service; or a `data:` URL, which holds the image. */
type ImageSource = { kind: 'file'; file: File } | { kind: 'address'; address: string };

/** For images of which nothing is known. */
const QUESTIONS = [
  'what is in the picture?',
  'what color is the background?',
  'is there an animal?',
] as const;

export function imageFromFile(file: File): ChosenImage {
  return {
    name: file.name,
    preview: URL.createObjectURL(file),
    source: { kind: 'file', file },
    questions: QUESTIONS,
    isSample: false,
  };
}

/** @param address as `imageAddress` returns it */
export function imageFromAddress(address: string): ChosenImage {
  const { protocol, host, pathname } = new URL(address);
  return {
    name: protocol === 'data:' ? 'the pasted image' : `${host}${pathname}`,
    preview: address,
    source: { kind: 'address', address },
    questions: QUESTIONS,
    isSample: false,
  };
}

/** Gives back the memory behind the preview of a file. */
export function forgetImage({ preview }: ChosenImage): void {
  URL.revokeObjectURL(preview);
}

/**
 * The address that a text is, and nothing else: of http(s), or a `data:` URL of an image.
 * @example imageAddress(' https://example.com/cat.jpg ') // 'https://example.com/cat.jpg'
 * @example imageAddress('a cat') // null
 */
export function imageAddress(text: string): string | null {
  const address = text.trim();
  const isAddress = /^https?:\/\/\S+$/i.test(address) || /^data:image\/\S+$/i.test(address);
  return isAddress && URL.canParse(address) ? address : null;
}

const BYTES = 'application/octet-stream';

/** How a request names the image: as a file of a form, or as a member of JSON. */
export function requestBody(
  { source }: ChosenImage,
  fields: Readonly<Record<string, unknown>>,
): FormData | string {
  if (source.kind === 'address') {
    const isData = /^data:/i.test(source.address);
    const image = isData ? { data: source.address } : { url: source.address };
    return JSON.stringify({ image, ...fields });
  }
  // Browsers guess a file's type from its name, and the service looks at the bytes: but a part of JSON would be no file.
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    form.set(name, typeof value === 'string' ? value : JSON.stringify(value));
  }
  form.set('image', new Blob([source.file], { type: BYTES }), source.file.name);
  return form;
}
