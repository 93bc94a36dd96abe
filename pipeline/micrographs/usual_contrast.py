"""How far the grey range of each micrograph is stretched, seen beside the others of its folder.

A micrograph is stretched to two of its percentiles. Where particles cover little of it, both lie in
the background, whose noise would fill the whole range of grey: a network takes it for particles,
hundreds of them where there is none. So of such a micrograph its tiles are looked at, of which a
few particles may cover enough, and what is usual in its folder.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.image_files import read_micrograph
from pipeline.intensities import as_unet_sees, clips
from pipeline.micrographs.resampling import at_scale
from pipeline.progress import progress
from pipeline.tiles import iterate_tiles

FAINT = 1 / 2  # share of the usual contrast, below which a micrograph shows no particle
# Share of the contrast of its best tile, below which a micrograph's own is that of its background.
OF_BACKGROUND = 1 / 2
# Times the usual contrast, and that of its own tiles: a micrograph's own beyond both is that of
# something else than particles, such as a bar of the grid, dirt or a charged patch.
OUTLYING = 2
# Times the usual spread of the background: one of more is of a higher gain, as are its particles.
HIGHER_GAIN = 1.5


class UsualContrast:
    """The contrast of a folder's micrographs, in percentiles of each, and what is usual there.

    Parameters
    ----------
    files, image_crop : the micrographs, read one at a time.
    contrast_range : (p, q) in percent, see ``intensities.clip_contrast``. None, or one that clips
        nothing, gives no limits.
    dark_background : whether particles are bright.
    tile_shape : (height, width) of parts that show several particles, in pixels at ``scale``.
    scale : by which the network sees micrographs resized.

    Attributes
    ----------
    faint_files : those that have, all over, less than half of the usual contrast, as where there
        are hardly any particles.
    """

    def __init__(
        self,
        files: Sequence[Path],
        image_crop: str | int | None,
        contrast_range: tuple[float, float] | None,
        dark_background: bool,
        tile_shape: tuple[int, int],
        scale: float,
    ):
        self._range = contrast_range if clips(contrast_range) else None
        self._dark_background = dark_background
        self._scale = scale
        self._tile_shape = [max(round(side / scale), 1) for side in tile_shape]
        self._own, kinds = {}, {}
        ranges, spreads = defaultdict(list), defaultdict(list)
        for file in progress(files if self._range else (), "contrasts measured"):
            micrograph = read_micrograph(file, image_crop)
            ends = (contrast_range[0], 50, contrast_range[1])
            low, middle, high = np.percentile(micrograph, ends).tolist()
            of_tiles = self._contrasts_of_tiles(micrograph, low, high)
            best = of_tiles.max()
            # Where particles reach to an end, the median, mostly of background, is far from it.
            less, more = sorted((middle - low, high - middle))
            self._own[file] = low, high, of_tiles, less
            spreads[micrograph.dtype].append(less)
            is_of_background = more <= 2 * less and high - low < OF_BACKGROUND * best
            kinds[file] = micrograph.dtype
            ranges[micrograph.dtype].append(best if is_of_background else high - low)
        # Integers of 8 and of 16 bit are no measure for each other.
        self._usual = {dtype: float(np.median(some)) for dtype, some in ranges.items()}
        self._usual_spread = {dtype: float(np.median(some)) for dtype, some in spreads.items()}
        self.faint_files = [
            file
            for file, (_, _, of_tiles, _) in self._own.items()
            if of_tiles.max() < FAINT * self._usual[kinds[file]]
        ]

    def as_unet_sees(self, file: Path, micrograph: np.ndarray) -> np.ndarray:
        """Return one of the files, read as ``micrograph``, as the UNet is shown it, at its scale.

        See ``intensities.as_unet_sees``; other files than those given have no limits but their own.
        """
        limits = self.limits(file, micrograph)
        seen = as_unet_sees(micrograph, self._range, self._dark_background, limits)
        # Contrast first: set in reduced micrographs, without their noise, more of the ground's
        # texture was taken for particles (benchmarks/notebook/masks_of_other_micrographs.md).
        return at_scale(seen, self._scale)

    def limits(self, file: Path, micrograph: np.ndarray) -> tuple[float, float] | None:
        """Return the limits for one of the files; None: those that it has by itself.

        They are its own percentiles where these are at least as far apart as is usual: the median
        over the folder, in which a micrograph of mere background counts with its best tile. Else
        the limit on the particles' side is that of its tile with the largest contrast, of which a
        few particles may cover enough, but no farther out than is usual; and as far out as is usual
        where no tile has half of that.

        Percentiles more than twice as far apart as is usual, and as those of most of its tiles that
        show something, are of a few places alone that are much brighter, or darker, than particles,
        if the background spreads no more than in others: these places are cut off.
        """
        if file not in self._own:
            return None
        low, high, of_tiles, spread = self._own[file]
        usual = self._usual[micrograph.dtype]
        contrast = min(of_tiles.max(), usual)
        if file in self.faint_files:
            contrast = usual
        if high - low >= usual:
            showing = of_tiles[of_tiles >= FAINT * usual].tolist()
            typical = max(float(np.median(showing or [usual])), usual)
            is_of_higher_gain = spread > HIGHER_GAIN * self._usual_spread[micrograph.dtype]
            if high - low <= OUTLYING * typical or is_of_higher_gain:
                return low, high
            contrast = typical
        return (low, low + contrast) if self._dark_background else (high - contrast, high)

    def _contrasts_of_tiles(self, micrograph, low, high):
        sides = map(min, self._tile_shape, micrograph.shape)
        tiles = iterate_tiles(micrograph, *sides, min_overlap=0)
        end = self._range[1 if self._dark_background else 0]
        ends = np.array([np.percentile(tile, end) for tile in tiles])
        return ends - low if self._dark_background else high - ends
