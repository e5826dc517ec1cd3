"""The peer of `npm run bench -- --peer`: the same checkpoint in `transformers`, bf16 on the CPU.

Reads one command a line on standard input, answers with one line of JSON. Times are milliseconds.
Needs torch and transformers (training/pyproject.toml).

  {"op": "encode"}                                   image encoder and Q-Former on one ready image
  {"op": "generate", "ids": [...], "batch": 1, "tokens": 8}   when each token of a static batch was there
  {"op": "limits"}                                   what this machine reads and computes at most
  {"op": "memory"}                                   the most this process held
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import torch
from torch import Tensor
from transformers import Blip2ForConditionalGeneration
from transformers.generation import StoppingCriteria


class Clock(StoppingCriteria):
    """Never stops; notes when it was asked, which is once a token."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.arrivals: list[float] = []

    def __call__(self, input_ids: Tensor, scores: Tensor, **_) -> Tensor:
        self.arrivals.append(1000 * (time.perf_counter() - self.start))
        return torch.zeros(len(input_ids), dtype=torch.bool)


class Peer:
    def __init__(self, checkpoint: str) -> None:
        self.model = Blip2ForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.bfloat16).eval()
        side = self.model.config.vision_config.image_size
        self.pixels = torch.randn(1, 3, side, side, dtype=torch.bfloat16)

    def encode(self) -> dict:
        start = time.perf_counter()
        features = self.model.vision_model(pixel_values=self.pixels).last_hidden_state
        self.model.qformer(query_embeds=self.model.query_tokens, encoder_hidden_states=features)
        return {"ms": 1000 * (time.perf_counter() - start)}

    def generate(self, ids: list[int], batch: int, tokens: int) -> dict:
        config = self.model.config
        row = [config.image_token_index] * config.num_query_tokens + ids
        clock = Clock()
        self.model.generate(
            pixel_values=self.pixels.expand(batch, -1, -1, -1),
            input_ids=torch.tensor([row]).expand(batch, -1),
            attention_mask=torch.ones(batch, len(row), dtype=torch.long),
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            do_sample=False,
            stopping_criteria=[clock],
        )
        return {"arrivals": clock.arrivals}

    def limits(self) -> dict:
        block = torch.ones(2**28)  # 1 GiB, far more than any cache
        read = best(lambda: block.sum())
        size = 2048
        exact = torch.randn(size, size)
        short = exact.bfloat16()
        whole = torch.randint(-127, 127, (size, size), dtype=torch.int8)
        operations = 2 * size**3
        return {
            "gigabytes_per_second": 4 * block.numel() / read / 1e9,
            "fp32_teraops": operations / best(lambda: exact @ exact) / 1e12,
            "bf16_teraops": operations / best(lambda: short @ short) / 1e12,
            "int8_teraops": operations / best(lambda: torch._int_mm(whole, whole)) / 1e12,
        }

    def memory(self) -> dict:
        lines = Path("/proc/self/status").read_text().splitlines()
        peak = next(line for line in lines if line.startswith("VmHWM"))
        return {"gigabytes": int(peak.split()[1]) * 1024 / 1e9}


def best(work, times: int = 7) -> float:
    """Seconds of the fastest of a few runs: what the machine can do."""
    took = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return min(took)


@torch.inference_mode()
def main() -> None:
    checkpoint, threads = sys.argv[1:]
    # Libraries print to standard output; what is read there are answers alone.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch.manual_seed(0)
    torch.set_num_threads(int(threads))
    peer = Peer(checkpoint)
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        answer = getattr(peer, command.pop("op"))(**command)
        print(json.dumps(answer), file=answers, flush=True)


main()
