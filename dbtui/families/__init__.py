"""Configs of the model families, and the vocabulary of CLIP: what single files leave out."""
