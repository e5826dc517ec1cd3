/** Hugging Face's own client, unchanged, at the running service: every task, chat, errors, aborts, what it sends again. */
import { InferenceClient, InferenceClientProviderApiError } from '@huggingface/inference';
import { describe, expect, it } from 'vitest';
import {
  CAPTION,
  dot,
  fillPlaces,
  hubURL,
  imageBytes,
  imageUrl,
  LONG,
  MODEL,
  otherImageUrl,
  QUESTION,
  recordingFetch,
  untilAdmitted,
} from './service.ts';

const client = new InferenceClient('hf_none');
const blob = new Blob([new Uint8Array(imageBytes)], { type: 'image/webp' });
const typeless = new Blob([new Uint8Array(imageBytes)]);
const buffer = new Uint8Array(imageBytes).buffer;
const base64 = imageBytes.toString('base64');

const TASKS = {
  caption: '/image-to-text',
  answer: '/visual-question-answering',
  classify: '/zero-shot-image-classification',
  embed: '/feature-extraction',
  compare: '/sentence-similarity',
};
const MODELS = Object.fromEntries(
  Object.keys(TASKS).map((task) => [task, `/models/${MODEL}`]),
) as typeof TASKS;

/** The error that a call throws. */
async function errorOf(call: Promise<unknown>): Promise<InferenceClientProviderApiError> {
  const error = await call.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(InferenceClientProviderApiError);
  return error as InferenceClientProviderApiError;
}

const at = (path: string) => ({ endpointUrl: `${hubURL}${path}` });

describe.each([
  ['paths of tasks', TASKS],
  [
    'paths of tasks that name the model',
    Object.fromEntries(
      Object.entries(TASKS).map(([task, path]) => [task, `${path}/${MODEL}`]),
    ) as typeof TASKS,
  ],
  ['the path of a model', MODELS],
])('on %s', (_name, paths) => {
  it('imageToText captions a Blob with a type, one without, and bytes', async () => {
    for (const data of [blob, typeless, buffer]) {
      const { generated_text } = await client.imageToText({ data, ...at(paths.caption) });
      expect(generated_text).toBe(CAPTION);
    }
  });

  it('imageToText takes the address of an image as its text', async () => {
    const data = imageUrl as unknown as Blob;
    const { generated_text } = await client.imageToText({ data, ...at(paths.caption) });
    expect(generated_text).toBe(CAPTION);
  });

  it('visualQuestionAnswering answers with a score', async () => {
    const answer = await client.visualQuestionAnswering({
      inputs: { question: QUESTION, image: blob },
      ...at(paths.answer),
    });
    expect(answer).toEqual({ answer: 'a pizza', score: expect.any(Number) });
    expect(answer.score).toBeGreaterThan(0.5);
    expect(answer.score).toBeLessThanOrEqual(1);
  });

  it('visualQuestionAnswering gives the likeliest of several answers first', async () => {
    const { fetch, sent } = recordingFetch();
    const replies: unknown[] = [];
    const reading: typeof fetch = async (...request) => {
      const response = await fetch(...request);
      replies.push(await response.clone().json());
      return response;
    };
    const answer = await client.visualQuestionAnswering(
      {
        inputs: { question: QUESTION, image: blob },
        parameters: { top_k: 3 },
        ...at(paths.answer),
      },
      { fetch: reading },
    );
    expect(answer.answer).toBe('a pizza');
    const [all] = replies as { answer: string; score: number }[][];
    expect(all).toHaveLength(3);
    const scores = all!.map(({ score }) => score);
    expect(scores).toEqual(scores.toSorted((a, b) => b - a));
    expect(scores.reduce((sum, score) => sum + score, 0)).toBeLessThanOrEqual(1 + 1e-6);
    expect(sent).toHaveLength(1);
  });

  it('documentQuestionAnswering has the same form', async () => {
    const { answer } = await client.documentQuestionAnswering({
      inputs: { question: QUESTION, image: blob },
      ...at(paths.answer),
    });
    expect(answer).toBe('a pizza');
  });

  it('zeroShotImageClassification ranks labels', async () => {
    const candidate_labels = ['two cows', CAPTION, 'a blue anchor'];
    for (const hypothesis_template of [undefined, '{} .']) {
      const labels = await client.zeroShotImageClassification({
        inputs: { image: blob },
        parameters: { candidate_labels, ...(hypothesis_template && { hypothesis_template }) },
        ...at(paths.classify),
      });
      expect(labels[0]!.label).toBe(CAPTION);
      expect(labels.map(({ label }) => label).toSorted()).toEqual(candidate_labels.toSorted());
      expect(labels.reduce((sum, { score }) => sum + score, 0)).toBeCloseTo(1, 6);
    }
  });

  it('featureExtraction embeds a text, and several', async () => {
    const one = (await client.featureExtraction({
      inputs: CAPTION,
      ...at(paths.embed),
    })) as number[];
    expect(dot(one, one)).toBeCloseTo(1, 3);
    const several = (await client.featureExtraction({
      inputs: [CAPTION, 'two cows'],
      normalize: true,
      ...at(paths.embed),
    })) as number[][];
    expect(several).toHaveLength(2);
    expect(dot(several[0]!, one)).toBeCloseTo(1, 4);
  });

  it('featureExtraction leaves out what is too long where it is told to', async () => {
    const embed = async (inputs: string, members = {}) =>
      (await client.featureExtraction({ inputs, ...members, ...at(paths.embed) })) as number[];
    const whole = await embed(CAPTION);
    expect(dot(whole, await embed(CAPTION, { truncate: true }))).toBeCloseTo(1, 6);
    const [long, other] = ['two cows '.repeat(100), 'a blue anchor '.repeat(100)];
    const left = { truncate: true, truncation_direction: 'left' };
    const cut = await embed(long, { truncate: true });
    expect(dot(cut, await embed(`${long}${other}`, { truncate: true }))).toBeCloseTo(1, 6);
    expect(dot(cut, await embed(`${long}${other}`, left))).toBeLessThan(0.99);
    await expect(embed(long)).rejects.toMatchObject({ httpResponse: { status: 400 } });
  });

  it('sentenceSimilarity compares', async () => {
    const sentences = ['two cows', CAPTION];
    const inputs = { source_sentence: CAPTION, sentences };
    const [far, near] = await client.sentenceSimilarity({ inputs, ...at(paths.compare) });
    expect(near).toBeCloseTo(1, 3);
    expect(far).toBeLessThan(near!);
  });
});

