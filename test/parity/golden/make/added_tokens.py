"""Writes small random tokenizers with added tokens of every flag, odd texts, and what `tokenizers` makes of them.

    pip install tokenizers
    python test/parity/golden/make/added_tokens.py     # writes test/parity/golden/tokenizers/added-tokens.json.gz

Special tokens are control tokens: in a text they are text. The ids come from copies of the tokenizers in which no text
reaches one. Texts are those of `tokenizers`, but for added tokens of byte-level BPE: `tokenizers` reads each of their
characters as a byte, and makes `ñandú` two broken characters.
"""

from __future__ import annotations

import gzip
import json
import random
import unicodedata
from collections import Counter

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from golden_files import GOLDEN

FOLDER = GOLDEN / "tokenizers"
TOKENIZERS_PER_KIND = 44
LINES = 40
CONTROLS = ["<s>", "</s>", "<pad>", "<unk>", "<image>", "[CLS]", "[SEP]"]
CONTENTS = [
    "<region>", "<dummy>", "<r", "region>", "ion> of", "<REGION>", "zebra crossing", "zebra", "Zebra", "crossing z", "dog", "do",
    "og", "a", "the", "Ġthe", "▁the", "##og", "_x", "x_", "_", "1", "12", ".", ",", "<", ">", "<<", "'s", "don't", " lead", "trail ",
    " both ", "two  spaces", "\n", "\t", "a\nb", "ñandú", "n\u0303andu\u0301", "Ñ", "é", "e\u0301", "ﬁne", "①", "Ｒegion", "日本", "本",
    "東京タワー", "👍🏽", "👍", "🐕‍🦺", "ß", "ẞ", "İ", "Σ", "ς", "क्षि", "\u200d", "a\u00a0b", "\u3000", "½", "한국", "a\u0301b", "\u0301", "]", "[x]",
    "$^", "a|b", "(.*)", "\\d", "</", "</s> x", "x</s>", "[DEC]", "_", "loc_12", "<loc_12>", "<loc_1",
]  # fmt: skip
GLUE = [
    "", "", " ", " ", "  ", "   ", "\n", "\t", "\u00a0", "\u3000", "\u0085", "\ufeff", "\u200b", "\u200d", "_", "-", ".", "x", "Z", "1", "é",
    "\u0301", "日", "'", "▁", "#", "a ", " a", " dog ", " the ", "<", ">", "\r\n", "\u2028", "\x00", "\x07",
]  # fmt: skip
WORDS = "a the dog zebra region crossing of stands on mat red ZEBRA Dog naïve ñandú ﬁne 日本 12 x_ don't".split()
CORPUS = [
    "a dog stands on the mat", "the zebra crossing of the region", "a red dog and a zebra in the rain", "don't run, the dogs said.",
    "naïve ñandú café Straße", "日本語の文 東京タワー", "x_1 = y_2 + 3.14", "the <region> of a zebra", "two dogs, three cats, 12 zebras",
]  # fmt: skip


