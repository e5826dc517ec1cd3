/** The conversation in a real browser: its turns, and what people can do when a part of the service fails. */
import { expect, it } from 'vitest';
import { ask, chooseSample, describePage, text, turnIs, type, WAIT } from './page-tests.ts';

type Turn = { question: string; answer: string };

describePage('the conversation', (service) => {
  const asked = () => service.gate.seen.filter(({ path }) => path === '/v1/answers');
  const historyOf = (index: number) => asked().at(index)?.body?.history as Turn[];

  it('queues questions that are asked while the caption is being streamed, and answers in turn', async () => {
    const { page, errors } = await service.open();
    const release = service.gate.holdReplies('image');
    await page.getByRole('button', { name: 'Sample: lion and cow' }).click();
    for (const question of ['what color is the background?', 'how many cows are there?']) {
      await type(page, question);
    }
    expect(await page.locator('[data-testid=answer]').allTextContents()).toEqual(['', '']);
    expect(await page.locator('.turn .status').allTextContents()).toEqual([
      'Looking at the image',
      'Waiting for its turn',
      'Waiting for its turn',
    ]);
    release();
    await expect.poll(() => page.locator('[data-testid=cache]').count(), { timeout: WAIT }).toBe(3);
    expect(await page.locator('[data-testid=answer]').allTextContents()).toEqual(['purple', 'one']);
    expect(errors).toEqual([]);
  });

  it('sends the last four turns, and none after "New conversation"', async () => {
    const { page } = await service.open();
    await chooseSample(page, 'anchors and dog');
    const questions = ['dog', 'cat', 'car', 'anchor', 'cow', 'bee'].map((x) => `is there a ${x}?`);
    const answers: string[] = [];
    for (const question of questions) answers.push(await ask(page, question));
    expect(historyOf(-1)).toEqual(
      questions.slice(1, 5).map((question, i) => ({ question, answer: answers[i + 1] })),
    );
    await page.getByRole('button', { name: 'New conversation' }).click();
    expect(await page.locator('.turn').count()).toBe(1);
    await text(page, 'caption').toBe('two anchors and a dog on a pink background');
    await ask(page, 'is there a dog?');
    expect(historyOf(-1)).toEqual([]);
  });

  it('goes on for as long as people ask, leaving out the oldest turns when the prompt is full', async () => {
    const { page } = await service.open();
    await chooseSample(page, 'elephant and bee');
    const long = `is there a ${'dog or a '.repeat(13)}bee?`;
    for (let i = 0; i < 5; i++) expect(await ask(page, long)).toMatch(/\w/);
    const { length } = historyOf(-1);
    expect(length).toBeGreaterThan(0);
    expect(length).toBeLessThan(4);
    const facts = await page.locator('.turn .facts').last().innerText();
    expect(facts).toContain(`${4 - length} earlier turn${length === 3 ? '' : 's'} left out`);
  });

  it('says that a question is too long by itself, and goes on with others', async () => {
    const { page } = await service.open();
    await chooseSample(page, 'pears');
    await type(page, 'dog '.repeat(1200));
    await turnIs(page, 'failed');
    await text(page, 'answer').toMatch(/This question is too long/);
    expect(await page.getByRole('button', { name: 'Try again' }).isVisible()).toBe(false);
    expect(await ask(page, 'how many pears are there?')).toBe('six');
    expect(historyOf(-1)).toEqual([]);
  });

  it('stops while an answer is written: what is there stays, and can be asked again', async () => {
    const { page, errors } = await service.open();
    await chooseSample(page, 'lion and cow');
    const release = service.gate.holdReplies('token');
    await page.getByRole('button', { name: 'what is to the right of the lion?' }).click();
    await turnIs(page, 'streaming');
    await page.getByRole('button', { name: 'Stop' }).click();
    await turnIs(page, 'stopped');
    release();
    const partial = await page.locator('[data-testid=answer]').textContent();
    expect(partial).toMatch(/\w/);
    expect('a cow'.startsWith(partial ?? '')).toBe(true);
    expect(await page.locator('.turn .status').last().textContent()).toBe('Stopped');
    expect(await page.evaluate('document.activeElement.className')).toBe('turn');
    await ask(page, 'how many cows are there?');
    expect(historyOf(-1)).toEqual([]);
    await page.getByRole('button', { name: 'Try again' }).click();
    await expect
      .poll(() => page.locator('[data-testid=answer]').first().textContent(), { timeout: WAIT })
      .toBe('a cow');
    expect(errors).toEqual([]);
  });

  it('stops an upload, and a question that waits for its turn', async () => {
    const { page, errors } = await service.open();
    const release = service.gate.holdUploads();
    await page
      .locator('input[type=file]')
      .setInputFiles({ name: 'a.png', mimeType: 'image/png', buffer: Buffer.alloc(8e6, 1) });
    await turnIs(page, 'uploading');
    await type(page, 'is there a dog?');
    await turnIs(page, 'waiting');
    await page.getByRole('button', { name: 'Stop' }).last().click();
    await page.getByRole('button', { name: 'Stop' }).click();
    release();
    expect(
      await page
        .locator('.turn')
        .evaluateAll((turns) => turns.map((turn) => turn.getAttribute('data-state'))),
    ).toEqual(['stopped', 'stopped']);
    expect(errors).toEqual([]);
  });

  it('keeps what was written when the connection breaks off, and asks the same again by a click', async () => {
    const { page } = await service.open();
    await chooseSample(page, 'anchors and dog');
    const release = service.gate.holdReplies('token');
    await type(page, 'what is in the picture?');
    await turnIs(page, 'streaming');
    release('is cut off');
    await turnIs(page, 'failed');
    await text(page, 'answer').toMatch(
      /^two.*The connection broke off before the end\. Try again\.$/,
    );
    await page.getByRole('button', { name: 'Try again' }).click();
    await text(page, 'answer').toBe('two anchors and a dog');
    const [last, before] = [asked().at(-1), asked().at(-2)];
    expect(last?.body).toEqual(before?.body);
  });

  it('says in words that the model is gone, and goes on when it is back', async () => {
    const { page } = await service.open();
    await chooseSample(page, 'dolphin');
    const { worker } = service.stack;
    const ended = new Promise((resolve) => worker.once('exit', resolve));
    worker.kill('SIGKILL');
    await ended;
    await type(page, 'is there an animal?');
    await turnIs(page, 'failed');
    await text(page, 'answer').toMatch(
      /^The model is not running right now\. Try again in \d+ seconds?\.$/,
    );
    // An image that nobody has sent before cannot be captioned now, and can be asked about later.
    await page.getByRole('button', { name: 'Sample: rainbows and horse' }).click();
    await turnIs(page, 'failed');
    await service.stack.restartWorker();
    await page.getByRole('button', { name: 'Try again' }).click();
    await text(page, 'caption').toBe('two rainbows and a horse on a white background');
    expect(await ask(page, 'how many rainbows are there?')).toBe('two');
  });

  it('says that the service cannot be reached', async () => {
    const { page } = await service.open();
    await chooseSample(page, 'dolphin');
    await page.context().setOffline(true);
    await type(page, 'is there an animal?');
    await turnIs(page, 'failed');
    await text(page, 'answer').toMatch(/^The service cannot be reached/);
    await page.context().setOffline(false);
    await page.getByRole('button', { name: 'Try again' }).click();
    await text(page, 'answer').toBe('yes');
  });

  it('sends the image itself again where its hash is forgotten', async () => {
    const { page } = await service.open();
    await chooseSample(page, 'pears');
    await page.route('**/v1/answers', (route) => {
      const isByHash = route.request().postDataJSON().image.sha256 !== undefined;
      const json = { type: '/problems/unknown-image', title: '', status: 404, detail: '' };
      return isByHash ? route.fulfill({ status: 404, json }) : route.continue();
    });
    expect(await ask(page, 'how many pears are there?')).toBe('six');
  });

  it('ends what is being written about an image when another one is chosen', async () => {
    const { page, errors } = await service.open();
    const release = service.gate.holdReplies('token');
    await page.getByRole('button', { name: 'Sample: pears' }).click();
    await turnIs(page, 'streaming');
    release();
    await page.getByRole('button', { name: 'Sample: dolphin' }).click();
    await text(page, 'caption').toBe('a dolphin on an orange background');
    expect(await page.locator('.turn').count()).toBe(1);
    expect(errors).toEqual([]);
  });

  it('asks for an image first where there is none, and keeps the question', async () => {
    const { page } = await service.open();
    await type(page, 'is there a dog?');
    expect(await page.locator('#hint').textContent()).toMatch(/^Choose an image first/);
    expect(await page.locator('[data-testid=question]').inputValue()).toBe('is there a dog?');
  });
});
