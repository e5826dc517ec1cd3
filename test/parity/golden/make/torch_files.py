"""Writes small files of torch.save, and what is in them: the expectations of the reader's tests.

    python test/parity/golden/make/torch_files.py   # writes test/parity/golden/torch/

Needs torch and safetensors. Every type of number, views of one storage, transposed and cut tensors, the objects that
torch's own unpickler would happily run, and a whole checkpoint as trainers save it: behind a wrapper, and in shards.
"""

from __future__ import annotations

import collections
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from golden_files import GOLDEN, write_json

OUT = GOLDEN / "torch"
CHECKPOINT = GOLDEN / "half" / "checkpoint" / "model.safetensors"


def tensors() -> dict[str, torch.Tensor]:
    """Every type of number, and every way to look at a storage."""
    torch.manual_seed(3)
    base = torch.randn(6, 4)
    return {
        "float": base,
        "half": base.half(),
        "bfloat16": base.bfloat16(),
        "double": base.double(),
        "transposed": base.t(),
        "rows": base[2:5],
        "columns": base[:, 1:3],
        "steps": base[::2, ::3],
        "expanded": base[:1].expand(5, 4),
        "permuted": torch.randn(2, 3, 4).permute(2, 0, 1),
        "parameter": torch.nn.Parameter(torch.randn(3)),
        "scalar": torch.tensor(0.07),
        "empty": torch.zeros(0, 4),
        "tied": base,
    }


class Command:
    """What a hostile file does: it names a function to call while it is read."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch /tmp/code-of-a-checkpoint-ran",)


def in_64_bits(source: Path, target: Path) -> None:
    """The same archive with 64-bit fields everywhere, as files beyond 4 GB have them."""
    zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT = 1, 1
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as copy:
        for name in archive.namelist():
            copy.writestr(zipfile.ZipInfo(name), archive.read(name))


def write_checkpoints() -> None:
    """Writes the checkpoint of the case `half` behind a wrapper, and in shards."""
    state = load_file(CHECKPOINT)
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, OUT / "wrapped.bin")
    folder = OUT / "shards"
    folder.mkdir(exist_ok=True)
    names = sorted(state)
    parts = [names[0::3], names[1::3], names[2::3]]
    weight_map = {}
    for number, part in enumerate(parts, 1):
        file = f"pytorch_model-{number:05}-of-00003.bin"
        # Some as trainers leave them: transposed in memory, or in the older format.
        tensors = {
            name: state[name].t().contiguous().t() if number == 2 and state[name].ndim == 2 else state[name]
            for name in part
        }
        torch.save(tensors, folder / file, _use_new_zipfile_serialization=number != 3)
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": CHECKPOINT.stat().st_size}, "weight_map": weight_map}
    write_json(folder / "pytorch_model.bin.index.json", index, indent=1)


def main() -> None:
    """Writes all files, and the values that the tests expect of them."""
    OUT.mkdir(parents=True, exist_ok=True)
    state = tensors()
    linear = torch.nn.Linear(4, 3)
    optimizer = torch.optim.AdamW(linear.parameters())
    linear(torch.randn(2, 4)).sum().backward()
    optimizer.step()
    module_state = linear.state_dict()  # an OrderedDict with an attribute, `_metadata`
    torch.save(state, OUT / "state.bin")
    torch.save(state, OUT / "state-legacy.bin", _use_new_zipfile_serialization=False)
    for protocol in (3, 4, 5):
        torch.save(module_state, OUT / f"module-protocol-{protocol}.bin", pickle_protocol=protocol)
    trainer = {
        "model": module_state,
        "optimizer": optimizer.state_dict(),
        "config": {"run": {"lr_sched": "x", "max_epoch": 5}, "model": {"arch": "blip2_opt", "image_size": 364}},
        "scaler": torch.amp.GradScaler("cpu").state_dict(),
        "epoch": 2,
    }
    torch.save(trainer, OUT / "trainer.pth")
    torch.save({**state, "integers": torch.arange(5), "flags": torch.tensor([True, False])}, OUT / "integers.bin")
    torch.save({"a": torch.zeros(2), "run": Command()}, OUT / "hostile.bin")
    torch.save({"a": torch.zeros(2), "run": Command()}, OUT / "hostile-legacy.bin",
               _use_new_zipfile_serialization=False)  # fmt: skip
    torch.save(linear, OUT / "whole-module.bin")
    torch.save({"a": torch.zeros(2), "note": "tuned on birds"}, OUT / "not-only-tensors.bin")
    torch.save([torch.zeros(2)], OUT / "list.bin")
    torch.save(collections.OrderedDict(a=torch.zeros(2, dtype=torch.complex64)), OUT / "complex.bin")
    torch.jit.save(torch.jit.script(linear), str(OUT / "torchscript.bin"))
    in_64_bits(OUT / "state.bin", OUT / "state-zip64.bin")
    write_checkpoints()
    expected = {
        name: {"shape": list(value.shape), "values": value.detach().double().flatten().tolist()}
        for name, value in state.items()
    }
    modules = {
        name: {"shape": list(value.shape), "values": value.double().flatten().tolist()}
        for name, value in module_state.items()
    }
    write_json(OUT / "expected.json", {"state": expected, "module": modules})


if __name__ == "__main__":
    main()
