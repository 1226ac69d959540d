"""The domain: what is asked, what is kept, what is said. Imports neither torch nor Textual."""
