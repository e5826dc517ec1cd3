/** Examples of requests and replies in Hugging Face's form: what the embedded model says of an image of the repository. */
import type * as z from 'zod/mini';
import type { Examples } from './openai-examples.ts';
import type { SCHEMAS } from './schemas.ts';

type Input<Name extends keyof typeof SCHEMAS> = z.input<(typeof SCHEMAS)[Name]>;
type ExamplesOf<Name extends keyof typeof SCHEMAS> = { [N in Name]: Examples<Input<N>> };

/** An image that was sent before, where its hash suffices. */
const hash = 'f4112ab67441c8c64f31bf11d8bb81a051ae8e292af3bca8e4862cd950ecf70f';
const image = 'https://images.example.org/pizza-and-octopus.webp';
const generated_text = 'a pizza above an octopus on a gray background';
const labels = ['a pizza above an octopus', 'two cows'];

export const HUGGING_FACE_EXAMPLES: ExamplesOf<
  | 'ImageToTextRequest'
  | 'ImageToTextReply'
  | 'ImageToTextList'
  | 'VisualQuestionAnsweringRequest'
  | 'VisualQuestionAnsweringReply'
  | 'ZeroShotRequest'
  | 'ZeroShotReply'
  | 'FeatureExtractionRequest'
  | 'FeatureExtractionReply'
  | 'SentenceSimilarityRequest'
  | 'SentenceSimilarityReply'
  | 'HuggingFaceError'
> = {
  ImageToTextRequest: {
    caption: {
      summary: 'An image to caption, by beam search',
      value: { inputs: hash, parameters: { max_new_tokens: 20, num_beams: 4 } },
    },
  },
  ImageToTextReply: { caption: { summary: 'A caption', value: { generated_text } } },
  ImageToTextList: {
    list: { summary: 'For a client of Python', value: [{ generated_text }] },
  },
  VisualQuestionAnsweringRequest: {
    question: {
      summary: 'A question',
      value: { inputs: { question: 'what is above the octopus?', image: hash } },
    },
  },
  VisualQuestionAnsweringReply: {
    answers: { summary: 'Its answer', value: [{ answer: 'a pizza', score: 0.97 }] },
  },
  ZeroShotRequest: {
    labels: {
      summary: 'An image and labels',
      value: { inputs: { image }, parameters: { candidate_labels: labels } },
    },
  },
  ZeroShotReply: {
    labels: {
      summary: 'The likeliest label first',
      value: [
        { label: 'a pizza above an octopus', score: 0.99 },
        { label: 'two cows', score: 0.01 },
      ],
    },
  },
  FeatureExtractionRequest: { texts: { summary: 'Two texts', value: { inputs: labels } } },
  FeatureExtractionReply: {
    texts: {
      summary: 'Embeddings of two texts, shortened: their width is 64',
      value: [
        [0.6, 0.8, 0],
        [0.8, 0, -0.6],
      ],
    },
  },
  SentenceSimilarityRequest: {
    sentences: {
      summary: 'A sentence, and two others',
      value: { inputs: { source_sentence: 'a pizza', sentences: labels } },
    },
  },
  SentenceSimilarityReply: {
    cosines: { summary: 'The first is the nearer', value: [0.71, 0.12] },
  },
  HuggingFaceError: {
    'hugging-face': {
      summary: 'In the form that Hugging Face’s clients read',
      value: { error: 'inputs.question: is required.', error_type: 'invalid-request' },
    },
  },
};
