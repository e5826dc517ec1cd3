"""The scene language and what is made of it: vocabulary, scenes, images, texts, token ids."""
