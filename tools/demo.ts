/** `npm run demo`: runs the whole service on some test scenes, and streams the replies to the terminal. */
import { createHash } from 'node:crypto';
import { styleText } from 'node:util';
import { configure } from '@blip2/shared/config/configure';
import { DoneEvent, TokenEvent } from '@blip2/shared/schemas/events';
import { postStream } from './api.ts';
import { DEMO } from './programs/service.ts';
import { readImage, readScenes, type Scene } from './scenes.ts';
import { startOrExit } from './start-or-exit.ts';

const { values: model } = configure(DEMO);
const stack = await startOrExit({ model });
try {
  const scenes = await readScenes();
  const layouts = [...new Set(scenes.map(({ layout }) => layout))];
  for (const layout of layouts) {
    const scene = scenes.find((candidate) => candidate.layout === layout);
    if (scene) await show(stack.url, scene);
  }
} finally {
  await stack.stop();
}
process.exit(0);

async function show(url: string, scene: Scene): Promise<void> {
  const bytes = await readImage(scene);
  console.log(styleText('bold', `\n${scene.file}`), styleText('dim', `(truth: ${scene.caption})`));
  const image = { data: Buffer.from(bytes).toString('base64') };
  await stream('caption', `${url}/v1/captions`, { image });
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  await stream('again  ', `${url}/v1/captions`, { image: { sha256 } });
  for (const { question, answer } of scene.questions.slice(0, 3)) {
    // Not by hash: for InstructBLIP each question is another look at the image.
    await stream(question, `${url}/v1/answers`, { image, question }, answer);
  }
}

async function stream(label: string, url: string, body: unknown, truth?: string): Promise<void> {
  process.stdout.write(`  ${styleText('cyan', label)} `);
  let firstTokenMs = 0;
  for await (const { event, data, atMs } of postStream(url, body)) {
    if (event === 'token') {
      firstTokenMs ||= atMs;
      process.stdout.write(TokenEvent.parse(data).text);
    } else if (event === 'done') {
      const done = DoneEvent.parse(data);
      const times = `${done.cache}, first token ${firstTokenMs.toFixed(0)} ms, all ${atMs.toFixed(0)} ms`;
      console.log(styleText('dim', `  [${times}${truth ? `; truth: ${truth}` : ''}]`));
    } else if (event === 'error') {
      throw new Error(JSON.stringify(data));
    }
  }
}
