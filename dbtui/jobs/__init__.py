"""Processes: start the trainer and the sampler, follow them, stop them. Imports neither torch nor Textual."""
