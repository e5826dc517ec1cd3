"""Writes small tokenizers in the files of older versions of `transformers`, and the ids that today's gives with them.

    pip install transformers sentencepiece protobuf
    python test/parity/golden/make/slow_tokenizers.py    # writes test/parity/golden/tokenizers/slow-tokenizers.json.gz

Each case holds the files of a folder without a tokenizer.json (`spiece.model` in base64), texts, and their ids with the
control tokens around them. No text holds the name of a control token.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import random
import tempfile
from pathlib import Path

os.environ["TRANSFORMERS_VERBOSITY"] = "error"

import sentencepiece
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer

from golden_files import GOLDEN

FOLDER = GOLDEN / "tokenizers"
CORPUS = [
    "a dog stands on the mat", "the zebra crossing of the region", "a red dog and a zebra in the rain", "don't run, the dogs said.",
    "two dogs, three cats, 12 zebras", "Question: what is this? Answer:", "x_1 = y_2 + 3.14", "naïve ñandú café Straße", "日本語の文",
]  # fmt: skip
WORDS = ["<region>", "zebra crossing", "ñandú", "Dog", "<loc_1>"]
TEXTS = [
    *CORPUS, "", " ", "  leading", "trailing  ", "two  spaces", "tab\tand\nline", "a\u00a0b", "ﬁne ＡＢＣ", "Étude ETUDE é e\u0301", "日本 dog日本",
    "a <region> of a zebra crossing", "<region><region> <loc_1>", "ñandú,Dog dog DOG", "x<region>x", " <region> ", "zebra crossings", "🐕 ☃",
]  # fmt: skip
TEXT_CONFIGS = {
    "opt": {"model_type": "opt", "bos_token_id": 2, "eos_token_id": 2, "pad_token_id": 1},
    "t5": {"model_type": "t5", "eos_token_id": 1, "pad_token_id": 0},
    "bert": {},
}


def flags(content: str, **changes: bool) -> dict:
    """A token of `added_tokens_decoder`, as saved where nothing was asked for."""
    return {
        "content": content,
        "lstrip": False,
        "rstrip": False,
        "normalized": True,
        "single_word": False,
        "special": False,
        **changes,
    }


def opt_files() -> dict[str, str]:
    """The vocabulary of a byte-level BPE."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=330, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<s>", "<pad>", "</s>", "<unk>"], show_progress=False,
    )  # fmt: skip
    made.train_from_iterator(CORPUS * 3, trainer)
    model = json.loads(made.to_str())["model"]
    merges = "\n".join(["#version: 0.2", *(" ".join(pair) for pair in model["merges"]), ""])
    return {"vocab.json": json.dumps(model["vocab"]), "merges.txt": merges}


def t5_files(**options: object) -> dict[str, str]:
    """The model of SentencePiece, in base64."""
    with tempfile.TemporaryDirectory() as folder:
        text, prefix, rules = Path(folder) / "text", Path(folder) / "model", Path(folder) / "rules.tsv"
        text.write_text("\n".join(CORPUS * 3))
        pairs = {
            "ﬁ": "fi",
            "Ａ": "A",
            "Ｂ": "B",
            "Ｃ": "C",
            "\t": " ",
            "\n": " ",
            "\u00a0": " ",
            "e\u0301": "é",
            "☃": "snow man",
            "\u200b": "",
        }
        rules.write_text(
            "".join("\t".join(" ".join(f"{ord(c):X}" for c in part) for part in pair) + "\n" for pair in pairs.items())
        )
        sentencepiece.SentencePieceTrainer.train(
            input=str(text), model_prefix=str(prefix), model_type="unigram", vocab_size=150, hard_vocab_limit=False, pad_id=0,
            eos_id=1, unk_id=2, bos_id=-1, minloglevel=2, num_threads=1, normalization_rule_tsv=str(rules), **options,
        )  # fmt: skip
        return {"spiece.model": base64.b64encode(prefix.with_suffix(".model").read_bytes()).decode()}


def bert_files() -> dict[str, str]:
    """The vocabulary of a WordPiece."""
    letters = sorted(
        {c for line in CORPUS for c in line + line.lower() if c != " "} | set("abcdefghijklmnopqrstuvwxyz")
    )
    pieces = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *letters,
        *(f"##{c}" for c in letters),
        "dog",
        "the",
        "zebra",
        "##bra",
    ]
    return {"vocab.txt": "\n".join(pieces) + "\n"}