it('featureExtraction of an image compares with that of texts, on the path of its task', async () => {
  const data = { data: typeless } as unknown as { inputs: string };
  const image = (await client.featureExtraction({ ...data, ...at(TASKS.embed) })) as number[];
  const texts = (await client.featureExtraction({
    inputs: ['two cows', CAPTION],
    ...at(TASKS.embed),
  })) as number[][];
  const [far, near] = texts.map((text) => dot(text, image));
  expect(near).toBeGreaterThan(far!);
  const url = (await client.featureExtraction({
    inputs: imageUrl,
    ...at(TASKS.embed),
  })) as number[];
  expect(dot(url, image)).toBeCloseTo(1, 4);
});

it('imageToText takes in its address the parameters that the client loses', async () => {
  const cut = await client.imageToText({
    data: typeless,
    ...at('/image-to-text?max_new_tokens=2&num_beams=2'),
  });
  expect(cut.generated_text).toBe('a pizza');
  const error = await errorOf(
    client.imageToText({ data: typeless, ...at('/image-to-text?max_new_tokens=x') }),
  );
  expect(error.message).toContain('max_new_tokens');
  expect(error.httpResponse.status).toBe(400);
});

/** What clients of Python send: base64 in JSON. */
describe('in the form of Python’s client', () => {
  const python = (path: string, body: object) =>
    fetch(`${hubURL}${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: {
        'content-type': 'application/json',
        'user-agent': 'unknown/None; hf_hub/1.1.4; python/3.12.3; torch/2.9.0',
      },
    });

  it.each(['/image-to-text', `/models/${MODEL}`])('%s replies with a list', async (path) => {
    for (const inputs of [base64, imageUrl]) {
      const parameters = {
        max_new_tokens: 30,
        generation_parameters: { num_beams: 2, do_sample: false, use_cache: true },
      };
      const response = await python(path, { inputs, parameters });
      expect(await response.json()).toEqual([{ generated_text: CAPTION }]);
    }
  });

  it('a question stands beside the image', async () => {
    for (const path of [TASKS.answer, MODELS.answer]) {
      const body = { inputs: base64, question: QUESTION, image: base64, parameters: {} };
      const [answer] = (await (await python(path, body)).json()) as { answer: string }[];
      expect(answer!.answer).toBe('a pizza');
    }
  });

  it('labels stand beside the image', async () => {
    const parameters = { candidate_labels: ['two cows', CAPTION] };
    const [first] = (await (
      await python(MODELS.classify, { inputs: base64, parameters })
    ).json()) as { label: string }[];
    expect(first!.label).toBe(CAPTION);
  });

  it('chat names no model', async () => {
    const messages = [
      { role: 'user', content: [{ type: 'image_url', image_url: { url: imageUrl } }] },
    ];
    for (const model of ['dummy', 'tgi']) {
      const body = { model, messages, stream: false };
      const completion = (await (await python('/v1/chat/completions', body)).json()) as {
        choices: { message: { content: string } }[];
      };
      expect(completion.choices[0]!.message.content).toBe(CAPTION);
    }
  });
});

describe('chat', () => {
  const messages = [
    {
      role: 'user' as const,
      content: [
        { type: 'text' as const, text: QUESTION },
        { type: 'image_url' as const, image_url: { url: imageUrl } },
      ],
    },
  ];
  const ENDPOINTS = ['', '/v1', '/v1/chat/completions', `/models/${MODEL}`, `/models/${MODEL}/v1`];

  it.each(ENDPOINTS)('at the endpoint %j answers, whole and streamed', async (path) => {
    for (const named of [{}, { model: MODEL }]) {
      const asked = { messages, ...named, ...at(path) };
      const { choices, usage } = await client.chatCompletion(asked);
      expect(choices[0]!.message.content).toBe('a pizza');
      expect(usage.completion_tokens).toBe(2);
      const chunks = await Array.fromAsync(client.chatCompletionStream(asked));
      expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toBe('a pizza');
      expect(chunks.at(-1)!.choices[0]!.finish_reason).toBe('stop');
    }
  });

  it('answers who sends no image', async () => {
    const { choices } = await client.chatCompletion({
      messages: [{ role: 'user', content: 'Hello!' }],
      ...at(''),
    });
    expect(choices[0]!.message.content).toMatch(/Send an image/);
  });

  it('frees its place when the loop is left, or aborted', async () => {
    const long = { messages, ...LONG, ...at('') };
    for await (const _chunk of client.chatCompletionStream(long)) break;
    await client.chatCompletion({ messages, ...at('') });
    const controller = new AbortController();
    const { signal } = controller;
    const read = Array.fromAsync(client.chatCompletionStream(long, { signal }));
    await untilAdmitted(1);
    controller.abort();
    await read.catch(() => {});
    await untilAdmitted(0);
  });

  it('says what is wrong, whole and streamed', async () => {
    const wrong = [
      { messages, response_format: { type: 'json_object' }, ...at('') },
      { messages, model: 'gpt2', ...at('') },
      { messages, ...at('/models/gpt2') },
    ] as Parameters<typeof client.chatCompletion>[0][];
    for (const asked of wrong) {
      for (const error of [
        await errorOf(client.chatCompletion(asked)),
        await errorOf(Array.fromAsync(client.chatCompletionStream(asked))),
      ]) {
        expect(error.message).toMatch(/response_format: only text|"gpt2" is not served here/);
        expect(error.httpResponse).toMatchObject({ requestId: expect.stringMatching(/\w/) });
      }
    }
  });
});

describe('errors', () => {
  const ask = { question: QUESTION, image: blob };
  const damaged = new Blob([new Uint8Array(imageBytes.subarray(0, 900))]);
  it.each<[string, () => Promise<unknown>, number, RegExp]>([
    [
      'bytes that are no image',
      () => client.imageToText({ data: new Blob(['\0hello world']), ...at(TASKS.caption) }),
      400,
      /begin as no image does/,
    ],
    [
      'a damaged image',
      () => client.imageToText({ data: damaged, ...at(TASKS.caption) }),
      400,
      /image/,
    ],
    [
      'an image in a document’s clothes',
      () =>
        client.imageToText({
          data: new Blob(['%PDF-1.7'], { type: 'application/pdf' }),
          ...at(TASKS.caption),
        }),
      415,
      /PDF/,
    ],
    [
      'nothing',
      () => client.imageToText({ data: new Blob([]), ...at(TASKS.caption) }),
      400,
      /empty/,
    ],
    [
      'an address of this machine',
      () =>
        client.imageToText({
          data: 'http://169.254.169.254/' as unknown as Blob,
          ...at(TASKS.caption),
        }),
      400,
      /private|public|refused/i,
    ],
    [
      'an empty question',
      () =>
        client.visualQuestionAnswering({ inputs: { ...ask, question: ' ' }, ...at(TASKS.answer) }),
      400,
      /question: must not be empty/,
    ],
    [
      'too long a question',
      () =>
        client.visualQuestionAnswering({
          inputs: { ...ask, question: 'word '.repeat(400) },
          ...at(TASKS.answer),
        }),
      400,
      /tokens; beside the image there is room/,
    ],
    [
      'an unknown parameter',
      () =>
        client.documentQuestionAnswering({
          inputs: ask,
          parameters: { doc_stride: 3 },
          ...at(TASKS.answer),
        }),
      400,
      /parameters\.doc_stride/,
    ],
    [
      'too many answers',
      () =>
        client.visualQuestionAnswering({
          inputs: ask,
          parameters: { top_k: 99 },
          ...at(TASKS.answer),
        }),
      400,
      /parameters\.top_k: must be at most 8/,
    ],
    [
      'no labels',
      () =>
        client.zeroShotImageClassification({
          inputs: { image: blob },
          parameters: { candidate_labels: [] },
          ...at(TASKS.classify),
        }),
      400,
      /parameters\.candidate_labels: must have at least 1 entry/,
    ],
    [
      'a template without a place',
      () =>
        client.zeroShotImageClassification({
          inputs: { image: blob },
          parameters: { candidate_labels: ['a'], hypothesis_template: 'a photo' },
          ...at(TASKS.classify),
        }),
      400,
      /hypothesis_template: must have \{\}/,
    ],
    [
      'embeddings of another width',
      () => client.featureExtraction({ inputs: 'a', dimensions: 8, ...at(TASKS.embed) }),
      400,
      /dimensions: the embeddings of/,
    ],
    [
      'embeddings of another length',
      () => client.featureExtraction({ inputs: 'a', normalize: false, ...at(TASKS.embed) }),
      400,
      /normalize/,
    ],
    [
      'another model',
      () => client.imageToText({ data: blob, ...at('/models/Salesforce/blip-image-captioning') }),
      404,
      /"Salesforce\/blip-image-captioning" is not served here/,
    ],
    [
      'a path that is not there',
      () => client.imageToText({ data: blob, ...at('/nothing') }),
      404,
      /no such route/,
    ],
    [
      'a task that is not done',
      () => client.textGeneration({ inputs: 'a', ...at('') }),
      404,
      /no such route/,
    ],
  ])('of %s say so, once', async (_what, call, status, message) => {
    const error = await errorOf(call());
    expect(error.httpResponse.status).toBe(status);
    expect(error.message).toMatch(message);
    expect(error.httpResponse.requestId).toMatch(/\w/);
  });

  it('of a busy service are thrown at once: nothing is sent again', async () => {
    await using _filled = await fillPlaces();
    const { fetch, sent } = recordingFetch();
    const data = new Blob([Buffer.from(otherImageUrl.split(',')[1]!, 'base64')]);
    const error = await errorOf(client.imageToText({ data, ...at(TASKS.caption) }, { fetch }));
    expect(error.httpResponse.status).toBe(429);
    expect(error.message).toMatch(/Failed to perform inference: \w/);
    expect(sent).toHaveLength(1);
  });
});

it('a caption that is aborted frees its place', async () => {
  const controller = new AbortController();
  const { signal } = controller;
  const { min_tokens, max_tokens } = LONG;
  const query = `min_tokens=${min_tokens}&max_tokens=${max_tokens}`;
  const call = client.imageToText({ data: blob, ...at(`/image-to-text?${query}`) }, { signal });
  await untilAdmitted(1);
  controller.abort();
  await expect(call).rejects.toThrow();
  await untilAdmitted(0);
});
