// Rasterizes every concept of vocabulary.json by each of the three artists to RGBA PNG files.
// Usage: node training/data/sprites.mjs [folder whose node_modules hold the packages] [output folder]
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const SIDE = 192; // px; the largest sprite of a 512 px canvas is 282 px, most are under 100 px
const ARTISTS = ['noto', 'twemoji', 'fluent-emoji-flat'];

const here = dirname(fileURLToPath(import.meta.url));
const packages = resolve(process.argv[2] ?? join(here, '..', '..'));
const out = resolve(process.argv[3] ?? join(here, '..', '.cache', 'sprites'));
const require = createRequire(join(packages, 'package.json'));
const sharp = require('sharp');

const { concepts } = JSON.parse(readFileSync(join(here, 'vocabulary.json'), 'utf8'));

/** The SVG document of an icon, following aliases of the Iconify JSON format. */
function svgOf(set, name) {
  let alias;
  let icon = name;
  while (!set.icons[icon]) {
    alias = set.aliases?.[icon];
    if (!alias) throw new Error(`${set.prefix} has no icon ${name}`);
    icon = alias.parent;
  }
  const { body, left = 0, top = 0, width = set.width ?? 16, height = set.height ?? 16 } = set.icons[icon];
  return `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="${SIDE}" height="${SIDE}" viewBox="${left} ${top} ${width} ${height}">${body}</svg>`;
}

for (const artist of ARTISTS) {
  const set = require(`@iconify-json/${artist}/icons.json`);
  mkdirSync(join(out, artist), { recursive: true });
  for (const { name, icon } of concepts) {
    await sharp(Buffer.from(svgOf(set, icon)))
      .resize(SIDE, SIDE, { fit: 'contain', background: { r: 0, g: 0, b: 0, alpha: 0 } })
      .png()
      .toFile(join(out, artist, `${name}.png`));
  }
  process.stdout.write(`${artist}: ${concepts.length} sprites\n`);
}
