/** What a browser adds to the reference: a search of its routes, and buttons that copy commands. */
import { byId } from './elements.ts';

const entries = [...document.querySelectorAll<HTMLElement>('[data-entry]')];
const filter = byId('filter', HTMLInputElement);
const found = byId('found', HTMLElement);

function search(): void {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const entry of entries) {
    const text = entry.dataset.entry?.toLowerCase() ?? '';
    entry.hidden = !words.every((word) => text.includes(word));
    if (!entry.hidden && entry.tagName === 'ARTICLE') count++;
  }
  found.textContent = words.length === 0 ? '' : `${count} ${count === 1 ? 'route' : 'routes'}`;
}

filter.addEventListener('input', search);
byId('search', HTMLElement).hidden = false;

// What a link leads to is shown, whatever is searched for.
addEventListener('hashchange', () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target?.hidden) return;
  filter.value = '';
  search();
  target.scrollIntoView();
});

for (const command of document.querySelectorAll<HTMLElement>('pre.curl, pre.first')) {
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = 'Copy';
  button.addEventListener('click', () => {
    navigator.clipboard.writeText(command.textContent ?? '').then(
      () => {
        button.textContent = 'Copied';
      },
      // Where pages may not write there, it is chosen, to be copied by hand.
      () => getSelection()?.selectAllChildren(command),
    );
  });
  command.before(button);
}
