/** Captions and answers as Hugging Face's clients ask for them: image-to-text and visual-question-answering. */
import * as z from 'zod/mini';
import { described } from '../described.ts';
import { generationOptions } from '../generation.ts';
import { closed, noImage } from '../places.ts';
import { clientOptions, imageText } from './options.ts';

/** One text is written, and none is streamed: what says otherwise is no option of this task. */
const {
  stream: _stream,
  n: _n,
  num_return_sequences: _sequences,
  logprobs: _logprobs,
  top_logprobs: _top,
  max_completion_tokens: _completion,
  ...ofText
} = generationOptions;

const GenerationParameters = z.strictObject({
  ...ofText,
  use_cache: described(z.optional(z.boolean()), 'Accepted: it changes no text.', true),
});

/** Parameters as members of the query, too: some clients lose those of this task. */
export const ImageToTextOptions = z.strictObject({
  prompt: described(
    z.optional(z.string()),
    'Text that the caption continues, to the letter. The reply does not repeat it.',
    'a pizza above',
  ),
  ...GenerationParameters.shape,
});

export const ImageToTextParameters = z.strictObject({
  ...ImageToTextOptions.shape,
  generation_parameters: described(
    z.optional(GenerationParameters),
    'The same options in an object of their own, as transformers has them.',
    { num_beams: 4 },
  ),
  generate_kwargs: described(z.optional(GenerationParameters), 'The same under its other name.', {
    num_beams: 4,
  }),
});

export const ImageToTextRequest = described(
  closed(
    {
      inputs: imageText,
      parameters: described(z.optional(ImageToTextParameters), 'Options of the text.', {
        max_new_tokens: 20,
      }),
      options: clientOptions,
    },
    {
      image: 'send the image as inputs',
      text: '/hf/visual-question-answering takes a question, and parameters.prompt is the beginning of a caption',
    },
  ),
  'An image to describe.',
);

const generatedText = z.object({
  generated_text: described(
    z.string(),
    'The caption.',
    'a pizza above an octopus on a gray background',
  ),
});

export const ImageToTextReply = described(generatedText, 'The caption.');
export type ImageToTextReply = z.infer<typeof ImageToTextReply>;

export const ImageToTextList = described(
  z.array(ImageToTextReply),
  'The caption in a list, for clients that read one: those of Python.',
);

const question = z
  .string({ error: 'must be a text' })
  .check(z.regex(/\S/, 'must not be empty'), noImage('send it as inputs.image'));
const asked = described(question, 'The question.', 'what is above the octopus?');

/** Most answers: as many as a search has beams. */
const MAX_ANSWERS = 8;

export const AnsweringParameters = z.strictObject({
  top_k: described(
    z.optional(z.int().check(z.minimum(1), z.maximum(MAX_ANSWERS))),
    'How many answers come, the likeliest first. More than one are those of a beam search.',
    2,
  ),
  max_new_tokens: ofText.max_new_tokens,
  min_new_tokens: ofText.min_new_tokens,
});

/** Of the request, and of its `inputs`. */
const answered = {
  image: 'send the image as inputs.image',
  text: 'send the text as inputs.question',
};

export const VisualQuestionAnsweringRequest = described(
  closed(
    {
      inputs: described(
        z.optional(
          z.union(
            [
              imageText,
              closed({ question: z.optional(asked), image: z.optional(imageText) }, answered),
            ],
            {
              error: 'must be {question, image}',
            },
          ),
        ),
        'Question and image; the image alone where `question` stands beside it.',
        { question: 'what is above the octopus?', image: 'https://images.example.org/a.webp' },
      ),
      question: described(
        z.optional(question),
        'The question, where it is not in `inputs`.',
        'is it red?',
      ),
      image: described(
        z.optional(z.string()),
        'The image, where it is not in `inputs`.',
        'https://images.example.org/a.webp',
      ),
      parameters: described(z.optional(AnsweringParameters), 'Options of the answers.', {
        top_k: 2,
      }),
      options: clientOptions,
    },
    answered,
  ),
  'A question about an image.',
);
export type VisualQuestionAnsweringRequest = z.infer<typeof VisualQuestionAnsweringRequest>;

export const VisualQuestionAnsweringReply = described(
  z.array(
    z.object({
      answer: described(z.string(), 'The answer.', 'a pizza'),
      score: described(z.number(), 'The probability of its tokens, from 0 to 1.', 0.93),
    }),
  ),
  'The answers, the likeliest first.',
);
export type VisualQuestionAnsweringReply = z.infer<typeof VisualQuestionAnsweringReply>;
