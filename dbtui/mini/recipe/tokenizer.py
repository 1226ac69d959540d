"""The tokenizer: byte-pair encoding learned from captions, the same for the same captions, in CLIP's format."""

from __future__ import annotations

import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path

import regex
from transformers import CLIPTokenizer

LENGTH = 32
"""Tokens that a prompt may have, with those for its start and end."""

VOCABULARY = 3050
END_OF_WORD = "</w>"
START, END = "<|startoftext|>", "<|endoftext|>"
WORD = regex.compile(r"'s|'t|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
"""How CLIP's tokenizer parts a text."""

Pair = tuple[str, str]


def byte_letters() -> dict[int, str]:
    """A printable letter for each byte, as in GPT-2's tokenizer: itself where it is printable, else one above 255."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}


def count_words(texts: Iterable[str]) -> Counter[str]:
    """How often each word occurs, in the letters that stand for its bytes."""
    letters = byte_letters()
    found: Counter[str] = Counter()
    for text in texts:
        for word in WORD.findall(text.lower()):
            found["".join(letters[byte] for byte in word.encode())] += 1
    return found


def learn_merges(words: Mapping[str, int], count: int) -> list[Pair]:
    """At most ``count`` merges, the most frequent pair first; of equals the first in the alphabet. (Sennrich et al., 2016)"""
    texts = sorted(words)
    symbols = [[*word[:-1], word[-1] + END_OF_WORD] for word in texts]
    totals: Counter[Pair] = Counter()
    where: defaultdict[Pair, set[int]] = defaultdict(set)
    for i, parts in enumerate(symbols):
        for pair in pairwise(parts):
            totals[pair] += words[texts[i]]
            where[pair].add(i)
    merges: list[Pair] = []
    while len(merges) < count and totals:
        best = min(totals, key=lambda pair: (-totals[pair], pair))
        if totals[best] <= 0:
            break
        merges.append(best)
        for i in sorted(where[best]):
            before, after = symbols[i], _merged(symbols[i], best)
            symbols[i] = after
            for pair in pairwise(before):
                totals[pair] -= words[texts[i]]
            for pair in pairwise(after):
                totals[pair] += words[texts[i]]
                where[pair].add(i)
        del totals[best]
    return merges


def _merged(parts: list[str], pair: Pair) -> list[str]:
    made: list[str] = []
    i = 0
    while i < len(parts):
        if tuple(parts[i : i + 2]) == pair:
            made.append(parts[i] + parts[i + 1])
            i += 2
        else:
            made.append(parts[i])
            i += 1
    return made


def make_tokenizer(captions: Iterable[str], whole: Iterable[str], size: int = VOCABULARY) -> CLIPTokenizer:
    """A tokenizer of ``size`` tokens for ``captions``, in which each of the words ``whole`` is one token.

    Raises ValueError if so many tokens cannot be learned from them.
    """
    words = count_words(captions)
    most = sum(words.values())
    for word in sorted(whole):
        words[word] += most  # before all others, so that no other merge tears it apart
    alphabet = sorted(byte_letters().values())
    singles = [*alphabet, *(letter + END_OF_WORD for letter in alphabet)]
    merges = learn_merges(words, size - len(singles) - 2)
    made = [first + second for first, second in merges]
    tokens = [*singles, *made, START, END]
    if len(tokens) != size or len(set(tokens)) != size:
        raise ValueError(f"{len(set(tokens))} different tokens were learned, not {size}")
    with tempfile.TemporaryDirectory() as folder:
        table = {token: i for i, token in enumerate(tokens)}
        Path(folder, "vocab.json").write_text(json.dumps(table, ensure_ascii=False), encoding="utf-8")
        lines = ["#version: 0.2", *(" ".join(pair) for pair in merges), ""]
        Path(folder, "merges.txt").write_text("\n".join(lines), encoding="utf-8")
        return CLIPTokenizer.from_pretrained(folder, model_max_length=LENGTH)
