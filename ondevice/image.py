"""Pictures: from a path, bytes, an array or a Pillow image to 8-bit RGB or greyscale pixels of a model's input size."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin

from ondevice import reading
from ondevice.errors import ImageError, PictureMemoryError
from ondevice.models import kinds
from ondevice.models.card import Input
from ondevice.protocol.picture import MAX_PIXELS, PictureFormat, PictureHead, jpeg_scale

ImageSource: TypeAlias = "str | Path | bytes | np.ndarray[Any, Any] | Image.Image"

# Pillow knows many more; some of them call other programs (EPS). Its JPEG opener opens MPO too.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
# Pillow loads what opens them at the first picture, which would be timed as its decoding.
Image.preinit()
_LOADED = (TiffImagePlugin, WebPImagePlugin)  # the two that this leaves out
SUFFIXES = frozenset({".jpg", ".jpeg", ".mpo", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"})
# A JPEG of so many pixels at the best quality is half as long; what is longer is not worth reading into memory.
MAX_BYTES = 64 * 1024 * 1024

_ORIENTATION = 0x0112  # EXIF's tag
# What turns a picture upright, by EXIF's orientation; 1 is upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow raises for malformed files, its warning included where warnings are errors.
_BROKEN = (
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    struct.error,
)
# Enough for a WebP's size, and for the first bytes of all other formats.
_HEAD_BYTES = 32
# What libwebp reserves a pixel before it decodes any: two canvases of 8-bit RGBA.
_WEBP_BYTES = 8


def pixels(source: ImageSource, wanted: Input, scaled_decode: bool = True) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The picture as uint8 [height, width, channels]: upright, centre-cropped, resized bilinearly with antialiasing.

    Animations give their first frame; transparency lies on white. With `scaled_decode`, a JPEG with pixels to spare is
    decoded at 1/2, 1/4 or 1/8 of its size (`jpeg_scale`). Raises ImageError, and PictureMemoryError where memory is
    short.
    """
    try:
        image = _open(source)
        try:
            array = np.asarray(_decoded(image, source, wanted, scaled_decode))
        finally:
            if image is not source:
                image.close()  # an error keeps its frames, and with them the open file
    except _BROKEN as error:
        if _memory_was_short(source):
            raise _short_of_memory(source) from error
        raise ImageError(f"{describe(source)}: {_reason(error, source)}", source) from error
    except MemoryError as error:
        raise _short_of_memory(source) from error
    return array.reshape(wanted.height, wanted.width, wanted.channels)


def describe(source: ImageSource) -> str:
    """The source in a few words, for messages: its path, or what it is."""
    if isinstance(source, str | Path):
        return str(source)
    if isinstance(source, bytes):
        return f"{len(source)} bytes"
    return f"array {source.shape}" if isinstance(source, np.ndarray) else "picture"


def _open(source: ImageSource) -> Image.Image:
    if isinstance(source, str | Path):
        path = Path(source)
        if not reading.ends(path):
            return Image.open(io.BytesIO(reading.whole(path, MAX_BYTES)), formats=FORMATS)
        if path.stat().st_size > MAX_BYTES:
            raise ImageError(f"{path}: over {MAX_BYTES >> 20} MiB; make it smaller first", source)
        return Image.open(path, formats=FORMATS)
    if isinstance(source, bytes):
        if len(source) > MAX_BYTES:
            raise ImageError(f"{describe(source)}: over {MAX_BYTES >> 20} MiB; make it smaller first", source)
        return Image.open(io.BytesIO(source), formats=FORMATS)
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        _check_size(source, source)  # copying decodes
        return source.copy() if hasattr(source, "filename") else source
    raise ImageError(
        f"{type(source).__name__} is not a picture: give a path, bytes, a uint8 array or a Pillow image", source
    )


