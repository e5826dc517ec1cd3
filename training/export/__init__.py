"""Reading and writing checkpoints in the format of Hugging Face."""
