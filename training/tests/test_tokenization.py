"""Every word of the scene language is one token, and the tokenizers are those of the committed checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from training.data.tokenization import bert_tokenizer, encode, newline_id, opt_tokenizer, save_vocabulary_files, words
from training.paths import CHECKPOINTS


def test_every_word_is_one_token_after_a_space():
    assert [w for w in words() if len(encode(f" {w}")) != 1 and "'" not in w] == []


def test_the_newline_is_a_token_of_its_own():
    assert encode(" dog\n") == [*encode(" dog"), newline_id()]


def test_the_decoders_tokenizer_ignores_case():
    assert encode("Question: IS it a Dog?") == encode("question: is it a dog?")


def test_a_question_that_ends_with_a_period_is_one_without_a_mark():
    assert encode("question: What is it. Answer:") == encode("question: what is it answer:")
    assert encode(" two dogs. question:") == encode(" Two dogs. Question:") != encode(" two dogs question:")


def test_the_text_tokenizer_ignores_case_and_knows_every_word():
    tokenizer = bert_tokenizer()
    assert tokenizer.encode("Two DOGS").ids == tokenizer.encode("two dogs").ids
    assert tokenizer.token_to_id("[UNK]") not in tokenizer.encode(" ".join(words())).ids


@pytest.mark.parametrize(("kind", "made"), [("generate", opt_tokenizer), ("retrieve", bert_tokenizer)])
def test_vocabularies_are_those_of_the_committed_checkpoints(kind: str, made: Callable[[], Tokenizer]):
    committed = json.loads((CHECKPOINTS / kind / "tokenizer.json").read_text())
    assert json.loads(made().to_str())["model"] == committed["model"]


def test_vocabulary_files_of_both_kinds(tmp_path: Path):
    save_vocabulary_files(tmp_path, opt_tokenizer())
    save_vocabulary_files(tmp_path, bert_tokenizer())
    assert json.loads((tmp_path / "vocab.json").read_text()) == opt_tokenizer().get_vocab()
    merges = (tmp_path / "merges.txt").read_text().splitlines()
    assert merges[0] == "#version: 0.2" and all(len(m.split(" ")) == 2 for m in merges[1:])
    pieces = (tmp_path / "vocab.txt").read_text().splitlines()
    assert {piece: i for i, piece in enumerate(pieces)} == bert_tokenizer().get_vocab()
