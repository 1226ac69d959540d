"""export: a concept for other programs."""

from __future__ import annotations

import click

from dbtui.commands.options import json_option, offline_option
from dbtui.core.errors import DONE, INTERRUPTED


@click.command()
@click.argument("concept")
@click.argument("destination", metavar="DEST")
@click.option(
    "--format",
    type=click.Choice(("diffusers", "safetensors", "ckpt")),
    help="A folder for diffusers, or one file in the original layout. Told by DEST's ending if left out.",
)
@click.option("--half", is_flag=True, help="In 16 bit: half the size.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier export; nothing else is ever replaced.")
@offline_option
@json_option
def export(concept: str, destination: str, format: str | None, half: bool, overwrite: bool, as_json: bool) -> int:
    """Write CONCEPT to DEST as a whole model for other programs.

    A folder is for diffusers; a .safetensors or .ckpt file is in the layout of the original releases,
    which most other programs read. Before it gets its name it is loaded in plain diffusers and compared.
    """
    from dbtui.commands.fetch import fetch_here
    from dbtui.core import paths
    from dbtui.core.export import make_order
    from dbtui.core.library import find_sound_concept
    from dbtui.core.units import format_bytes
    from dbtui.jobs.export import Exporter
    from dbtui.terminal import PhaseView, result, result_json, say

    fetch_here(find_sound_concept(concept).base)
    order, size = make_order(concept, destination, format or "", half, overwrite)
    say(f"Exporting {order.concept} to {order.destination}, about {format_bytes(size)}.")
    try:
        with Exporter(order, paths.data_dir() / "export.log") as exporter, PhaseView() as view:
            for phase in exporter.follow():
                view.show(phase)
    except KeyboardInterrupt:
        say("Cancelled. Nothing was left of the export.")
        return INTERRUPTED
    exported = exporter.exported
    if exported is None:
        say("The export was ended. Nothing was left of it.")
        return INTERRUPTED
    say(exported.words())
    if as_json:
        result_json(
            {
                "path": str(exported.path), "format": order.format, "half": order.half, "size": exported.size,
                "verified": {"tensors": exported.tensors, "picture": exported.picture, "rounding": exported.rounding},
            }
        )  # fmt: skip
    else:
        result(str(exported.path))
    return DONE
