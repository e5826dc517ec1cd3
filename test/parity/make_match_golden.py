"""Writes what transformers computes with the embedded checkpoints for a few test scenes and texts.

    python test/parity/make_match_golden.py     # writes test/parity/golden/match-scenes.json

From the picture's file and the text, as a user of transformers goes: ITM's probability, ITC's similarity and unit vectors
of the retrieval checkpoint, and the query embeddings of the one that writes, in fp32.
"""

from __future__ import annotations

import json

import torch
from make_api_golden import pixels
from make_golden import GOLDEN
from tokenizers import Tokenizer
from transformers import Blip2ForConditionalGeneration, Blip2ForImageTextRetrieval

CHECKPOINTS = GOLDEN.parents[2] / "gpu-worker" / "checkpoints"
PICTURES = ["pair-noto-00.webp", "count-twemoji-01.webp"]
TEXTS = ["a pizza above an octopus on a gray background", "an octopus above a pizza", "Ünknown   WORDS?", "dog"]


def rounded(tensor: torch.Tensor) -> list:
    return [[round(value, 7) for value in row] for row in tensor.tolist()]


@torch.no_grad()
def main() -> None:
    retrieve = Blip2ForImageTextRetrieval.from_pretrained(CHECKPOINTS / "retrieve", dtype=torch.float32).eval()
    generate = Blip2ForConditionalGeneration.from_pretrained(CHECKPOINTS / "generate", dtype=torch.float32).eval()
    tokenizer = Tokenizer.from_file(str(CHECKPOINTS / "retrieve" / "tokenizer.json"))
    ids = [torch.tensor([tokenizer.encode(text).ids]) for text in TEXTS]
    # As the processor puts them, with the image tokens in front.
    images = torch.full((1, retrieve.config.num_query_tokens), retrieve.config.image_token_index)
    pictures = []
    for name in PICTURES:
        values = pixels(name, retrieve.config.vision_config.image_size)
        scores, vectors = [], []
        for words in ids:
            joint = torch.cat([images, words], dim=1)
            asked = dict(pixel_values=values, input_ids=joint, attention_mask=torch.ones_like(joint))
            itm = retrieve(**asked, use_image_text_matching_head=True).logits_per_image.softmax(-1)[0, 1]
            itc = retrieve(**asked, use_image_text_matching_head=False)
            scores.append({"itm": itm.item(), "itc": itc.logits_per_image.item()})
            vectors.append(itc.text_embeds.reshape(1, -1))
        seen = generate.vision_model(pixel_values=values).last_hidden_state
        query = generate.qformer(query_embeds=generate.query_tokens, encoder_hidden_states=seen).last_hidden_state[0]
        pictures.append({"picture": name, "scores": scores, "itc": rounded(itc.image_embeds[0]), "query": rounded(query)})
    vectors = torch.cat(vectors)
    out = {"texts": TEXTS, "vectors": rounded(vectors), "pictures": pictures}
    (GOLDEN / "match-scenes.json").write_text(json.dumps(out) + "\n")
    for one in pictures:
        print(one["picture"], [(round(s["itm"], 4), round(s["itc"], 4)) for s in one["scores"]])


if __name__ == "__main__":
    main()
