#!/usr/bin/env bash
# The whole pre-training on one GPU in about eleven minutes, for a machine that is lent for a short time and has no npm.
#
#   training/gpu_run.sh OUT [--smoke] [options of training/pretrain.py]
#
# Before, where npm is: `python -m training.pretrain sprites`; the pack it makes, training/.cache/sprites.zip, must be there.
# OUT gets the weights of each phase in fp16 while it runs, the metrics and the log. To put them in place elsewhere:
#   python -m training.pretrain restore --out OUT
#
#   PYTHON   interpreter that has torch with CUDA, and what else training/pyproject.toml lists (python3)
set -euo pipefail
cd "$(dirname "$0")/.."
out=$1 && shift
mkdir -p "$out"
ulimit -n 65536 2>/dev/null || true # batches come from the workers as open files
export PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false TQDM_DISABLE=1 TRANSFORMERS_VERBOSITY=error
"${PYTHON:-python3}" -m training.pretrain all --fresh --beside --device cuda --threads 8 --out "$out" "$@" 2>&1 | tee "$out/log.txt"
