"""Writes small tokenizers whose config says `clean_up_tokenization_spaces`, and what `transformers` decodes.

    pip install transformers
    python test/parity/golden/make/clean_up.py    # writes test/parity/golden/tokenizers/clean-up.json.gz

Each case holds the files of a folder, rows of token ids, and their texts. The pieces are those that the clean-up finds:
marks, contractions and their parts, with and without a space in front. Byte-level BPE is left alone by `transformers`.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import tempfile
from pathlib import Path

os.environ["TRANSFORMERS_VERBOSITY"] = "critical"

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer

from golden_files import GOLDEN

ROWS = 400
PIECES = [".", "?", "!", ",", "'", "n't", "n", "t", "'s", "s", "'ve", "ve", "'re", "'m", "v", "r", "e", "a", "dog"]
CONTROLS = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}


def unigram() -> Tokenizer:
    """Of T5's kind: each piece inside a word and at its beginning, and the mark alone."""
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    vocab += [(start + piece, -3.0) for piece in PIECES for start in ("", "▁")]
    made = Tokenizer(models.Unigram(vocab, unk_id=2, byte_fallback=False))
    metaspace = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace])
    made.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    return made


def byte_level() -> Tokenizer:
    """Of OPT's kind: bytes and no merges."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = ["<pad>", "</s>", "<unk>", *alphabet]
    made = Tokenizer(models.BPE(vocab={piece: number for number, piece in enumerate(pieces)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return made


def case(family: str, made: Tokenizer, name: str, settings: dict[str, object]) -> dict:
    """The files of a folder, random rows of ids, and their texts."""
    rng = random.Random(f"{family} {settings}")
    made.add_special_tokens(list(CONTROLS.values()))
    config = {
        "model_type": "blip-2",
        "architectures": ["Blip2ForConditionalGeneration"],
        "text_config": {"model_type": family},
    }
    tokenizer_config = {"tokenizer_class": name, **CONTROLS, **settings}
    files = {
        "config.json": json.dumps(config),
        "tokenizer.json": made.to_str(),
        "tokenizer_config.json": json.dumps(tokenizer_config),
    }
    with tempfile.TemporaryDirectory() as folder:
        for file, text in files.items():
            (Path(folder) / file).write_text(text)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    if family == "t5":
        rows = [[rng.randrange(made.get_vocab_size()) for _ in range(rng.randrange(1, 12))] for _ in range(ROWS)]
    else:
        texts = ["".join(rng.choice(PIECES + [" "] * 8) for _ in range(9)) for _ in range(ROWS // 4)]
        rows = [made.encode(text).ids for text in texts]
    texts = [tokenizer.decode(row, skip_special_tokens=True) for row in rows]
    return {"files": files, "rows": rows, "texts": texts}


def main() -> None:
    """Writes all cases."""
    on, off = {"clean_up_tokenization_spaces": True}, {"clean_up_tokenization_spaces": False}
    cases = [
        case("t5", unigram(), "T5Tokenizer", on),
        case("t5", unigram(), "T5TokenizerFast", {**on, "legacy": False, "extra_ids": 0}),
        case("t5", unigram(), "T5Tokenizer", off),
        case("t5", unigram(), "T5Tokenizer", {}),
        case("opt", byte_level(), "GPT2Tokenizer", on),
    ]
    packed = json.dumps(cases, ensure_ascii=True, separators=(",", ":")).encode()
    (GOLDEN / "tokenizers" / "clean-up.json.gz").write_bytes(gzip.compress(packed, 9, mtime=0))
    print(
        len(cases), "tokenizers", [sum(" ." in text for text in each["texts"]) for each in cases], len(packed), "bytes"
    )


if __name__ == "__main__":
    main()
