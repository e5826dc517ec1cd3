"""Pre-training of the embedded checkpoints: see README.md and `python -m training.pretrain --help`."""
