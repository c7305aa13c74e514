"""The look of every panel: colours that colour-blind readers can tell apart, text legible at the back of a room."""
import io
from html import escape

import ipywidgets as widgets
import numpy as np
from PIL import Image

from ..checking import WrongKind, real, shown, whole

COLOURS = {  # Okabe and Ito (2008), "Color Universal Design"; a marker or a line style goes beside every colour
    "black": "#000000",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
    "grey": "#666666",
}

RC = {  # for `matplotlib.rc_context`, never set globally; sizes in points, where 13 points are 18 CSS pixels
    "font.size": 14,
    "axes.titlesize": 15,
    "axes.labelsize": 14,
    "xtick.labelsize": 13,
    "ytick.labelsize": 13,
    "legend.fontsize": 13,
    "legend.frameon": False,
    "lines.linewidth": 2.5,
    "lines.markersize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "image.cmap": "cividis",
    "figure.constrained_layout.w_pad": 0.12,   # inches around each axes
}

CSS = """<style>
.mb-panel { --jp-widgets-font-size: 15px; --jp-widgets-inline-height: 32px; }
.mb-panel .widget-html-content { font-size: 16px; line-height: 1.4; }
</style>"""


def axes_style(ax, xlabel, ylabel):
    """Label both axes."""
    ax.set(xlabel=xlabel, ylabel=ylabel)


def choice(description, options, value):
    """A slider over a few given values, for example batch sizes; a float 16.0 reads 16."""
    value = _one(description, options, value)
    if any(isinstance(option, float) for option in options):
        options = [(f"{option:g}", option) for option in options]
    return widgets.SelectionSlider(description=description, options=options, value=value, **_control())


def slider(description, low, high, value, step=1):
    """A slider over whole numbers, or over floats when a bound, the value or the step is one."""
    if not any(isinstance(number, float) for number in (low, high, value, step)):
        value = whole(description, value, low, high)        # a slider would move it inside, without a word
        return widgets.IntSlider(description=description, min=low, max=high, value=value, step=step, **_control())
    if step >= high - low:
        raise ValueError(f"slider {description!r}: step = {step} leaves nothing between {low} and {high}")
    value = real(description, value, low, high)
    return widgets.FloatSlider(description=description, min=low, max=high, value=value, step=step,
                               readout_format=".3g", **_control())


def toggle(description, options, value):
    """Buttons of which one is down, for a few alternatives that have names."""
    value = _one(description, options, value)
    return widgets.ToggleButtons(description=description, options=options, value=value,
                                 layout=widgets.Layout(flex="0 0 auto", max_width="100%"),
                                 style={"description_width": "initial", "button_width": "auto"})


def _one(description, options, value):
    """The value as the options have it; ValueError with all of them where it is none."""
    values = [option[1] if isinstance(option, tuple) else option for option in options]
    for option in values:
        if isinstance(option, (bool, str)) == isinstance(value, (bool, str)) and np.isscalar(value) and option == value:
            return option
    raise ValueError(f"{description}: expected one of {', '.join(map(str, values))}, got {shown(value)}")


def given(name, value, kind):
    """What a panel was given, if it is of this kind."""
    if not isinstance(value, kind):
        raise WrongKind(f"{name}: expected a {kind.__name__} of {kind.__module__}, got {shown(value)}")
    return value


def _control():
    return {"style": {"description_width": "initial"}, "layout": widgets.Layout(width="420px", max_width="100%", margin="2px 16px 2px 2px")}


def heading(text):
    return f'<div role="heading" aria-level="3" style="font-size:19px;font-weight:600">{escape(text)}</div>'


def sentence(text, role):
    """A line that a screen reader says when it changes; an error (role "alert") has a bar beside it."""
    bar = f"border-left:5px solid {COLOURS['vermillion']};padding-left:8px" if role == "alert" else ""
    live = "assertive" if role == "alert" else "polite"
    return f'<div role="{role}" aria-live="{live}" style="{bar}">{escape(text)}</div>'


def target(task, reached):
    """The task, and whether it is reached, in words and by a sign, not by colour alone."""
    state = "" if reached is None else "<b>\u2713 Target reached.</b>" if reached else "\u25cb Not reached yet."
    return f'<div aria-live="polite"><b>Task:</b> {escape(task)} {state}</div>'


def as_jpeg(image):
    """Encode for speed.

    Two axes at 860x400 CSS pixels, ms (KB) at 1x, 1.5x and 2x, one run on two busy cores: JPEG 90 without chroma
    subsampling 3 (54), 6 (92), 8 (140); PNG 'up' filter with zlib 1, 7 (41), 14 (67), 32 (97); lossless WebP 12, 20,
    46; Pillow's PNG at level 1, 23, 48, 72. So JPEG: text shows no halo at this quality. And 1.5x: from key press to
    picture 2x took 14 ms longer than 1.5x, and 1.5x took about as long as 1x.
    """
    file = io.BytesIO()
    image.save(file, "jpeg", quality=90, subsampling=0)
    return file.getvalue()


def few_colours(image, colours):
    """As many colours as a figure needs, so that it is stored in few bytes: an octree's 32 take half of a median cut's 256."""
    return image.convert("RGB").quantize(colours, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)


def as_png(image):
    """Encode for size; what every reader of a notebook shows."""
    file = io.BytesIO()
    image.save(file, "png", optimize=True)
    return file.getvalue()


def as_webp(image):
    """Encode for size, without loss, a third below PNG; what a browser shows."""
    file = io.BytesIO()
    image.convert("RGB").save(file, "webp", lossless=True)
    return file.getvalue()
