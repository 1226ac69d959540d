"""The embedded base model and its sample subjects: data only."""
