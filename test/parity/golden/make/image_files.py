"""Writes image files of every kind that people send, each with its pixels as Pillow reads them.

The pixels are those that BLIP-2's processor gets: the first frame, upright, as RGB. What is transparent is white.

python test/parity/golden/make/image_files.py     # writes test/parity/golden/images/; needs avifenc (libavif-bin)
"""

from __future__ import annotations

import io
import struct
import subprocess
import tempfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

from golden_files import empty_folder

WIDTH, HEIGHT = 48, 32
FRAMES = 3
ORIENTATION = 0x0112


def draw(frame: int = 0, width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Smooth colors that no reflection, rotation or other frame has."""
    y, x = np.mgrid[0:height, 0:width]
    red = 255 * x / width
    green = 255 * y / height
    blue = 127 + 120 * np.sin((x + 2 * y) / 9 + 2 * frame)
    return Image.fromarray(np.stack([red, green, blue], -1).astype(np.uint8))


def with_alpha(mode: str = "RGBA") -> Image.Image:
    """Half of it transparent, in steps."""
    image = draw().convert("L" if mode == "LA" else "RGB")
    alpha = np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))
    image.putalpha(Image.fromarray(alpha))
    return image


def profile() -> bytes:
    """A color profile that turns every color into another one: of XYZ, where sRGB is expected."""
    primaries = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # Exchanges the columns of red and blue: whoever applies the profile, exchanges the channels.
    return primaries.replace(b"rXYZ", b"tmpX").replace(b"bXYZ", b"rXYZ").replace(b"tmpX", b"bXYZ")


def png16(image: Image.Image, icc: bytes = b"") -> bytes:
    """A PNG of 16 bits a channel, which Pillow cannot write."""
    values = np.asarray(image).astype(">u2") * 257
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    channels = {2: 0, 3: 2}[values.ndim]

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", image.width, image.height, 16, channels, 0, 0, 0)
    parts = [chunk(b"IHDR", header)]
    if icc:
        parts.append(chunk(b"iCCP", b"profile\0\0" + zlib.compress(icc)))
    parts += [chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def with_late_exif(png: bytes) -> bytes:
    """The same file with its EXIF behind the pixels, where some programs that turn images write it."""
    start = png.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(png[start : start + 4], "big")
    last = png.index(b"IEND") - 4
    return png[:start] + png[end:last] + png[start:end] + png[last:]


def grid_avif() -> bytes:
    """An AVIF of two by two cells, each of them an image of its own."""
    with tempfile.TemporaryDirectory() as folder:
        draw(0, 2 * 64, 2 * 64).save(f"{folder}/whole.png")
        options = "-c aom --yuv 444 --min 0 --max 20 --grid 2x2"
        command = ["avifenc", *options.split(), "whole.png", "grid.avif"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        return Path(folder, "grid.avif").read_bytes()


def with_items_shown(avif: bytes) -> bytes:
    """The same file with every item shown, as other writers leave the cells of a grid."""
    hidden = b"infe\2\0\0\1"
    assert avif.count(hidden) == 4
    return avif.replace(hidden, b"infe\2\0\0\0")


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """The bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def files() -> dict[str, bytes]:
    """The files by their names."""
    still = draw()
    more = {"save_all": True, "append_images": [draw(i) for i in range(1, FRAMES)]}
    rotated = Image.Exif()
    rotated[ORIENTATION] = 6
    exif = {"exif": rotated.tobytes()}
    avif = {"quality": 90, "subsampling": "4:4:4"}
    grid = grid_avif()
    palette = with_alpha().quantize(16)
    corner = draw(1).resize((20, 12))
    return {
        "animated.gif": saved(still, "GIF", duration=100, **more),
        "animated.webp": saved(still, "WEBP", duration=100, lossless=True, **more),
        "animated.png": saved(still, "PNG", duration=100, **more),
        "animated-behind-still.png": saved(still, "PNG", duration=100, default_image=True, **more),
        "animated.avif": saved(still, "AVIF", duration=100, **avif, **more),
        "grid.avif": grid,
        "grid-of-shown-items.avif": with_items_shown(grid),
        "transparent-animated.webp": saved(
            with_alpha(),
            "WEBP",
            duration=100,
            lossless=True,
            save_all=True,
            append_images=[still],
        ),
        "several.mpo.jpg": saved(still, "MPO", save_all=True, append_images=[corner], quality=95),
        "rotated.jpg": saved(still, "JPEG", quality=95, **exif),
        "rotated.png": saved(still, "PNG", **exif),
        "rotated-late.png": with_late_exif(saved(still, "PNG", **exif)),
        "rotated.webp": saved(still, "WEBP", lossless=True, **exif),
        "rotated.avif": saved(still, "AVIF", **avif, **exif),
        "progressive.jpg": saved(still, "JPEG", quality=90, progressive=True),
        "gray.jpg": saved(still.convert("L"), "JPEG", quality=95),
        "cmyk.jpg": saved(still.convert("CMYK"), "JPEG", quality=95),
        "profile.jpg": saved(still, "JPEG", quality=95, icc_profile=profile()),
        "profile.png": saved(still, "PNG", icc_profile=profile()),
        "profile-16-bit.png": png16(still, profile()),
        "16-bit.png": png16(still),
        "16-bit-gray.png": png16(still.convert("L")),
        "1-bit.png": saved(still.convert("1"), "PNG"),
        "gray-alpha.png": saved(with_alpha("LA"), "PNG"),
        "alpha.png": saved(with_alpha(), "PNG"),
        "palette-alpha.png": saved(palette, "PNG"),
        "palette.png": saved(still.quantize(64), "PNG"),
        "transparent-color.png": saved(still, "PNG", transparency=still.getpixel((3, 3))),
        "alpha.webp": saved(with_alpha(), "WEBP", lossless=True),
        "alpha.avif": saved(with_alpha(), "AVIF", **avif),
        "alpha-premultiplied.avif": saved(
            with_alpha(), "AVIF", quality=100, subsampling="4:4:4", alpha_premultiplied=True
        ),
        "transparent.gif": saved(palette, "GIF"),
    }


def pixels(name: str, data: bytes) -> Image.Image:
    """What the processor gets: upright, on white, RGB."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if name == "16-bit-gray.png":
        # Pillow would cut values off at 255.
        return draw().convert("L").convert("RGB")
    image.info.pop("icc_profile", None)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def main() -> None:
    """Writes each file, and its pixels as a PNG beside it."""
    folder: Path = empty_folder("images")
    folder.mkdir()
    for name, data in files().items():
        (folder / name).write_bytes(data)
        pixels(name, data).save(folder / f"{name}.pixels.png")


if __name__ == "__main__":
    main()
