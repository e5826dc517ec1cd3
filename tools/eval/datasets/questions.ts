/** Questions about images with their answers, from the annotation files of VQAv2, OK-VQA and GQA. */
import * as z from 'zod/mini';
import {
  type AnnotationFile,
  locateImages,
  readAnnotation,
  requireAnnotation,
} from './dataset-files.ts';

export type Question = {
  id: string;
  /** Path of the image's file. */
  image: string;
  question: string;
  /** Of each annotator; of GQA the one right answer. */
  answers: string[];
  /** What kind of answer is expected. @example 'yes/no' */
  type: string;
};

export type QuestionDataset = 'vqav2' | 'okvqa' | 'gqa';

type Unlocated = Omit<Question, 'image'> & { images: string[] };

const VqaQuestions = z.object({
  questions: z.array(
    z.object({ question_id: z.number(), image_id: z.number(), question: z.string() }),
  ),
});
const VqaAnnotations = z.object({
  annotations: z.array(
    z.object({
      question_id: z.number(),
      answer_type: z.optional(z.string()),
      answers: z.array(z.object({ answer: z.string() })).check(z.minLength(1)),
    }),
  ),
});
const GqaQuestions = z.record(
  z.string(),
  z.object({
    imageId: z.string(),
    question: z.string(),
    answer: z.string(),
    types: z.optional(z.object({ structural: z.optional(z.string()) })),
  }),
);

const VQA_SOURCE = 'visualqa.org/download';
const OKVQA_SOURCE = 'okvqa.allenai.org/download';
const COCO_LAYOUT =
  '  val2014/COCO_val2014_….jpg                (images.cocodataset.org/zips/val2014.zip)';

const FILES = {
  vqav2: {
    questions: { name: 'v2_OpenEnded_mscoco_val2014_questions.json', source: VQA_SOURCE },
    annotations: { name: 'v2_mscoco_val2014_annotations.json', source: VQA_SOURCE },
  },
  okvqa: {
    questions: { name: 'OpenEnded_mscoco_val2014_questions.json', source: OKVQA_SOURCE },
    annotations: { name: 'mscoco_val2014_annotations.json', source: OKVQA_SOURCE },
  },
} satisfies Record<string, Record<string, AnnotationFile>>;
const GQA_FILE = {
  name: 'testdev_balanced_questions.json',
  source: 'questions1.2.zip of cs.stanford.edu/people/dorarad/gqa/download.html',
};
const GQA_LAYOUT = `  ${GQA_FILE.name}
  images/….jpg                              (images.zip, from the same page)`;

/** @throws DatasetError that says what is missing, where to get it and where to put it */
export async function readQuestions(
  dataset: QuestionDataset,
  folder: string,
  choose: (all: readonly Unlocated[]) => readonly Unlocated[],
): Promise<Question[]> {
  if (dataset === 'gqa') {
    const path = await requireAnnotation(folder, [GQA_FILE], GQA_LAYOUT);
    return locateImages(folder, choose(await readGqa(path)), GQA_LAYOUT);
  }
  const files = FILES[dataset];
  const layout = `  ${files.questions.name}\n  ${files.annotations.name}\n${COCO_LAYOUT}`;
  const questions = await requireAnnotation(folder, [files.questions], layout);
  const annotations = await requireAnnotation(folder, [files.annotations], layout);
  return locateImages(folder, choose(await readVqa(questions, annotations)), layout);
}

/** Questions without annotations, as those of a test split, are left out. */
async function readVqa(questionPath: string, annotationPath: string): Promise<Unlocated[]> {
  const { questions } = await readAnnotation(questionPath, VqaQuestions);
  const { annotations } = await readAnnotation(annotationPath, VqaAnnotations);
  const byId = new Map(annotations.map((annotation) => [annotation.question_id, annotation]));
  return questions.flatMap(({ question_id, image_id, question }) => {
    const annotation = byId.get(question_id);
    if (annotation === undefined) return [];
    const name = `COCO_val2014_${String(image_id).padStart(12, '0')}.jpg`;
    return {
      id: String(question_id),
      images: ['val2014', 'images/val2014', 'images'].map((folder) => `${folder}/${name}`),
      question,
      answers: annotation.answers.map(({ answer }) => answer),
      type: annotation.answer_type ?? 'other',
    };
  });
}

async function readGqa(path: string): Promise<Unlocated[]> {
  const questions = await readAnnotation(path, GqaQuestions);
  return Object.entries(questions).map(([id, { imageId, question, answer, types }]) => ({
    id,
    images: [`images/${imageId}.jpg`, `${imageId}.jpg`],
    question,
    answers: [answer],
    type: types?.structural ?? 'all',
  }));
}
