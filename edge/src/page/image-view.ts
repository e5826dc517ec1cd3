/** The image that is talked about: itself, what it is, and what the model's card says where it is not one of ours. */
import type { ImageEvent } from '@blip2/shared/schemas/events';
import { byId } from './elements.ts';
import type { ChosenImage } from './images.ts';

const preview = byId('preview', HTMLImageElement);
const noPreview = byId('no-preview', HTMLElement);
const facts = byId('facts', HTMLElement);
const caution = byId('caution', HTMLElement);

export function showImage({ name, preview: url, isSample }: ChosenImage): void {
  document.body.dataset.state = 'chosen';
  noPreview.hidden = true;
  preview.hidden = false;
  preview.src = url;
  preview.alt = `${name}, which has no caption yet`;
  facts.textContent = name;
  caution.hidden = isSample || caution.textContent === '';
}

/** Nothing is guessed about a file that is no image, and a warning of a reply says the same in its own words. */
export function hideCaution(): void {
  caution.hidden = true;
}

export function describeImage(caption: string): void {
  preview.alt = caption;
}

/** @param image what the service says of it */
export function showFacts({ format, width, height, sha256 }: ImageEvent): void {
  facts.textContent = `${format.toUpperCase()} · ${width} × ${height} · sha256 ${sha256.slice(0, 12)}…`;
}

// Some formats are read by the service and not by the browser, and some hosts show their images on their own pages only.
preview.addEventListener('error', () => {
  preview.hidden = true;
  noPreview.hidden = false;
});
