"""Options that several commands share."""

from __future__ import annotations

import os

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def _go_offline(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        # The environment is what every library, and the trainer that is started, looks at.
        os.environ["HF_HUB_OFFLINE"] = "1"


offline_option = click.option(
    "--offline", is_flag=True, expose_value=False, callback=_go_offline, help="Never download a base model."
)


def _parse_images(context: click.Context, parameter: click.Parameter, value: str) -> str:
    from dbtui.core.tty import parse_images

    return parse_images(value)


images_option = click.option(
    "--images",
    default="auto",
    show_default=True,
    metavar="HOW",
    callback=_parse_images,
    help="How pictures are shown: auto, kitty, sixel, blocks, half or off.",
)
