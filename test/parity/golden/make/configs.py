"""Writes test/parity/golden/configs.json: whole configs as transformers writes them, every default key included.

    python test/parity/golden/make/configs.py

Needs transformers 5.18. What newer versions no longer write stands in LEGACY: the keys that version 4.27, of which the
published checkpoints are, gave every part, and those it gave single parts.
"""

from __future__ import annotations

import json

from transformers import Blip2Config, InstructBlipConfig, PreTrainedConfig

from golden_files import GOLDEN, write_json

TARGET = GOLDEN / "configs.json"

OPT = dict(
    model_type="opt", vocab_size=50304, hidden_size=2560, ffn_dim=10240, num_hidden_layers=32,
    num_attention_heads=32, word_embed_proj_dim=2560, eos_token_id=50118,
)  # fmt: skip
FLAN_T5 = dict(
    model_type="t5", d_model=2048, d_ff=5120, d_kv=64, num_layers=24, num_decoder_layers=24, num_heads=32,
    feed_forward_proj="gated-gelu", dense_act_fn="gelu", tie_word_embeddings=False, decoder_start_token_id=0,
)  # fmt: skip

LEGACY = dict(
    _name_or_path="", add_cross_attention=False, bad_words_ids=None, begin_suppress_tokens=None,
    bos_token_id=None, chunk_size_feed_forward=0, cross_attention_hidden_size=None, decoder_start_token_id=None,
    diversity_penalty=0.0, do_sample=False, early_stopping=False, encoder_no_repeat_ngram_size=0,
    eos_token_id=None, exponential_decay_length_penalty=None, finetuning_task=None, forced_bos_token_id=None,
    forced_eos_token_id=None, id2label={"0": "LABEL_0", "1": "LABEL_1"}, is_decoder=False, is_encoder_decoder=False,
    label2id={"LABEL_0": 0, "LABEL_1": 1}, length_penalty=1.0, max_length=20, min_length=0,
    no_repeat_ngram_size=0, num_beam_groups=1, num_beams=1, num_return_sequences=1, output_attentions=False,
    output_hidden_states=False, output_scores=False, pad_token_id=None, prefix=None, problem_type=None,
    pruned_heads={}, remove_invalid_values=False, repetition_penalty=1.0, return_dict=True,
    return_dict_in_generate=False, sep_token_id=None, suppress_tokens=None, task_specific_params=None,
    temperature=1.0, tf_legacy_loss=False, tie_encoder_decoder=False, tie_word_embeddings=True,
    tokenizer_class=None, top_k=50, top_p=1.0, torch_dtype=None, torchscript=False,
    transformers_version="4.27.0.dev0", typical_p=1.0, use_bfloat16=False,
)  # fmt: skip
LEGACY_VISION = dict(dropout=0.0, initializer_factor=1.0, num_channels=3, projection_dim=512, layer_norm_eps=1e-5)
LEGACY_QFORMER = dict(classifier_dropout=None, position_embedding_type="absolute")
LEGACY_TEXT = {
    "opt": dict(_name_or_path="facebook/opt-2.7b", activation_dropout=0.0, prefix="</s>", torch_dtype="float16",
                architectures=["OPTForCausalLM"]),
    "t5": dict(_name_or_path="google/flan-t5-xl", n_positions=512, output_past=True, torch_dtype="float32",
               architectures=["T5ForConditionalGeneration"], is_encoder_decoder=True,
               task_specific_params={"summarization": {"num_beams": 4, "prefix": "summarize: "}},
               decoder_start_token_id=0, tie_word_embeddings=False),
}  # fmt: skip


def current(architecture: str, kind: type[PreTrainedConfig] = Blip2Config, **members: object) -> dict:
    """A config of the installed version."""
    return {**json.loads(json.dumps(kind(**members).to_dict())), "architectures": [architecture]}


def legacy(config: dict) -> dict:
    """The same as version 4.27 wrote it; a part's own value takes precedence over the default of every part."""
    parts = {"vision_config": LEGACY_VISION, "qformer_config": LEGACY_QFORMER}
    if "text_config" in config:
        parts["text_config"] = LEGACY_TEXT[config["text_config"]["model_type"]]
    newer = {"dtype", "scale_decoder_outputs"}
    older = {at: {**LEGACY, **{k: v for k, v in config[at].items() if k not in newer}, **own}
             for at, own in parts.items()}  # fmt: skip
    whole = {key: value for key, value in config.items() if key not in ("dtype", "transformers_version")}
    return {**whole, **older, "_commit_hash": None, "torch_dtype": "float32", "transformers_version": None,
            "tie_word_embeddings": False}  # fmt: skip


def main() -> None:
    """Writes one config of each family, as of today and as of 4.27."""
    generative = "Blip2ForConditionalGeneration"
    configs = {
        "opt": current(generative, text_config=OPT, image_token_index=50265),
        "t5": current(generative, text_config=FLAN_T5, image_token_index=32100),
        "retrieval": current("Blip2ForImageTextRetrieval",
                             qformer_config=dict(vocab_size=30523, use_qformer_text_input=True)),
        "instruct": current("InstructBlipForConditionalGeneration", InstructBlipConfig, text_config=FLAN_T5,
                            image_token_index=32100, qformer_config=dict(vocab_size=30523)),
    }  # fmt: skip
    configs.update({f"{name}-4.27": legacy(config) for name, config in configs.items()})
    write_json(TARGET, configs, indent=1)
    print(f"{len(configs)} configs, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
