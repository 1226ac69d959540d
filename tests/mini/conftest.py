"""The recipe is not installed with the package: it is taken from the checkout."""

from pathlib import Path

import dbtui.mini

CHECKOUT = str(Path(__file__).parents[2] / "dbtui" / "mini")
if CHECKOUT not in dbtui.mini.__path__:
    dbtui.mini.__path__.append(CHECKOUT)
