"""What a run may use: its device, processes that draw scenes, and sizes of batches."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Machine:
    """`device`: `cuda` or `cpu`; `workers`: processes that draw scenes and texts; `smoke`: a few tiny steps a phase;
    `out`: a folder for what must outlast the machine.
    """

    device: str = "cpu"
    workers: int = 1
    smoke: bool = False
    out: Path | None = None

    def pick(self, cuda: int, cpu: int, smoke: int) -> int:
        """A size by kind of run. On a GPU a smoke test has the sizes of the run that it is the test of."""
        return cuda if self.device == "cuda" else smoke if self.smoke else cpu

    def autocast(self) -> torch.autocast:
        """Products of matrices in bf16."""
        return torch.autocast(self.device, torch.bfloat16)

    @property
    def attention(self) -> str:
        """Kind of attention: torch's fused backward is slower on a CPU at these lengths."""
        return "sdpa" if self.device == "cuda" else "eager"

    def loader(self, stream: torch.utils.data.IterableDataset) -> torch.utils.data.DataLoader:
        """Batches of a stream, made by the workers ahead of time."""
        return torch.utils.data.DataLoader(
            stream, batch_size=None, num_workers=self.workers, prefetch_factor=6, worker_init_fn=_prepare_worker
        )


def _prepare_worker(_: int) -> None:
    torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def worker_number() -> tuple[int, int]:
    """Number of this worker, and how many there are."""
    info = torch.utils.data.get_worker_info()
    return (info.id, info.num_workers) if info else (0, 1)
