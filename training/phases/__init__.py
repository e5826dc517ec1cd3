"""The phases of the pre-training, in the order of `training.pretrain`: each resumes from its own snapshot."""
