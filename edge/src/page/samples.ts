/** The samples: six of the test scenes, drawn by three artists (NOTICE), with questions that fit them. */
import type { ChosenImage } from './images.ts';
import anchorsAndDog from './samples/anchors-dog.webp';
import dolphin from './samples/dolphin.webp';
import elephantAndBee from './samples/elephant-bee.webp';
import lionAndCow from './samples/lion-cow.webp';
import pears from './samples/pears.webp';
import rainbowsAndHorse from './samples/rainbows-horse.webp';

/** @param data a `data:` URL */
const sample = (name: string, data: string, ...questions: string[]): ChosenImage => ({
  name,
  preview: data,
  source: { kind: 'address', address: data },
  questions,
  isSample: true,
});

export const SAMPLES: readonly ChosenImage[] = [
  sample(
    'elephant and bee',
    elephantAndBee,
    'what is below the elephant?',
    'is the bee below the elephant?',
    'what color is the background?',
    'is there a vehicle?',
  ),
  sample(
    'anchors and dog',
    anchorsAndDog,
    'how many anchors are there?',
    'what color is the background?',
    'is there an animal?',
    'is there a cat?',
  ),
  sample(
    'lion and cow',
    lionAndCow,
    'what is to the right of the lion?',
    'is the lion to the left of the cow?',
    'how many cows are there?',
    'what color is the background?',
  ),
  sample(
    'pears',
    pears,
    'how many pears are there?',
    'what is in the picture?',
    'is there a lemon?',
    'what color is the background?',
  ),
  sample(
    'dolphin',
    dolphin,
    'what is in the picture?',
    'is there an animal?',
    'is there an elephant?',
    'what color is the background?',
  ),
  sample(
    'rainbows and horse',
    rainbowsAndHorse,
    'how many rainbows are there?',
    'how many horses are there?',
    'is there a horse?',
    'what color is the background?',
  ),
];