def byte_level_bpe(rng: random.Random) -> dict:
    """A `tokenizer.json` of OPT's kind, some without pieces for all bytes."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=rng.random() < 0.4, use_regex=rng.random() < 0.85)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    size = 260 + rng.randrange(60)
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, special_tokens=CONTROLS[:3], show_progress=False,
    )  # fmt: skip
    made.train_from_iterator(rng.sample(CORPUS, 6), trainer)
    file = json.loads(made.to_str())
    file["added_tokens"] = []
    model = file["model"]
    model["ignore_merges"] = rng.random() < 0.3
    if model["ignore_merges"]:
        for word in ("Ġregion", "Ġof", "zebra"):  # pieces that no merge leads to
            model["vocab"].setdefault(word, len(model["vocab"]))
    if rng.random() < 0.2:  # some bytes have no piece
        lost = {c for c in rng.sample(sorted(alphabet), 40) if not c.isascii()}
        model["merges"] = [pair for pair in model["merges"] if not lost & set("".join(pair))]
        pieces = [piece for piece in model["vocab"] if piece in CONTROLS or not lost & set(piece)]
        model["vocab"] = {piece: number for number, piece in enumerate(pieces)}
        if rng.random() < 0.7:
            model["unk_token"] = rng.choice(["<pad>", "a"])
            model["fuse_unk"] = rng.random() < 0.5
    return file


def unigram(rng: random.Random) -> dict:
    """A `tokenizer.json` of FlanT5's kind, with scores that tie."""
    letters = sorted({c for line in CORPUS for c in line if c != " "})
    known = ["▁", *rng.sample(letters, len(letters) - 8)]
    words = [f"▁{word}" for line in CORPUS for word in line.split()]
    parts = [word[i : i + n] for word in words for n in (2, 3, 5, 9) for i in range(len(word) - n + 1)]
    pieces = list(dict.fromkeys([*known, *rng.sample(parts, 60), *rng.sample(words, 12)]))
    # Coarse scores make ties.
    vocab = [[piece, 0.0] for piece in ("<pad>", "</s>", "<unk>")]
    vocab += [[piece, -rng.choice([rng.uniform(1, 12), rng.randrange(1, 30) / 10, 2.5, 3.3])] for piece in pieces]
    made = Tokenizer(models.Unigram([tuple(piece) for piece in vocab], unk_id=2, byte_fallback=False))
    scheme = rng.choice(["always", "always", "first", "never"])
    metaspace = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=rng.random() < 0.8)
    if rng.random() < 0.6:
        made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace])
    else:
        made.pre_tokenizer = metaspace
    made.decoder = decoders.Metaspace(prepend_scheme=scheme)
    file = json.loads(made.to_str())
    # The test puts the character map of t5.json.gz in its place.
    precompiled = {"type": "Precompiled", "precompiled_charsmap": "t5"}
    after = [
        {"type": "Strip", "strip_left": False, "strip_right": True},
        {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"},
    ]
    chosen = rng.sample(after, rng.randrange(1, 3))
    file["normalizer"] = rng.choice([
        None, precompiled, precompiled, {"type": "Sequence", "normalizers": [precompiled, *chosen]},
        {"type": "Sequence", "normalizers": chosen},
    ])  # fmt: skip
    return file


def word_piece(rng: random.Random) -> dict:
    """A `tokenizer.json` of BERT's kind, in which some letters have no piece."""
    letters = sorted(
        {c for line in CORPUS for c in line.lower() if c.isalnum()} | set("abcdefghijklmnopqrstuvwxyz0123456789")
    )
    letters = [c for c in letters if rng.random() < 0.95]
    words = rng.sample([word for line in CORPUS for word in line.lower().split()], 20)
    pieces = [
        *"[PAD] [UNK] [CLS] [SEP]".split(),
        *".,<>/[]_'-#",
        *letters,
        *(f"##{c}" for c in letters),
        "##og",
        "##bra",
        *words,
    ]
    vocab = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    made = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=rng.choice([100, 100, 6])))
    if rng.random() < 0.9:
        made.normalizer = normalizers.BertNormalizer(
            clean_text=rng.random() < 0.9, handle_chinese_chars=rng.random() < 0.8,
            strip_accents=rng.choice([None, None, True, False]), lowercase=rng.random() < 0.7,
        )  # fmt: skip
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece(prefix="##", cleanup=rng.random() < 0.7)
    return json.loads(made.to_str())


def add_tokens(file: dict, rng: random.Random) -> None:
    """Control tokens and words, with the ids that `tokenizers` gives: the vocabulary's, else the next ones."""
    vocab = file["model"]["vocab"]
    ids = dict(vocab) if isinstance(vocab, dict) else {piece: number for number, (piece, _) in enumerate(vocab)}
    after = len(vocab)
    contents = [c for c in CONTROLS if rng.random() < 0.6 or c in ids]
    controls = set(contents)
    contents += [c for c in rng.sample(CONTENTS, rng.randrange(2, 12)) if c not in controls]
    for content in dict.fromkeys(contents):
        special = content in controls
        flag = lambda chance: rng.random() < chance  # noqa: E731
        if content not in ids:
            ids[content], after = after, after + 1
        file["added_tokens"].append({
            "id": ids[content], "content": content, "single_word": flag(0.3), "lstrip": flag(0.3), "rstrip": flag(0.3),
            "normalized": flag(0.5) and not special, "special": special,
        })  # fmt: skip


