"""Writes a corpus, three small tokenizers trained on it, and the ids that `tokenizers` gives for every line.

    python test/parity/golden/make/tokenizer_corpus.py     # writes test/parity/golden/tokenizers/

Needs sentencepiece. Byte-level BPE as OPT has it, Unigram as FlanT5 has it (with SentencePiece's own nmt_nfkc character
map), and WordPiece as BERT has it. Control strings in a text are ordinary text: the expected ids come from
`without_controls`. The trainer of WordPiece gives other pieces at each run; the other two always give the same.
"""

from __future__ import annotations

import gzip
import json
import random
import tempfile
import unicodedata
from pathlib import Path

import sentencepiece
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)  # fmt: skip

from control_tokens import without_controls
from golden_files import GOLDEN

FOLDER = GOLDEN / "tokenizers"
LINES = 3500  # all different
NOUNS = "dog cat car tree house boat bird horse child street river table window bottle kite train".split()
VERBS = "stands sits runs waits sleeps jumps looks turns shines falls".split()
PLACES = "on a mat,in the rain,next to a fence,under the bridge,behind two chairs,at 10:45 pm".split(",")
QUESTIONS = ["what is this?", "how many {}s are there?", "is the {} red or blue?", "Question: where is the {}? Answer:"]
CONTROL = [
    "</s>",
    "<pad>",
    "<unk>",
    "<image>",
    "<extra_id_0>",
    "<|endoftext|>",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "[DEC]",
    "<s>",
]
ODD = [
    "", " ", "  ", "\n", "\t", "\r\n", " leading", "trailing ", "two  spaces", "a\u00a0b", "a\u2003b\u3000c", "\u200bzero\u200dwidth",
    "\ufeffmark", "e\u0301 vs \u00e9", "ﬁne ﬂour", "①②③ ⅣⅫ", "ＦＵＬＬ　ｗｉｄｔｈ１２３", "½ ¾ x² H₂O", "don't can't I'll we've they're",
    "naïve café Straße İstanbul ĞÜŞ", "日本語の文 東京タワー", "한국어 문장", "العربية والعبرية עברית", "ไทยภาษา", "हिन्दी वाक्य", "Ελληνικά Русский",
    "👩‍👩‍👧‍👦 🐕‍🦺 🇩🇪 👍🏽", "\U0001d54f\U0001f600", "a\u0000b", "\u0007bell \u001b[0m", "tab\tin\tside", "line\nbreak\n\nhere", "x" * 300,
    "supercalifragilisticexpialidocious" * 4, "https://example.org/a?b=c&d=%20#e", "user@example.com", "3.14159 -2e10 1,000,000",
    "(([[{{<<>>}}]]))", "…—–-‐‑", "“quotes” ‘single’ «guillemets»", "\u202eright\u202c", "ǅ ǆ Ǆ", "ſ ẞ ß", "\u1e9b\u0323", "ﷺ", "㍿", "\ud7a3\u1100\u1161",
]  # fmt: skip
# Characters that tokenizers treat, drop or split at in ways of their own (`special_lines`).
SPECIAL = [
    *range(0x20), *range(0x7F, 0xA1),  # C0, DEL, C1, no-break space
    *(0xAD, 0x61C, 0x180E, 0x2028, 0x2029, 0x202F, 0x205F, 0x1680, 0x3000),
    *range(0x2000, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF,  # spaces, zero width, direction
    *(0x300, 0x301, 0x308, 0x30A, 0x323, 0x345, 0x34F, 0x488, 0x5B0, 0x64B, 0x93F, 0x94D, 0xE31),  # marks
    *(0x20DD, 0x3099, 0x1D165),
    *range(0x180B, 0x1810), *range(0xFE00, 0xFE10), 0xE0100, 0xE01EF, 0xE0001, 0xE0020, 0xE007F,  # variations, tags
    *(0x378, 0x530, 0x2FE0, 0xFFEF, 0x1F8FF, 0x3FFF0, 0x50000, 0xDFFFD, 0xE0FFF),  # unassigned
    *(0xE000, 0xF8FF, 0xF0000, 0x10FFFD),  # private use
    *(0xFDD0, 0xFFFE, 0xFFFF, 0x1FFFE, 0x10FFFF),  # noncharacters
    *(0xFFF9, 0xFFFB, 0xFFFC, 0xFFFD, 0x2581, 0x2585, 0x1F1E6, 0x1F3FB, 0x200D, 0x1100, 0x1161, 0xD7A3),
]  # fmt: skip


def special_lines() -> list[str]:
    """Every special character alone, between letters and between spaces, and before control strings."""
    lines = [text for c in map(chr, SPECIAL) for text in (c, f"a{c}b", f"a {c} b")]
    # Nothing in a text may lead to a control token.
    return lines + [f"{c}{control}" for c in ("\uffff", "\u2581", "\x00") for control in CONTROL]


def corpus() -> list[str]:
    """`LINES` different lines: odd ones first, then sentences, questions and random characters."""
    rng = random.Random("tokenizers")
    lines = [*ODD, *CONTROL, *(f"before {c} after{c}" for c in CONTROL), *special_lines()]
    lines = list(dict.fromkeys(lines))
    known = set(lines)
    letters = [
        chr(code) for code in range(0x20, 0x2FFFF)
        if unicodedata.category(chr(code)) not in ("Cs", "Cn", "Co")
    ]  # fmt: skip
    common = [c for c in letters if ord(c) < 0x3000]
    while len(lines) < LINES:
        kind = rng.random()
        noun = rng.choice(NOUNS)
        if kind < 0.45:
            line = f"a {rng.choice(NOUNS)} {rng.choice(VERBS)} {rng.choice(PLACES)} and the {noun} {rng.choice(VERBS)}"
            line = line.capitalize() + "." if rng.random() < 0.3 else line
        elif kind < 0.6:
            line = rng.choice(QUESTIONS).format(noun)
        elif kind < 0.8:
            line = "".join(rng.choice(common) for _ in range(rng.randint(1, 24)))
        elif kind < 0.9:
            line = "".join(rng.choice(letters) for _ in range(rng.randint(1, 12)))
        else:
            words = [rng.choice(NOUNS + CONTROL + ODD[:40]) for _ in range(rng.randint(2, 5))]
            line = rng.choice([" ", "", "  ", "\n"]).join(words)
        if line not in known:
            known.add(line)
            lines.append(line)
    return lines


def opt_like(lines: list[str]) -> Tokenizer:
    """Byte-level BPE."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=900, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"], show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.post_processor = processors.TemplateProcessing("</s> $A", special_tokens=[("</s>", 2)])
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<image>"])
    return tokenizer


def t5_like(lines: list[str]) -> Tokenizer:
    """Unigram, with pieces and character map of SentencePiece."""
    with tempfile.TemporaryDirectory() as folder:
        text, prefix = Path(folder) / "corpus.txt", str(Path(folder) / "model")
        # Letters that stand in random lines only stay unknown, as many do in the published vocabulary.
        known = [line for line in lines if line.isascii()] + ODD
        text.write_text("\n".join(line.replace("\n", " ").replace("\0", "") for line in known))
        sentencepiece.SentencePieceTrainer.train(
            input=str(text), model_prefix=prefix, model_type="unigram", vocab_size=1200, hard_vocab_limit=False,
            pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2, num_threads=1,
        )  # fmt: skip
        model = sentencepiece.SentencePieceProcessor(model_file=prefix + ".model")
        charsmap = field(field(Path(prefix + ".model").read_bytes(), 3), 2)
    pieces = [(model.id_to_piece(i), model.get_score(i)) for i in range(model.get_piece_size())]
    pieces += [(f"<extra_id_{i}>", 0.0) for i in reversed(range(10))]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=False))
    tokenizer.normalizer = normalizers.Precompiled(charsmap)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>", *(f"<extra_id_{i}>" for i in range(10)), "<image>"])
    return tokenizer


def field(message: bytes, number: int) -> bytes:
    """The length-delimited field `number` of a protocol buffer."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 2:
            length = varint()
            at += length
            if key >> 3 == number:
                return message[at - length : at]
        elif key & 7 == 0:
            varint()
        else:
            at += 4 if key & 7 == 5 else 8
    raise ValueError(f"no field {number}")


def bert_like(lines: list[str]) -> Tokenizer:
    """WordPiece of lower-cased words."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(
        vocab_size=1100, special_tokens=special, limit_alphabet=600, show_progress=False
    )
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.add_special_tokens([*special, "[DEC]"])
    return tokenizer


def main() -> None:
    """Writes the tokenizers, the lines, their ids and what the ids decode to."""
    lines = corpus()
    FOLDER.mkdir(parents=True, exist_ok=True)
    expected: dict[str, object] = {"lines": lines}
    for name, train in {"opt": opt_like, "t5": t5_like, "bert": bert_like}.items():
        tokenizer = train(lines)
        plain = without_controls(tokenizer)
        ids = [plain.encode(line, add_special_tokens=False).ids for line in lines]
        expected[name] = ids
        if name != "bert":
            expected[f"{name}-text"] = [tokenizer.decode(row) for row in ids]
        (FOLDER / f"{name}.json.gz").write_bytes(gzip.compress(tokenizer.to_str().encode(), mtime=0))
        print(name, tokenizer.get_vocab_size(), "pieces", sum(map(len, ids)), "ids")
    packed = json.dumps(expected, ensure_ascii=True, separators=(",", ":")).encode()
    (FOLDER / "expected.json.gz").write_bytes(gzip.compress(packed, 9, mtime=0))


if __name__ == "__main__":
    main()
