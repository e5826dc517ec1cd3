"""Writes the goldens of the metrics' tests: what independent implementations say of the same texts.

    pip install nltk sacrebleu numpy pycocoevalcap
    python tools/eval/metrics/golden/make.py --vqa-eval PATH

`pycocoevalcap` is the reference implementation of the caption metrics. `PATH` is the official evaluation of VQA
(`PythonEvaluationTools/vqaEvaluation/vqaEval.py` of GT-Vision-Lab/VQA), after `2to3 -w -n`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
from pathlib import Path
from types import ModuleType

import numpy as np
import sacrebleu
from nltk.tokenize import TreebankWordTokenizer
from pycocoevalcap.bleu.bleu_scorer import BleuScorer
from pycocoevalcap.cider.cider_scorer import CiderScorer
from pycocoevalcap.rouge.rouge import Rouge

HERE = Path(__file__).parent
PUNCTUATION = {"''", "``", '"', "'", ".", "?", "!", ",", ":", "-", "--", "...", ";"}

SUBJECTS = ["a man", "two men", "a woman", "a dog", "three dogs", "a small child", "a red bus", "an old train"]
VERBS = ["riding", "sitting on", "standing next to", "looking at", "holding", "in front of", "under"]
OBJECTS = ["a bench", "a horse", "the street", "a red car", "two white boats", "a kite", "the beach"]
ENDINGS = ["", "", " on a sunny day", " near the water", " in the snow", " with a blue sky behind it"]

# Sentences on which the Treebank's tokenizer of nltk and coco-caption's agree, punctuation apart.
SENTENCES = [
    "A man riding a wave on top of a surfboard.",
    "The dog's ball isn't under the couch!",
    "They're eating; he can't, and she won't.",
    "A cannot opener? No, a can-opener.",
    "It costs $5, or 50% of 1,000 dollars, at 10:30.",
    "A black-and-white cat, looking at a dog.",
    "The girls' kites",
    'A sign that says "stop" on a street',
    "I'd say we've seen what they'll do & why I'm gonna go",
    "A boy  with   two balls",
    "Train #7 on the track...",
    "a clock reads 5 o'clock",
]

MARKS = [".", ",", "?", "!", ";", "/", "-", "_", "'", '"', "(", ")", "@", ">", "=", "`", "[", "}", "\\", "+", ":", "%"]
WORDS = [
    "a", "The", "an", "dog", "Dogs", "two", "2", "none", "zero", "ten", "eleven", "1,000", "3.5", "0.5", ".5", "U.S.",
    "dont", "Im", "ive", "hes", "couldnt've", "couldn'tve", "its", "it's", "lets", "somebody'd", "ow's'at", "'ows'at",
    "yall'd've", "y'allll", "twas", "red", "light blue", "t-shirt", "black/white", "yes", "No", "id've", "cant",
]  # fmt: skip


def captions(rng: random.Random) -> list[dict]:
    """Candidates with one to five references each, made at random, and two odd ones."""

    def one() -> str:
        return f"{rng.choice(SUBJECTS)} {rng.choice(VERBS)} {rng.choice(OBJECTS)}{rng.choice(ENDINGS)}"

    pairs = []
    for _ in range(40):
        references = [one() for _ in range(rng.choice([1, 3, 5, 5, 5]))]
        candidate = rng.choice([one(), rng.choice(references), " ".join(rng.choice(references).split()[:4])])
        pairs.append({"candidate": candidate, "references": references})
    pairs.append({"candidate": "a a a a a a", "references": ["a dog"]})
    pairs.append({"candidate": "", "references": ["a dog on a bench", "the dog"]})
    return pairs


def caption_scores(pairs: list[dict]) -> dict:
    """BLEU of the corpus, CIDEr-D and ROUGE-L of each caption; words are what spaces separate."""
    bleu, cider, rouge = BleuScorer(n=4), CiderScorer(n=4, sigma=6.0), Rouge()
    for pair in pairs:
        bleu += (pair["candidate"], pair["references"])
        cider += (pair["candidate"], pair["references"])
    scores, _ = bleu.compute_score(option="closest", verbose=0)
    _, per_caption = cider.compute_score()
    columns = max(len(p["references"]) for p in pairs)
    streams = [[p["references"][min(i, len(p["references"]) - 1)] for p in pairs] for i in range(columns)]
    other = sacrebleu.corpus_bleu([p["candidate"] for p in pairs], streams, tokenize="none", smooth_method="none")
    return {
        "bleu": scores,
        "sacrebleu": other.score / 100,
        "cider": [float(score) for score in per_caption],
        "rouge": [rouge.calc_score([p["candidate"]], p["references"]) for p in pairs],
    }


def tokens(sentence: str) -> list[str]:
    """Tokens of the Treebank in lower case, without punctuation."""
    return [t for t in TreebankWordTokenizer().tokenize(sentence.lower()) if t not in PUNCTUATION]


def random_answer(rng: random.Random) -> str:
    """Words and marks, with and without spaces between them."""
    text = ""
    for _ in range(rng.randint(1, 4)):
        text += rng.choice(["", " ", " ", "  ", rng.choice(MARKS)]) + rng.choice(WORDS)
        text += rng.choice(["", "", rng.choice(MARKS), f" {rng.choice(MARKS)} "])
    return text


def vqa(module: ModuleType, rng: random.Random) -> dict:
    """Normalized answers, and accuracies of questions with ten annotators."""
    judge = module.VQAEval(Loaded({}), Loaded({}))
    answers = [*WORDS, *judge.contractions, "." * 40, "a\tb\nc", "", *(random_answer(rng) for _ in range(300))]
    normalized = [[a, judge.processDigitArticle(judge.processPunctuation(a))] for a in answers]
    questions = []
    for _ in range(80):
        few = [random_answer(rng) for _ in range(rng.randint(1, 4))]
        annotators = [rng.choice(few) for _ in range(10)]
        questions.append({"answer": rng.choice([*few, random_answer(rng)]), "annotators": annotators})
    questions.append({"answer": "The Dog.", "annotators": ["The Dog."] * 10})
    questions.append({"answer": "dog", "annotators": ["The Dog."] * 10})
    for question in questions:
        question["accuracy"] = official_accuracy(module, question)
    return {"normalized": normalized, "questions": questions}


class Loaded:
    """What the evaluation needs of its loader of files, for one question."""

    def __init__(self, answer: dict) -> None:
        self.qa = {1: answer}

    def getQuesIds(self) -> list[int]:  # noqa: N802
        """Ids of the questions."""
        return [1]


def official_accuracy(module: ModuleType, question: dict) -> float:
    """Accuracy of one answer, from 0 to 1."""
    answers = [{"answer": a, "answer_id": i} for i, a in enumerate(question["annotators"])]
    truth = Loaded({"question_type": "what", "answer_type": "other", "answers": answers})
    judge = module.VQAEval(truth, Loaded({"answer": question["answer"]}), n=10)
    judge.evaluate()
    return judge.accuracy["overall"] / 100


def recalls(rng: random.Random) -> list[dict]:
    """Recall at 1, 5 and 10 by sorting."""
    cases = []
    for _ in range(3):
        scores = [[round(rng.random(), 3) for _ in range(30)] for _ in range(12)]
        right = [sorted(rng.sample(range(30), rng.randint(1, 5))) for _ in scores]
        first = []
        for row, wanted in zip(scores, right, strict=True):
            order = np.argsort(-np.array(row))
            first.append(min(int(np.where(order == w)[0][0]) for w in wanted))
        shares = [float(np.mean(np.array(first) < k)) for k in (1, 5, 10)]
        cases.append({"scores": scores, "right": right, "recalls": shares})
    return cases


def main() -> None:
    """Writes all files."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--vqa-eval", type=Path, required=True)
    path = parser.parse_args().vqa_eval
    spec = importlib.util.spec_from_file_location("vqa_eval", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rng = random.Random(7)
    pairs = captions(rng)
    goldens = {
        "captions": {"pairs": pairs, **caption_scores(pairs)},
        "tokens": [[s, tokens(s)] for s in SENTENCES],
        "vqa": vqa(module, rng),
        "recalls": recalls(rng),
    }
    for name, golden in goldens.items():
        (HERE / f"{name}.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