def without_controls(file: dict, charsmap: str) -> Tokenizer:
    """The same tokenizer in which what reads like a control token is text; ids are the same."""
    file = json.loads(
        json.dumps(file).replace('"precompiled_charsmap": "t5"', json.dumps({"precompiled_charsmap": charsmap})[1:-1])
    )
    controls = {token["content"] for token in file["added_tokens"] if token["special"]} - {
        file["model"].get("unk_token")
    }
    hidden = lambda piece: f"\ue000{piece}\ue001" if piece in controls else piece  # noqa: E731
    for token in file["added_tokens"]:
        token["content"] = hidden(token["content"])
    vocab = file["model"]["vocab"]
    if isinstance(vocab, dict):
        file["model"]["vocab"] = {hidden(piece): number for piece, number in vocab.items()}
    else:
        file["model"]["vocab"] = [[hidden(piece), score] for piece, score in vocab]
    # What is special and not hidden is the unknown token, which is no text either.
    unknown = file["model"].get("unk_token")
    file["added_tokens"] = [
        token for token in file["added_tokens"] if not (token["special"] and token["content"] == unknown)
    ]
    return Tokenizer.from_str(json.dumps(file))


def odd_text(contents: list[str], rng: random.Random) -> str:
    """Added tokens, words and control strings, some in another case, form or length, with odd things between them."""
    parts = []
    for _ in range(rng.randrange(1, 7)):
        kind = rng.random()
        part = rng.choice(contents if kind < 0.6 else WORDS if kind < 0.9 else CONTROLS)
        change = rng.random()
        if change < 0.06:
            part = part.upper()
        elif change < 0.12:
            part = part.lower()
        elif change < 0.2:
            part = unicodedata.normalize(rng.choice(["NFC", "NFD", "NFKC"]), part)
        elif change < 0.24:
            part = part[: rng.randrange(len(part) + 1)]
        parts += [rng.choice(GLUE), part]
    return "".join([*parts, rng.choice(GLUE)])


def texts_of(made: Tokenizer, file: dict, rows: list[list[int]]) -> list[str]:
    """Control tokens have no text; the white space at the ends is not compared."""
    controls = {token["id"] for token in file["added_tokens"] if token["special"]}
    rows = [[number for number in row if number not in controls] for row in rows]
    if file["model"]["type"] == "Unigram":
        # Its decoder takes every mark out of the first token: let that be a mark and nothing else.
        mark = [piece for piece, _ in file["model"]["vocab"]].index("▁")
        return [made.decode([mark, *row]) for row in rows]
    if file["model"]["type"] == "WordPiece":
        return [made.decode(row) for row in rows]
    words = {
        token["id"]: token["content"]
        for token in file["added_tokens"]
        if token["content"] not in file["model"]["vocab"]
    }
    texts = []
    for row in rows:
        text, run = "", []
        for number in [*row, None]:
            if number is None or number in words:
                text += made.decode(run) + (words[number] if number is not None else "")
                run = []
            else:
                run.append(number)
        texts.append(text)
    return texts


def normalized(made: Tokenizer, content: str) -> str:
    """What the tokenizer reads in place of an added token's content."""
    return made.normalizer.normalize_str(content) if made.normalizer else content


def main() -> None:
    """Writes the tokenizers with their lines, ids and texts, and those that must be refused."""
    with gzip.open(FOLDER / "t5.json.gz") as packed:
        charsmap = json.load(packed)["normalizer"]["precompiled_charsmap"]
    cases, refused = [], []
    for kind in (byte_level_bpe, unigram, word_piece):
        for number in range(TOKENIZERS_PER_KIND):
            rng = random.Random(f"{kind.__name__} {number}")
            file = kind(rng)
            add_tokens(file, rng)
            made = without_controls(file, charsmap)
            words = [token for token in file["added_tokens"] if not token["special"]]
            read = Counter(normalized(made, token["content"]) for token in words if token["normalized"])
            if max(read.values(), default=0) > 1:
                continue  # of two words that read the same `tokenizers` finds one or the other by chance
            empty = [token for token in words if token["normalized"] and normalized(made, token["content"]) == ""]
            if empty:  # found between any two characters: `tokenizers` panics, or takes every word to pieces
                refused.append({"file": file, "token": empty[0]["content"]})
                continue
            contents = [token["content"] for token in words]
            lines = list(dict.fromkeys(odd_text(contents, rng) for _ in range(LINES)))
            rows = [made.encode(line, add_special_tokens=False).ids for line in lines]
            cases.append({"file": file, "lines": lines, "ids": rows, "texts": texts_of(made, file, rows)})
    packed = json.dumps({"cases": cases, "refused": refused}, ensure_ascii=True, separators=(",", ":")).encode()
    (FOLDER / "added-tokens.json.gz").write_bytes(gzip.compress(packed, 9, mtime=0))
    print(
        len(cases),
        "tokenizers",
        sum(len(case["lines"]) for case in cases),
        "lines",
        len(refused),
        "refused",
        len(packed),
        "bytes",
    )


if __name__ == "__main__":
    main()
