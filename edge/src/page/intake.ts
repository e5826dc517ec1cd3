/** How people bring an image: a file dialog, a camera, a drop, the clipboard, an address. */
import { byId } from './elements.ts';
import { type ChosenImage, imageAddress, imageFromAddress, imageFromFile } from './images.ts';

export type Intake = {
  /** @param leftOut how many files beside them are no images */
  onImages: (images: readonly ChosenImage[], leftOut?: number) => void;
  /** What was brought is no image. */
  onNothing: (why: string) => void;
};

const fileInput = byId('file', HTMLInputElement);
const drop = byId('drop', HTMLElement);

export function startIntake(intake: Intake): void {
  listenToFileInput(intake);
  listenToDrops(intake);
  listenToClipboard(intake);
  listenToAddressField(intake);
}

/** Opens the file dialog. */
export function openFileDialog(): void {
  fileInput.click();
}

function listenToFileInput({ onImages }: Intake): void {
  fileInput.addEventListener('change', () => {
    const files = [...(fileInput.files ?? [])];
    // The same file may be chosen once more.
    fileInput.value = '';
    fileInput.removeAttribute('capture');
    if (files.length > 0) onImages(files.map(imageFromFile));
  });
  fileInput.addEventListener('cancel', () => fileInput.removeAttribute('capture'));
  byId('camera', HTMLButtonElement).addEventListener('click', () => {
    fileInput.setAttribute('capture', 'environment');
    fileInput.click();
  });
}

function listenToDrops(intake: Intake): void {
  for (const name of ['dragenter', 'dragover'] as const) {
    document.addEventListener(name, (event) => {
      if (isTextForAField(event)) return;
      event.preventDefault();
      drop.classList.add('over');
    });
  }
  for (const name of ['dragleave', 'drop', 'dragend'] as const) {
    document.addEventListener(name, () => drop.classList.remove('over'));
  }
  document.addEventListener('drop', (event) => {
    if (isTextForAField(event) || event.dataTransfer === null) return;
    event.preventDefault();
    take(event.dataTransfer, intake, 'Drop an image, or the address of one.');
  });
}

function listenToClipboard(intake: Intake): void {
  document.addEventListener('paste', (event) => {
    const { clipboardData, target } = event;
    if (clipboardData === null) return;
    const isField = target instanceof HTMLInputElement && target !== fileInput;
    // What is typed stays; no question is an address alone.
    if (isField && (target.value !== '' || target.type === 'url')) return;
    const isImage = clipboardData.files.length > 0;
    if (isField && !isImage && imageAddress(clipboardData.getData('text/plain')) === null) return;
    event.preventDefault();
    take(clipboardData, intake, 'The clipboard holds no image, and no address of one.');
  });
}

function listenToAddressField({ onImages, onNothing }: Intake): void {
  const field = byId('address', HTMLInputElement);
  byId('from-address', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    const text = field.value.trim();
    const address = imageAddress(text) ?? imageAddress(`https://${text}`);
    if (address === null) {
      onNothing('An address of an image begins with https://');
      field.focus();
      return;
    }
    field.value = '';
    onImages([imageFromAddress(address)]);
  });
}

/** Takes files, or else the address of an image, from what was dropped or pasted. */
function take(data: DataTransfer, { onImages, onNothing }: Intake, why: string): void {
  const files = [...data.files];
  if (files.length > 0) {
    // Of several files those that call themselves images; a single one may call itself what it wants.
    const images = files.filter(({ type }) => type.startsWith('image/'));
    const taken = images.length > 0 ? images : files.slice(0, 1);
    onImages(taken.map(imageFromFile), files.length - taken.length);
    return;
  }
  // A dragged image inside of a link has the link as its address, and itself in the markup alone.
  const inMarkup = new DOMParser()
    .parseFromString(data.getData('text/html'), 'text/html')
    .querySelector('img')
    ?.getAttribute('src');
  const listed = data
    .getData('text/uri-list')
    .split('\n')
    .find((line) => !line.startsWith('#'));
  const address = [inMarkup, listed, data.getData('text/plain')]
    .map((text) => imageAddress(text ?? ''))
    .find((found) => found !== null);
  if (address) onImages([imageFromAddress(address)]);
  else onNothing(why);
}

function isTextForAField({ target, dataTransfer }: DragEvent): boolean {
  const isField = target instanceof HTMLInputElement && target !== fileInput;
  return (
    isField && !dataTransfer?.types.some((type) => type === 'Files' || type === 'text/uri-list')
  );
}
