"""Writes what transformers computes with the embedded checkpoints for a few test scenes and texts.

    python test/parity/golden/make/match_scenes.py     # writes test/parity/golden/match-scenes.json

From the image file and the text, as a user of transformers goes: ITM's probability, ITC's similarity and unit
vectors of the retrieval checkpoint, and the query embeddings of the generative one, in fp32.
"""

from __future__ import annotations

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import Blip2ForConditionalGeneration, Blip2ForImageTextRetrieval

from golden_files import CHECKPOINTS, GOLDEN, write_json
from scene_images import pixel_values

IMAGES = ["pair-noto-00.webp", "count-twemoji-01.webp"]
TEXTS = ["a pizza above an octopus on a gray background", "an octopus above a pizza", "Ünknown   WORDS?", "dog"]


def rounded(tensor: Tensor) -> list[list[float]]:
    """A matrix to seven places."""
    return [[round(value, 7) for value in row] for row in tensor.tolist()]


@torch.no_grad()
def main() -> None:
    """Writes scores and vectors of every image with every text."""
    retrieve = Blip2ForImageTextRetrieval.from_pretrained(CHECKPOINTS / "retrieve", dtype=torch.float32).eval()
    generate = Blip2ForConditionalGeneration.from_pretrained(CHECKPOINTS / "generate", dtype=torch.float32).eval()
    tokenizer = Tokenizer.from_file(str(CHECKPOINTS / "retrieve" / "tokenizer.json"))
    ids = [torch.tensor([tokenizer.encode(text).ids]) for text in TEXTS]
    # As the processor puts them, with the image tokens in front.
    image_tokens = torch.full((1, retrieve.config.num_query_tokens), retrieve.config.image_token_index)
    results = []
    for name in IMAGES:
        values = pixel_values(name, retrieve.config.vision_config.image_size)
        scores, vectors = [], []
        for words in ids:
            joint = torch.cat([image_tokens, words], dim=1)
            inputs = dict(pixel_values=values, input_ids=joint, attention_mask=torch.ones_like(joint))
            itm = retrieve(**inputs, use_image_text_matching_head=True).logits_per_image.softmax(-1)[0, 1]
            itc = retrieve(**inputs, use_image_text_matching_head=False)
            scores.append({"itm": itm.item(), "itc": itc.logits_per_image.item()})
            vectors.append(itc.text_embeds.reshape(1, -1))
        features = generate.vision_model(pixel_values=values).last_hidden_state
        query = generate.qformer(query_embeds=generate.query_tokens, encoder_hidden_states=features).last_hidden_state
        itc_vectors = rounded(itc.image_embeds[0])
        results.append({"image": name, "scores": scores, "itc": itc_vectors, "query": rounded(query[0])})
        print(name, [(round(s["itm"], 4), round(s["itc"], 4)) for s in scores])
    out = {"texts": TEXTS, "vectors": rounded(torch.cat(vectors)), "images": results}
    write_json(GOLDEN / "match-scenes.json", out)


if __name__ == "__main__":
    main()
