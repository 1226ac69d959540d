"""The tensors of a Stable Diffusion model from diffusers' layout into the original one, and back, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from dbtui.core.original import QKV, Place, file_name, places

Tensors = Mapping[str, Tensor]


def to_original(parts: Mapping[str, Tensors], configs: Mapping[str, Mapping[str, Any]]) -> dict[str, Tensor]:
    """The tensors of an original file from those of diffusers files, by component (unet, vae, text_encoder).

    ``configs`` are the components' diffusers configs. Raises KeyError with a name that has no place there.
    """
    whole: dict[str, Tensor] = {}
    fused: dict[str, dict[int, Tensor]] = {}
    for component, tensors in parts.items():
        named = {file_name(component, name): tensor for name, tensor in tensors.items()}
        for name, place in places(component, named, configs[component]).items():
            if place.part is not None:
                fused.setdefault(place.name, {})[place.part] = named[name]
            elif place.pointwise and named[name].ndim == 2:
                whole[place.name] = named[name][:, :, None, None]
            else:
                whole[place.name] = named[name]
    for name, thirds in fused.items():
        whole[name] = torch.cat([thirds[part] for part in range(len(QKV))])
    return whole


def take(place: Place, tensor: Callable[[str], Tensor]) -> Tensor:
    """What diffusers has for ``place``; ``tensor`` gives the original tensors by name. May be a view."""
    whole = tensor(place.name)
    if place.part is not None:
        return whole.chunk(len(QKV))[place.part]
    return whole[:, :, 0, 0] if place.pointwise and whole.ndim == 4 else whole


def shape_at(place: Place, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of what ``take`` gives, from that of the original tensor."""
    if place.part is not None and shape:
        return (shape[0] // len(QKV) if shape[0] % len(QKV) == 0 else 0, *shape[1:])
    return shape[:2] if place.pointwise and shape[2:] == (1, 1) else shape
