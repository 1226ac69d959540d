"""How the embedded model is made: pictures, captions, training, evaluation. For this project's developers, not installed."""
