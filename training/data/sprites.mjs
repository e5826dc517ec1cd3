// Rasterizes every concept of vocabulary.json by each artist of artists.json to RGBA PNG files, <artist>/<concept>.png.
// Further drawings of a concept by the same artist go to <artist>-more/ and <artist>-more-2/.
// Needs `npm install --prefix training`. Usage: node training/data/sprites.mjs [output folder]
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';

const SIDE = 192; // px; the largest sprite of a 512 px canvas is 282 px, most are under 100 px
const MORE = ['', '-more', '-more-2'];
const CODE_POINTS_OF = '@iconify-json/fluent-emoji-flat'; // has every concept
const CLEAR = { r: 0, g: 0, b: 0, alpha: 0 };

const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2] ?? join(here, '..', '.cache', 'sprites'));
const require = createRequire(import.meta.url);
const packages = join(here, '..', 'node_modules');

const read = (name) => JSON.parse(readFileSync(join(here, name), 'utf8'));
const { concepts } = read('vocabulary.json');
const { artists, alternatives } = read('artists.json');

/** The SVG document of an icon, following aliases of the Iconify JSON format; null where the set has none. */
function svgOf(set, name) {
  let icon = name;
  while (!set.icons[icon]) {
    const alias = set.aliases?.[icon];
    if (!alias) return null;
    icon = alias.parent;
  }
  const { body, left = 0, top = 0, width = set.width ?? 16, height = set.height ?? 16 } = set.icons[icon];
  return Buffer.from(
    `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="${SIDE}" height="${SIDE}" viewBox="${left} ${top} ${width} ${height}">${body}</svg>`,
  );
}

/** Code point of each emoji's icon name, as Iconify's sets of emoji have it. */
const points = new Map(
  Object.entries(require(`${CODE_POINTS_OF}/chars.json`)).map(([point, name]) => [name, point]),
);

/** What sharp reads: an SVG document of an Iconify set, or an image file named after its code point; null if there is none. */
function drawingOf(artist, set, name) {
  if (set) return svgOf(set, name);
  const point = points.get(name);
  const file = join(packages, artist.package, 'assets', `${point}.webp`);
  return point && existsSync(file) ? file : null;
}

for (const artist of artists) {
  const set = artist.package.startsWith('@iconify-json/') ? require(`${artist.package}/icons.json`) : null;
  let count = 0;
  for (const { name, icon } of concepts) {
    // The names of a set of icons are given one by one: what has the same name there may be another thing.
    const names = artist.icons?.[name] ?? (artist.style === 'icons' ? [] : [icon, ...(alternatives[name] ?? [])]);
    const drawings = names.map((n) => drawingOf(artist, set, n)).filter((drawing) => drawing !== null);
    const wanted = artist.role === 'validation' ? 1 : MORE.length;
    for (const [number, drawing] of drawings.slice(0, wanted).entries()) {
      const folder = join(out, artist.artist + MORE[number]);
      mkdirSync(folder, { recursive: true });
      await sharp(drawing)
        .resize(SIDE, SIDE, { fit: 'contain', background: CLEAR })
        .png()
        .toFile(join(folder, `${name}.png`));
      count++;
    }
  }
  process.stdout.write(`${artist.artist}: ${count} sprites\n`);
}
