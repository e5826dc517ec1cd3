"""The two small tokenizers: byte-level BPE for OPT, lower-cased WordPiece for the Q-Former's text."""

from __future__ import annotations

import json
import re
import string
from functools import lru_cache
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from training.data import wordings
from training.data.grammar import COLUMNS, ROWS
from training.data.vocab import CATEGORIES, COLORS, CONCEPTS, NUMBERS, OPPOSITE

OPT_SPECIALS = ["<s>", "<pad>", "</s>", "<unk>"]
IMAGE_TOKEN = "<image>"
BERT_SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"]
_FUNCTION = (
    "a an the of on in is are there what how many which where who color colour background picture image photo "
    "question answer and to left right above below yes no not it this that with has have do you see i can "
    "what's nothing none something list things please"
).split()


def _wording_words() -> list[str]:
    """The words of all wordings, templates' names left out."""
    relations = [w for several in wordings.RELATION_WORDS.values() for w in several]
    texts = [
        *wordings.COLOR, *wordings.WHAT, *wordings.COUNT, *wordings.PRESENCE, *wordings.CATEGORY, *wordings.WHERE,
        *wordings.OPEN_RELATION, *wordings.CLOSED_RELATION, *wordings.SMALL_TALK, *wordings.PREFIXES, *relations,
        *wordings.PLURALS.values(),
    ]  # fmt: skip
    return [w for text in texts for w in re.findall(r"[a-z]+", re.sub(r"'s|{\w+}", " ", text))]


def words() -> list[str]:
    """Every word of the scene language, and the function words around them."""
    nouns = [w for c in CONCEPTS for w in (c.name, c.plural)]
    relations = " ".join(OPPOSITE).split()
    scene = [*nouns, *COLORS, *NUMBERS, *CATEGORIES, *relations, *COLUMNS, *ROWS]
    return list(dict.fromkeys([*_FUNCTION, *scene, *_wording_words()]))


@lru_cache(maxsize=1)
def opt_tokenizer() -> Tokenizer:
    """Byte-level BPE that ignores case: all 256 bytes, and merges until each word is one token with its space."""
    tokenizer = Tokenizer(models.BPE())
    # A question that ends with a period is one without a mark, which training knows.
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace(". answer:", " answer:")])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4000, min_frequency=1, special_tokens=OPT_SPECIALS, show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    starts = [w for w in (*_FUNCTION, *NUMBERS, *COLORS) if len(w) > 1]
    tokenizer.train_from_iterator([f" {w}" for w in words()] * 3 + starts + ["\n"], trainer)
    tokenizer.add_special_tokens([IMAGE_TOKEN])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="</s> $A", pair="</s> $A $B", special_tokens=[("</s>", tokenizer.token_to_id("</s>"))]
    )
    return tokenizer


@lru_cache(maxsize=1)
def bert_tokenizer() -> Tokenizer:
    """WordPiece over the language's words with single characters to fall back on; [CLS] text [SEP]."""
    characters = string.ascii_lowercase + string.digits + string.punctuation
    lower = dict.fromkeys(w.lower() for w in words() if len(w) > 1)
    vocab = [*BERT_SPECIALS, *characters, *(f"##{c}" for c in string.ascii_lowercase + string.digits), *lower]
    ids = {w: i for i, w in enumerate(dict.fromkeys([*vocab, IMAGE_TOKEN]))}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens([*BERT_SPECIALS, IMAGE_TOKEN])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def newline_id() -> int:
    """The OPT token that ends every text."""
    return opt_tokenizer().encode("\n", add_special_tokens=False).ids[0]


def encode(text: str) -> list[int]:
    """OPT token ids without `</s>`."""
    return opt_tokenizer().encode(text, add_special_tokens=False).ids


def opt_fast() -> PreTrainedTokenizerFast:
    """The OPT tokenizer as `transformers` saves and loads it."""
    return PreTrainedTokenizerFast(
        tokenizer_object=opt_tokenizer(), bos_token="</s>", eos_token="</s>", unk_token="</s>", pad_token="<pad>",
        model_max_length=256, padding_side="left", extra_special_tokens=[IMAGE_TOKEN],
        clean_up_tokenization_spaces=False,
    )  # fmt: skip


def bert_fast() -> PreTrainedTokenizerFast:
    """The Q-Former's tokenizer as `transformers` saves and loads it."""
    return PreTrainedTokenizerFast(
        tokenizer_object=bert_tokenizer(), pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]", model_max_length=64, extra_special_tokens=[IMAGE_TOKEN],
        clean_up_tokenization_spaces=False,
    )  # fmt: skip


def save_vocabulary_files(folder: Path, tokenizer: Tokenizer) -> None:
    """Writes vocab.json and merges.txt (BPE) or vocab.txt (WordPiece), which lie beside tokenizer.json."""
    model = json.loads(tokenizer.to_str())["model"]
    if model["type"] == "BPE":
        vocab = dict(sorted(tokenizer.get_vocab().items(), key=lambda e: e[1]))
        (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False))
        merges = [" ".join(m) if isinstance(m, list) else m for m in model["merges"]]
        (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    else:
        ordered = sorted(tokenizer.get_vocab().items(), key=lambda e: e[1])
        (folder / "vocab.txt").write_text("\n".join(t for t, _ in ordered) + "\n")
