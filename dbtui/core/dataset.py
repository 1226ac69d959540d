"""The photos: a folder becomes a report, and a file becomes a picture as a person sees it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops, ImageFilter, ImageOps, ImageStat

from dbtui.core.errors import UsageError, printable, printable_line
from dbtui.core.units import plural
from dbtui.core.weights import sha256

FORMATS = ["JPEG", "MPO", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "HEIF"]
"""Those of them that Pillow was built with are read; HEIF is in a package of its own."""
HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
"""What the photos of an iPhone say that they are, behind ``ftyp``."""
LARGEST = 250_000_000
"""Pixels above which a file is taken for an attack on memory, not a photo; phones take 200 million."""
Image.MAX_IMAGE_PIXELS = LARGEST // 2  # Pillow warns above that, and refuses twice as many
SMALLEST = 16
"""Pixels on the short side under which there is nothing to learn from."""
FEWEST = 3
NEAR_DUPLICATE = 10
"""Bits of 256 in which the hashes of two near-duplicates may differ."""
BLUR_SIDE = 256
"""Pixels at which blur is judged: what is gone at this size is missed at every training size."""
BLURRED = 0.7
"""Blur effect above which a photo is called blurred; sharp ones are between 0.4 and 0.6."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A usable photo. ``width`` and ``height`` are of the picture the right way up."""

    path: Path
    sha256: str
    width: int
    height: int
    outline: int
    blur: float


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is not used, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a folder holds; the files themselves are never touched."""

    folder: Path
    pictures: tuple[Picture, ...]
    skipped: tuple[Skipped, ...]
    excluded: tuple[str, ...]
    warnings: tuple[str, ...]


def scan(
    folder: Path,
    resolution: int,
    exclude: Collection[str] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
    look: Callable[[Path], Picture] | None = None,
) -> Report:
    """Look at every file in ``folder``, decoding each picture once.

    ``look`` is ``examine``, or one that remembers; what ``progress`` raises ends it.
    Raises UsageError if there is no such folder or no usable picture in it.
    """
    files = [p for p in _listing(folder) if p.name not in exclude]
    pictures: list[Picture] = []
    skipped: list[Skipped] = []
    for index, path in enumerate(files):
        progress(index, len(files))
        if path.is_dir():
            skipped.append(Skipped(path, "a folder; only the pictures directly in the folder are used"))
            continue
        try:
            pictures.append((look or examine)(path))
        except UnusableError as error:
            skipped.append(Skipped(path, str(error)))
    progress(len(files), len(files))
    report = Report(
        folder,
        tuple(pictures),
        tuple(skipped),
        tuple(sorted(exclude)),
        tuple(_warnings(pictures, resolution)),
    )
    if not pictures:
        raise UsageError(
            "There is no picture to learn from",
            _why_empty(report),
            "Put 3 to 10 photos of the subject in a folder: JPEG, PNG, WebP, BMP or TIFF.",
        )
    return report


class UnusableError(Exception):
    """Why a file is not used, in words for the report."""


def open_picture(path: Path, side: int = 0) -> Image.Image:
    """The picture in a file as a person sees it: turned by its EXIF, first frame, on white, RGB.

    ``side``: pixels that will do for its shorter side; a JPEG is then decoded at a fraction of its size, which
    is several times as fast. Raises UnusableError in words for the report.
    """
    if not path.is_file():  # a pipe would be waited for
        raise UnusableError("not a regular file")
    if not os.access(path, os.R_OK):
        raise UnusableError("no permission to read it")
    if path.stat().st_size == 0:
        raise UnusableError("empty")
    _register_heif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on odd files would land on the screen
            with Image.open(path, formats=_formats()) as image:
                if side:
                    image.draft("RGB", (side, side))
                image.load()
                ImageOps.exif_transpose(image, in_place=True)
                return _on_white(image)
    except UnusableError:
        raise
    except Image.UnidentifiedImageError:
        raise UnusableError(_unknown(path)) from None
    except Image.DecompressionBombError:
        raise UnusableError(f"more than {LARGEST:,} pixels, which no photo has") from None
    except MemoryError:
        raise UnusableError("too large for memory") from None
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, KeyError, OverflowError) as error:
        # Pillow's decoders answer damage with any of these.
        raise UnusableError(f"damaged: {printable(error) or type(error).__name__}") from error


def picture_format(path: Path) -> str:
    """Pillow's name for the format of a file that ``open_picture`` could open: ``JPEG``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as above
        with Image.open(path, formats=_formats()) as image:
            return image.format or ""


def square(image: Image.Image, size: int, position: float = 0.5) -> Image.Image:
    """The largest square of ``image``, at ``position`` (0 to 1) along its longer side, ``size`` pixels wide."""
    side = min(image.size)
    left, top = round((image.width - side) * position), round((image.height - side) * position)
    box = (left, top, left + side, top + side)
    return image.resize((size, size), Image.Resampling.LANCZOS, box=box)


