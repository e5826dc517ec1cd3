/** The key that the service may ask for: typed into the page, stored by the browser until its tab is closed. */
import { byId } from './elements.ts';

const NAME = 'blip2-key';

/** Shows the field where the service needs a key. */
export function startKey(): void {
  byId('key-line', HTMLElement).hidden = document.body.dataset.needsKey !== 'true';
  const field = byId('key', HTMLInputElement);
  field.value = keyOfPage() ?? '';
  field.addEventListener('input', () => sessionStorage.setItem(NAME, field.value.trim()));
}

/** Null where none was typed. */
export function keyOfPage(): string | null {
  return sessionStorage.getItem(NAME) || null;
}
