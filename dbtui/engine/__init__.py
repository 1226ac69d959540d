"""Everything that imports torch: models, data, the loop, checkpoints, the sampler."""
