"""A label burnt into a picture, readable on any ground."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from safecase.mark._errors import NotMarkable

if TYPE_CHECKING:
    from PIL import ImageFont
    from PIL.Image import Image

Place = Literal["top-left", "top-right", "bottom-left", "bottom-right"]
PLACES: tuple[Place, ...] = ("top-left", "top-right", "bottom-left", "bottom-right")
_LEAST_PX = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What a label says and where.

    Attributes:
        text: one line.
        place: corner.
        size: height of the letters as a share of the picture's shorter side, 0.02 to 0.3.
        font: a font file for scripts that the built-in font (Latin) does not have.
    """

    text: str = "AI-generated"
    place: Place = "bottom-right"
    size: float = 0.045
    font: Path | None = None

    def __post_init__(self) -> None:
        if not self.text.strip() or "\n" in self.text or not 0.02 <= self.size <= 0.3:
            raise NotMarkable(f"label {self.text!r} at size {self.size!r}: give one line of text, and 0.02 to 0.3")
        if self.place not in PLACES:
            raise NotMarkable(f"label place {self.place!r}: use one of {', '.join(PLACES)}")
        if self.font is None and not self.text.isascii():
            raise NotMarkable(f"label {self.text!r}: the built-in font has ASCII only; give a font file for this text")


def draw_label(image: "Image", label: Label) -> "Image":
    """Draw white letters on a dark plate with a light rim; a long text gets smaller until it fits.

    Args:
        image: RGB or RGBA. A new one is given back.

    Raises:
        NotMarkable: the text does not fit at a readable size, or the font cannot be used.
    """
    from PIL import Image, ImageDraw

    font, box = _fitting(label, image.size)
    pad = max(3, round((box[3] - box[1]) * 0.45))
    width, height = round(box[2] - box[0]) + 2 * pad, round(box[3] - box[1]) + 2 * pad
    margin = max(2, round(min(image.size) * 0.02))
    left = margin if label.place.endswith("left") else image.width - margin - width
    top = margin if label.place.startswith("top") else image.height - margin - height
    layer = Image.new("RGBA", image.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    plate = (left, top, left + width - 1, top + height - 1)
    # The rim shows the plate on a dark ground, the plate the letters on a light one.
    draw.rounded_rectangle(plate, radius=pad, fill=(0, 0, 0, 205), outline=(255, 255, 255, 230), width=max(1, pad // 5))
    draw.text((left + pad - box[0], top + pad - box[1]), label.text, font=font, fill=(255, 255, 255, 255))
    return Image.alpha_composite(image.convert("RGBA"), layer).convert(image.mode)


def _fitting(
    label: Label, size: tuple[int, int]
) -> "tuple[ImageFont.FreeTypeFont | ImageFont.ImageFont, tuple[float, float, float, float]]":
    wanted = max(_LEAST_PX, round(min(size) * label.size))
    for pixels in range(wanted, _LEAST_PX - 1, -1):
        font = _font(label, pixels)
        box = font.getbbox(label.text)
        if box[2] - box[0] + 2 * pixels <= size[0] * 0.96 and box[3] - box[1] + 2 * pixels <= size[1]:
            return font, box
    raise NotMarkable(f"label {label.text!r} does not fit into {size[0]} x {size[1]} pixels; give a shorter one")


def _font(label: Label, pixels: int) -> "ImageFont.FreeTypeFont | ImageFont.ImageFont":
    from PIL import ImageFont

    if label.font is None:
        return ImageFont.load_default(pixels)
    try:
        return ImageFont.truetype(str(label.font), pixels)
    except OSError as error:
        raise NotMarkable(f"{label.font}: cannot be used as a font ({error}); give a .ttf or .otf file") from None