def _listing(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    except FileNotFoundError:
        raise UsageError(f"There is no folder {printable(folder)}", "It does not exist.", "Check the path.") from None
    except NotADirectoryError:
        raise UsageError(
            f"{printable(folder)} is a file", "A folder with photos is needed.", "Name its folder."
        ) from None
    except OSError as error:
        raise UsageError(f"{printable(folder)} cannot be read", f"{printable(error.strerror)}.") from None


def examine(path: Path) -> Picture:
    """What is to be known of a photo. Raises UnusableError in words for the report."""
    image = open_picture(path)
    if min(image.size) < SMALLEST:
        raise UnusableError(f"{image.width} x {image.height} pixels; there is nothing to learn from")
    small = square(image, min(BLUR_SIDE, *image.size)).convert("L")
    return Picture(path, sha256(path), image.width, image.height, _outline(small), blur_effect(small))


def _unknown(path: Path) -> str:
    """What to say of a file that Pillow does not know."""
    with open(path, "rb") as file:
        beginning = file.read(12)
    if beginning[4:8] == b"ftyp" and beginning[8:] in HEIC and "HEIF" not in Image.OPEN:
        return "HEIC, which is read where the Python package pillow-heif is installed; or save it as JPEG"
    return "not a picture of a known format"


def _formats() -> list[str]:
    return [f for f in FORMATS if f in Image.OPEN]


def _register_heif() -> None:
    Image.init()
    if "HEIF" in Image.OPEN:
        return
    try:
        import pillow_heif
    except ImportError:
        return
    pillow_heif.register_heif_opener()


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion clips instead of scaling
        return image.convert("I").point(lambda v: v * (1 / 256)).convert("L").convert("RGB")
    if image.has_transparency_data:  # as alpha_composite does it, in half of its memory
        layer = image.convert("RGBA") if image.mode != "RGBA" else image
        white = Image.new("RGB", layer.size, "white")
        white.paste(layer, mask=layer)
        return white
    return image.convert("RGB")


def _outline(grey: Image.Image) -> int:
    """A 256-bit difference hash: whether each of 16x16 pixels is brighter than its right neighbour."""
    pixels = grey.resize((17, 16), Image.Resampling.BOX).tobytes()
    bits = 0
    for row in range(16):
        for column in range(16):
            bits = bits << 1 | (pixels[row * 17 + column] > pixels[row * 17 + column + 1])
    return bits


def blur_effect(grey: Image.Image) -> float:
    """Share of the detail that a further blur would not take: 0 is sharp, 1 is blurred.

    Crete, Dolmiere, Ladret, Nicolas: The blur effect, SPIE 2007. Independent of how much detail there is.
    """
    results = []
    for step, kernel in (((1, 0), (9, 1)), ((0, 1), (1, 9))):
        smooth = _box(grey, kernel)
        before = ImageChops.difference(grey, ImageChops.offset(grey, *step))
        after = ImageChops.difference(smooth, ImageChops.offset(smooth, *step))
        total = ImageStat.Stat(before).sum[0]
        lost = ImageStat.Stat(ImageChops.subtract(before, after)).sum[0]
        results.append((total - lost) / total if total else 0.0)
    return max(results)


def _box(grey: Image.Image, kernel: tuple[int, int]) -> Image.Image:
    width, height = kernel
    return grey.filter(ImageFilter.BoxBlur(((width - 1) // 2, (height - 1) // 2)))


def _warnings(pictures: list[Picture], resolution: int) -> Iterator[str]:
    if 0 < len(pictures) < FEWEST:
        yield f"only {plural(len(pictures), 'picture')}; {FEWEST} to 10 teach better"
    for picture in pictures:
        if min(picture.width, picture.height) < resolution:
            yield (
                f"{printable_line(picture.path.name)} is {picture.width} x {picture.height}, "
                f"smaller than {resolution}: it is enlarged and will look soft"
            )
        if picture.blur > BLURRED:
            yield f"{printable_line(picture.path.name)} looks blurred"
    for index, first in enumerate(pictures):
        for second in pictures[index + 1 :]:
            if first.sha256 == second.sha256:
                yield f"{printable_line(second.path.name)} is a copy of {printable_line(first.path.name)}"
            elif (first.outline ^ second.outline).bit_count() <= NEAR_DUPLICATE:
                yield f"{printable_line(second.path.name)} is nearly the same as {printable_line(first.path.name)}"


def _why_empty(report: Report) -> str:
    if not report.skipped:
        return f"{printable(report.folder)} has no files" + (" that are not left out." if report.excluded else ".")
    named = "; ".join(f"{printable_line(s.path.name)}: {s.reason}" for s in report.skipped[:5])
    more = f"; and {len(report.skipped) - 5} more" if len(report.skipped) > 5 else ""
    return f"{printable(report.folder)} has {plural(len(report.skipped), 'file')}, none usable. {named}{more}."
