"""The look of every figure: colours that colour-blind readers can tell apart, text legible at the back of a room."""

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
}


def axes_style(ax, xlabel, ylabel):
    """Label both axes, and fix the tick size so that ticks made by a later redraw have it too."""
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.tick_params(labelsize=RC["xtick.labelsize"])
