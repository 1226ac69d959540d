"""The app: everything that imports Textual. Never imports the engine or torch."""