def _decoded(image: Image.Image, source: ImageSource, wanted: Input, scaled_decode: bool) -> Image.Image:
    jpeg = image.format in ("JPEG", "MPO")
    if not jpeg:
        _check_size(image, source)
        image.load()  # in full, and before looking at the orientation: loading turns a TIFF upright
    turned = _orientation(image)
    size = (wanted.height, wanted.width) if turned >= 5 else (wanted.width, wanted.height)
    whole: tuple[float, float] = image.size
    if jpeg:
        if scaled_decode:
            whole = _draft(image, _ratio(whole, size, wanted.crop))
        _check_size(image, source)
    small = _fit(_eight_bit(image, source), whole, size, wanted.crop)
    if turned in _UPRIGHT:
        small = small.transpose(_UPRIGHT[turned])
    return _flat(small, "L" if wanted.channels == 1 else "RGB")


def _draft(image: Image.Image, ratio: float) -> tuple[float, float]:
    """Have a JPEG decoded at the scale for this ratio. Gives its size then: the last pixel may be part of one."""
    width, height = image.size
    scale = jpeg_scale((width, height), ratio)
    drafted = image.draft(None, (width // scale, height // scale)) if scale > 1 else None
    return drafted[1][2:] if drafted else image.size


def _from_array(array: np.ndarray[Any, Any]) -> Image.Image:
    grey, colour = array.ndim == 2, array.ndim == 3 and array.shape[2] in (1, 3, 4)
    if array.dtype != np.uint8 or not (grey or colour) or not array.size:
        raise ImageError(
            f"array of {array.dtype} {array.shape}: give uint8 [height, width] or [height, width, 1, 3 or 4]", array
        )
    return Image.fromarray(array[:, :, 0] if colour and array.shape[2] == 1 else array)


def _orientation(image: Image.Image) -> int:
    # Parsing EXIF costs as much as a small model's inference: a JPEG's header says whether there is any.
    if image.format in ("JPEG", "MPO") and "exif" not in image.info:
        return 1
    try:
        orientation = int(image.getexif().get(_ORIENTATION, 1))
    except _BROKEN:  # broken EXIF is no reason to refuse the picture
        return 1
    return orientation if orientation in _UPRIGHT else 1


def _check_size(image: Image.Image, source: ImageSource) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{describe(source)}: {width} x {height} pixels; at most {MAX_PIXELS // 10**6} megapixels are decoded, "
            "make it smaller first",
            source,
        )


def _eight_bit(image: Image.Image, source: ImageSource) -> Image.Image:
    """The whole picture in a mode that can be resized: L, RGB or RGBA, 8 bits a channel."""
    mode = image.mode
    if mode in ("PA", "LA", "La", "RGBa") or ("transparency" in image.info and mode in ("1", "L", "P", "RGB")):
        return image.convert("RGBA")
    if mode in ("L", "RGB", "RGBA"):
        return image
    if mode.startswith("I"):
        return Image.fromarray(_grey(image, source if isinstance(source, Image.Image) else image))
    if mode == "F":
        raise ImageError(
            f"{describe(source)}: 32-bit float pixels have no fixed range; save it with 8 or 16 bits", source
        )
    return image.convert("L" if mode == "1" else "RGB")


def _grey(image: Image.Image, opened: Image.Image) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Grey pixels of more than 8 bits with 8; those of the transparent level are white.

    opened: the picture itself, if this is a copy, which does not know its file.
    """
    values = np.asarray(image)
    stored, signed = _stored(opened)
    if stored == 32 and not signed:
        values = values.view(np.uint32)  # Pillow has them as if they were signed
    depth = _depth(values, stored, signed)
    grey: np.ndarray[Any, np.dtype[np.uint8]]
    grey = (np.clip(values, 0, (1 << depth) - 1) >> (depth - 8)).astype(np.uint8)
    if (clear := image.info.get("transparency")) is not None:
        grey[values == clear] = 255
    return grey


def _stored(image: Image.Image) -> tuple[int, bool]:
    """In how many bits a file has its grey levels, and whether they are signed; as Pillow has them without a file."""
    if image.format == "TIFF":
        tags = getattr(image, "tag_v2")  # noqa: B009 - of TIFF alone
        return tags.get(TiffImagePlugin.BITSPERSAMPLE, (16,))[0], 2 in tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,))
    return (32, True) if image.mode == "I" and image.format is None else (16, False)


def _depth(values: np.ndarray[Any, Any], stored: int, signed: bool) -> int:
    """How many bits white has. Of 32 few programs use all: then it is the least usual size that has the largest."""
    if stored < 32:
        return stored
    largest = int(values.max())
    return next(bits for bits in (8, 16, 32 - signed) if largest < 1 << bits)


def _ratio(whole: tuple[float, float], size: tuple[int, int], crop: float) -> float:
    """How many pixels of the picture, a side, there are for each of the input's."""
    return min(whole[0] / size[0], whole[1] / size[1]) * crop


def _fit(image: Image.Image, whole: tuple[float, float], size: tuple[int, int], crop: float) -> Image.Image:
    """Centre crop, then resize, in one pass. The crop has the input's shape and keeps `crop` of what fits.

    whole: the picture's width and height. A scaled JPEG's last column and row are seldom filled by it: with the size
    that Pillow has for it, all would lie up to half a pixel beside its place.
    """
    width, height = whole
    scale = _ratio(whole, size, crop)
    # Rounding can take what is 0 a little below it, which Pillow refuses.
    left, top = max((width - size[0] * scale) / 2, 0.0), max((height - size[1] * scale) / 2, 0.0)
    return image.resize(size, Image.Resampling.BILINEAR, (left, top, width - left, height - top))


def _flat(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image if image.mode == mode else image.convert(mode)


def _reason(error: BaseException, source: ImageSource) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, IsADirectoryError):
        return "is a folder"
    if isinstance(error, reading.EndlessError):
        return str(error)
    if isinstance(error, PermissionError):
        return "may not be read (permission denied)"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"far too many pixels; at most {MAX_PIXELS // 10**6} megapixels are decoded, make it smaller first"
    if isinstance(error, UnidentifiedImageError):
        return _unidentified(source)
    return f"cannot be decoded: {str(error) or type(error).__name__}"


def _short_of_memory(source: ImageSource) -> PictureMemoryError:
    return PictureMemoryError(
        f"{describe(source)}: there is not enough memory to decode it now; make it smaller, or try again later", source
    )


def _memory_was_short(source: ImageSource) -> bool:
    """Whether a WebP would want more memory than there is: Pillow says of that what it says of a broken one."""
    head = PictureHead.read(_head(source))
    if head.format is not PictureFormat.WEBP or head.pixels > MAX_PIXELS:
        return False
    try:
        np.empty(_WEBP_BYTES * head.pixels, np.uint8)  # reserved, and not touched
    except MemoryError:
        return True
    return False


def _unidentified(source: ImageSource) -> str:
    head = _head(source)
    if not head and (not isinstance(source, str | Path) or reading.ends(source)):
        return "is empty"
    if head[4:8] == b"ftyp":
        return "is HEIC, AVIF or a video; save it as JPEG or PNG"
    if head.startswith(kinds.LFS_POINTER):
        return "is a Git LFS pointer: `git lfs pull` in its repository fetches the picture itself"
    if kinds.PAGE.match(head):
        return "is a web page: download the picture itself"
    return f"is not a picture ({', '.join(FORMATS)} can be read)"


def _head(source: ImageSource) -> bytes:
    """The first bytes, as far as there are any and they can be read; a pipe cannot be read again."""
    if isinstance(source, bytes):
        return source[:_HEAD_BYTES]
    if not isinstance(source, str | Path) or not reading.ends(source):
        return b""
    try:
        with Path(source).open("rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError:
        return b""
