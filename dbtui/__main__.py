"""``python -m dbtui`` is the command ``dbtui``."""

from dbtui.cli import main

if __name__ == "__main__":
    main()
