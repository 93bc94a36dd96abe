"""Pictures inside the report's HTML: overlays, preview sheets and curves as data URIs."""

import base64
import io
import re
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.files.csv_tables import column_of_numbers, read_table

# Tried in order until a picture fits its share of the page: longest side in pixels, JPEG quality.
JPEG_STEPS = ((1500, 88), (1500, 78), (1300, 75), (1100, 72), (900, 70), (700, 65), (500, 60))
CURVE_COLOURS = ("#1f5f99", "#d1701c", "#3a7d44", "#8a4f9e")
COLUMNS_OF_CURVES = 3


def jpeg_uri(path: Path, largest_bytes: int) -> str:
    """Return a picture as a JPEG data URI of at most about ``largest_bytes``."""
    picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{path} cannot be read as an image. Run step 7 again to make it anew.")
    return jpeg_uri_of(picture, largest_bytes)


def jpeg_uri_of(picture: np.ndarray, largest_bytes: int) -> str:
    """Return a picture, uint8 (h, w, 3) BGR, as `jpeg_uri` does one in a file."""
    for side, quality in JPEG_STEPS:
        factor = side / max(picture.shape[:2])
        smaller = picture
        if factor < 1:
            smaller = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        encoded = cv2.imencode(".jpg", smaller, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        if encoded.nbytes <= largest_bytes:
            break
    return _uri("jpeg", encoded.tobytes())


def png_uri(content: bytes) -> str:
    """Return PNG bytes as a data URI."""
    return _uri("png", content)


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def read_training_log(path: Path) -> dict[str, np.ndarray]:
    """Return the columns of a training log; cells that are no numbers are NaN."""
    rows = read_table(path)
    return {name: column_of_numbers(rows, name) for name in (rows or [{}])[0]}


def plot_training_curves(log: dict[str, np.ndarray]) -> bytes | None:
    """Return small plots of all losses over the epochs as PNG; None for an empty log.

    The first column is the epoch. Columns that differ only in ``val_`` in front or ``_a``, ``_b``
    at the end share a plot.
    """
    epochs_name, *names = log or [None]
    groups: dict[str, list[str]] = {}
    for name in names:
        if np.isfinite(log[name]).any():
            groups.setdefault(re.sub(r"^val_|_[ab]$", "", name), []).append(name)
    if not groups:
        return None
    rows = -(-len(groups) // COLUMNS_OF_CURVES)
    figure = Figure(figsize=(10, 2.1 * rows), layout="constrained")
    panels = figure.subplots(rows, COLUMNS_OF_CURVES, squeeze=False).ravel()
    marker = "o" if len(log[epochs_name]) < 2 else None
    for axes, (group, members) in zip(panels, groups.items(), strict=False):
        for name, colour in zip(members, CURVE_COLOURS, strict=False):
            axes.plot(
                log[epochs_name], log[name], color=colour, linewidth=1.3, marker=marker, label=name
            )
        axes.set_title(group, loc="left", fontsize=9, fontweight="bold")
        axes.tick_params(labelsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        if len(members) > 1:
            axes.legend(fontsize=7, frameon=False)
    for axes in panels[: len(groups)][-COLUMNS_OF_CURVES:]:
        axes.set_xlabel(epochs_name, fontsize=8)
    for axes in panels[len(groups) :]:
        axes.set_axis_off()
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=130)
    return content.getvalue()