OPT = {
    "tokenizer_class": "GPT2Tokenizer",
    "bos_token": "</s>",
    "eos_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "</s>",
    "add_bos_token": True,
}
T5 = {"tokenizer_class": "T5Tokenizer", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
BERT = {"tokenizer_class": "BertTokenizer"}


def added(first: int, words: list[str], rng: random.Random) -> dict:
    """Of tokenizer_config.json: words with ids from `first` on, flags at random, and which of them are special."""
    decoder = {}
    for number, word in enumerate(words):
        special = rng.random() < 0.3
        chosen = {flag: rng.random() < 0.3 for flag in ("lstrip", "rstrip", "single_word")}
        decoder[str(first + number)] = flags(
            word, special=special, normalized=not special and rng.random() < 0.6, **chosen
        )
    specials = [token["content"] for token in decoder.values() if token["special"]]
    return {"added_tokens_decoder": decoder, "additional_special_tokens": specials}


def cases() -> list[tuple[str, dict[str, str], dict, dict[str, object]]]:
    """Family, vocabulary, tokenizer_config.json, and what other files hold."""
    rng = random.Random("slow tokenizers")
    opt, t5, bert = opt_files(), t5_files(), bert_files()
    user_defined = t5_files(user_defined_symbols=["<region>", "Dog"])
    in_opt = len(json.loads(opt["vocab.json"]))
    in_bert = bert["vocab.txt"].count("\n")
    in_t5 = sentencepiece.SentencePieceProcessor(model_proto=base64.b64decode(t5["spiece.model"])).get_piece_size()
    found: list[tuple[str, dict[str, str], dict, dict[str, object]]] = [
        ("opt", opt, OPT, {}),
        ("opt", opt, {**OPT, "add_prefix_space": True}, {}),
        ("opt", opt, OPT, {"added_tokens.json": {"<region>": in_opt + 1, "zebra crossing": in_opt}}),
        ("opt", opt, OPT, {"added_tokens.json": {"<region>": in_opt}, "special_tokens_map.json": {"additional_special_tokens": ["<region>"]}}),
        ("opt", opt, {**OPT, "additional_special_tokens": ["<region>", "<loc_1>"]}, {}),
        ("opt", opt, {key: OPT[key] for key in ("tokenizer_class", "add_bos_token")}, {"special_tokens_map.json": {
            "bos_token": flags("</s>"), "eos_token": "</s>", "unk_token": "</s>", "pad_token": "<pad>", "additional_special_tokens": ["<loc_1>"]}}),
        ("t5", t5, T5, {}),
        ("t5", t5, {**T5, "extra_ids": 3}, {}),
        ("t5", t5, {**T5, "extra_ids": 0}, {"added_tokens.json": {"<region>": in_t5, "Dog": in_t5 + 1}}),
        ("t5", t5, {**T5, "extra_ids": 2, "additional_special_tokens": ["<extra_id_0>", "<extra_id_1>", "<region>"]}, {}),
        ("t5", user_defined, {**T5, "extra_ids": 4}, {}),
        ("t5", t5_files(normalization_rule_name="identity") | {}, {**T5, "extra_ids": 1, "legacy": False}, {}),
        ("bert", bert, BERT, {}),
        ("bert", bert, {**BERT, "do_lower_case": False}, {}),
        ("bert", bert, {**BERT, "do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False}, {}),
        ("bert", bert, {**BERT, "strip_accents": False, "bos_token": "[DEC]"}, {"added_tokens.json": {"[DEC]": in_bert, "<region>": in_bert + 1}}),
        ("bert", bert, {**BERT, "bos_token": "[DEC]", "additional_special_tokens": ["zebra crossing"]}, {}),
    ]  # fmt: skip
    for _ in range(6):
        words = rng.sample(WORDS, rng.randrange(1, 5))
        found.append(("opt", opt, {**OPT, "add_prefix_space": rng.random() < 0.5, **added(in_opt, words, rng)}, {}))
        found.append(("t5", t5, {**T5, "extra_ids": 0, **added(in_t5, words, rng)}, {}))
        found.append(("bert", bert, {**BERT, "do_lower_case": rng.random() < 0.7, **added(in_bert, words, rng)}, {}))
    return found


def main() -> None:
    """Writes the files of each case, the texts, and their ids."""
    packed = []
    for family, vocabulary, config, others in cases():
        # Of a family without text_config the retrieval model is the only one.
        model = {
            "model_type": "blip-2",
            "architectures": ["Blip2ForImageTextRetrieval" if family == "bert" else "Blip2ForConditionalGeneration"],
        }
        if TEXT_CONFIGS[family]:
            model["text_config"] = TEXT_CONFIGS[family]
        files = dict(vocabulary)
        files["config.json"] = json.dumps(model)
        files["tokenizer_config.json"] = json.dumps(config)
        files |= {name: json.dumps(content) for name, content in others.items()}
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                content = base64.b64decode(text) if name == "spiece.model" else text.encode()
                (Path(folder) / name).write_bytes(content)
            tokenizer = AutoTokenizer.from_pretrained(folder)
            ids = [tokenizer(text)["input_ids"] for text in TEXTS]
        packed.append({"family": family, "files": files, "ids": ids})
    text = json.dumps({"texts": TEXTS, "cases": packed}, ensure_ascii=True, separators=(",", ":")).encode()
    (FOLDER / "slow-tokenizers.json.gz").write_bytes(gzip.compress(text, 9, mtime=0))
    print(len(packed), "folders", len(TEXTS), "texts each", len(text), "bytes")


if __name__ == "__main__":
    main()
