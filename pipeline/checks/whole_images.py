"""Whether the memory will do for micrographs that are computed whole, which follows trainings."""

import logging
import math
from collections.abc import Collection

from models.processor import granted_memory
from pipeline.checks.files import Size
from pipeline.checks.step_options import wrong_keywords
from pipeline.running.step_table import Call

logger = logging.getLogger(__name__)

# Bytes that networks take for each pixel they see and each of their filters, at least: on CPUs
# 12 to 26 (CycleGAN) and 20 to 44 (UNet) were measured in bfloat16, and float32 takes more.
LEAST_BYTES = {"translate_images": 12, "segment_images": 20}
FILTERS = {"translate_images": "CYCLEGAN_FILTERS", "segment_images": "UNET_FILTERS"}


def warn_of_large_images(
    options: dict[str, object], calls: list[Call], sizes: Collection[Size]
) -> None:
    """Log a warning for each step that computes micrographs whole, and has not the memory for it.

    ``sizes`` are the micrographs' (height, width). A GPU may have more memory than the computer; so
    it is no problem that keeps a run from starting. Of options that are wrong nothing is said.
    """
    scale = options.get("MICROGRAPH_SCALE")
    if not sizes or not isinstance(scale, int | float):
        return
    height, width = max(sizes, key=math.prod)
    for _, name, keywords in calls:
        if keywords.get("whole_image") is not True or FILTERS.get(name) not in options:
            continue
        if wrong_keywords(name, keywords):
            continue
        enlarged = scale * keywords.get("magnification", 1)
        needed = LEAST_BYTES[name] * options[FILTERS[name]] * height * width * enlarged**2
        if needed > (has := granted_memory()):
            logger.warning(
                "%s computes micrographs whole: one of %d x %d takes %.0f GB of memory at least, "
                "and %.0f are there. Unless a GPU has that much, set "
                "RUN_INFERENCE_ON_WHOLE_IMAGE = False: they are then computed tile by tile",
                *(name, height, width, needed / 1e9, has / 1e9),
            )
