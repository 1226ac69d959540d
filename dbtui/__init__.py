"""dbtui: teach Stable Diffusion a new subject from a few photos, in a terminal."""

__version__ = "0.1.0"
