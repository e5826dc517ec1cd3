/** The row of images to choose from: people's own of this visit, and the samples. */
import { byId } from './elements.ts';
import { type ChosenImage, forgetImage } from './images.ts';
import { SAMPLES } from './samples.ts';

/** Most own images in the strip; older ones make room. */
const MAX_OWN = 12;

const list = byId('strip', HTMLUListElement);
const buttons = new Map<ChosenImage, HTMLButtonElement>();

/** Shows the samples; `onChoose` gets whichever image is chosen in the row from now on. */
export function startStrip(onChoose: (image: ChosenImage) => void): void {
  list.append(...SAMPLES.map((image) => entryOf(image)));
  list.addEventListener('click', ({ target }) => {
    for (const [image, button] of buttons) {
      if (target instanceof Node && button.contains(target)) onChoose(image);
    }
  });
}

/** Puts people's images in front, in their order. @returns those of them that there is room for */
export function addToStrip(images: readonly ChosenImage[]): readonly ChosenImage[] {
  const added = images.slice(0, MAX_OWN);
  for (const image of images.slice(MAX_OWN)) forgetImage(image);
  list.prepend(...added.map((image) => entryOf(image)));
  list.scrollLeft = 0;
  const own = [...buttons].filter(([{ isSample }]) => !isSample);
  for (const [image, button] of own.slice(0, Math.max(0, own.length - MAX_OWN))) {
    button.parentElement?.remove();
    buttons.delete(image);
    forgetImage(image);
  }
  return added;
}

/** Marks the image that is talked about. */
export function markInStrip(chosen: ChosenImage): void {
  for (const [image, button] of buttons) {
    button.setAttribute('aria-pressed', String(image === chosen));
  }
}

function entryOf(image: ChosenImage): HTMLLIElement {
  const [entry, button, thumbnail] = [
    document.createElement('li'),
    document.createElement('button'),
    document.createElement('img'),
  ];
  thumbnail.src = image.preview;
  thumbnail.alt = image.isSample ? `Sample: ${image.name}` : image.name;
  thumbnail.draggable = false;
  // A browser's sign for a broken image says less than the name.
  thumbnail.addEventListener('error', () => {
    const name = document.createElement('span');
    name.className = 'no-preview';
    name.textContent = thumbnail.alt;
    thumbnail.replaceWith(name);
  });
  button.type = 'button';
  button.title = image.name;
  button.setAttribute('aria-pressed', 'false');
  button.append(thumbnail);
  entry.append(button);
  buttons.set(image, button);
  return entry;
}
