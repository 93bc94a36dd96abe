"""Info bars: found where there is one, nothing cut where there is none."""

import cv2
import numpy as np
import pytest

from pipeline.files.info_bar import crop_info_bar, edges_with_margins, find_info_bar
from pipeline.image_files import read_image
from simulate.examples import EXAMPLES, INFO_BAR_HEIGHT

HEIGHT, WIDTH = 300, 400


def micrograph(seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Bright disks on a textured background, with noise; uint8."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width), 60.0)
    for _ in range(60):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(image, centre, int(rng.integers(5, 20)), float(rng.integers(120, 230)), -1)
    return np.clip(cv2.GaussianBlur(image, (0, 0), 1) + rng.normal(0, 4, image.shape), 0, 255)


def info_bar(height: int, width: int = WIDTH, background: int = 0, ink: int = 240) -> np.ndarray:
    bar = np.full((height, width), background, np.uint8)
    for x, text in ((6, "EHT = 10.00 kV"), (150, "WD = 4.1 mm"), (290, "200 nm")):
        cv2.putText(bar, text, (x, height // 2 + 4), cv2.FONT_HERSHEY_SIMPLEX, 0.4, ink, 1)
    cv2.line(bar, (350, height // 2), (380, height // 2), ink, 2)
    return bar


def with_bar(seed: int = 0, **bar) -> np.ndarray:
    return np.vstack([np.rint(micrograph(seed)).astype(np.uint8), info_bar(**bar)])


@pytest.mark.parametrize("height", [20, 30, 50, 75])
@pytest.mark.parametrize(("background", "ink"), [(0, 255), (255, 0), (40, 200), (60, 250)])
def test_bars_are_found(height, background, ink):
    for seed in range(3):
        image = with_bar(seed, height=height, background=background, ink=ink)
        assert find_info_bar(image) == HEIGHT


@pytest.mark.parametrize("scale", [np.uint16(257), np.float32(1 / 255), np.uint32(2**24)])
def test_bars_are_found_in_any_range_of_values(scale):
    assert find_info_bar(with_bar(height=40).astype(scale.dtype) * scale) == HEIGHT


@pytest.mark.parametrize("quality", [60, 75, 95])
def test_bars_are_found_after_jpeg_compression(quality):
    # JPEG works in blocks of 8 x 8: at 304 rows the bar's edge is that of a block.
    image = np.vstack([micrograph(height=304).astype(np.uint8), info_bar(48)])
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    assert find_info_bar(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)) == 304


def test_frame_around_the_bar_is_cut_too():
    bar = info_bar(40)
    bar[:2] = bar[-2:] = bar[:, :2] = bar[:, -2:] = 200
    bar[:, 140:142] = 200
    assert find_info_bar(np.vstack([micrograph().astype(np.uint8), bar])) == HEIGHT


def test_two_fields_above_one_another():
    image = np.vstack([micrograph(), info_bar(24), np.full((1, WIDTH), 200), info_bar(24)])
    assert find_info_bar(image.astype(np.uint8)) == HEIGHT


def test_micrograph_below_the_bar_as_zeiss_writes_it():
    image = micrograph(height=342).astype(np.uint8)
    image[HEIGHT:340, :-2] = info_bar(40)[:, :-2]
    assert find_info_bar(image) == HEIGHT


def test_saturated_background_above_the_bar():
    image = with_bar(height=40)
    image[:HEIGHT][micrograph() < 58] = 0  # about a third of the background
    assert find_info_bar(image) == HEIGHT


def _without_bar():
    rng = np.random.default_rng(1)
    rows, columns = np.indices((HEIGHT, WIDTH)) / HEIGHT
    yield "constant", np.full((HEIGHT, WIDTH), 90)
    yield "black", np.zeros((HEIGHT, WIDTH))
    yield "particles", micrograph()
    yield "bright field", 255 - micrograph()
    yield "gradient down", 255 * rows
    yield "gradient right", 255 * columns / columns.max()
    yield "few grey levels", np.floor(8 * rows) * 30
    yield "dark bottom", micrograph() * (rows < 0.85)
    yield "bright bottom", np.where(rows < 0.85, micrograph(), 255)
    yield "dark quiet bottom", np.where(rows < 0.85, micrograph(), 20 + (columns * 9) % 2)
    yield "vignette", micrograph() * np.clip(1.1 - rows, 0, 1)
    yield "padded", np.pad(micrograph(), ((0, 40), (0, 0)))
    yield "two halves", np.where(rows < 0.8, 200, 50) + rng.normal(0, 1, rows.shape)
    yield "bad line", np.where(np.abs(rows - 0.9) < 0.002, 255, micrograph())
    for background in (0, 255):
        # Every value beyond a threshold saturated, particles alone on a uniform ground.
        particles = micrograph(2)
        yield f"saturated {background}", np.where(particles < 100, background, 128)
        image = np.full((HEIGHT, WIDTH), background)
        for x in range(20, WIDTH, 40):  # nanocubes in a row
            image[200:240, x : x + 22], image[262:270, x : x + 8] = 128, 128
        yield f"cubes on {background}", image
    for sigma in (0.3, 1, 10, 100):
        yield f"noise {sigma}", np.clip(rng.normal(128, sigma, rows.shape), 0, 255)
    for share in (0.02, 0.04, 0.06, 0.3):
        yield f"{share} of the pixels", 255 * (rng.random(rows.shape) < share)
    stripes = np.where((rows * 30).astype(int) % 2, 255, micrograph())
    yield "charging", stripes
    line = np.zeros((HEIGHT, WIDTH))
    line[240] = rng.integers(1, 255, WIDTH)  # a bad line, strokes below it, but the same ground
    line[255:275] = info_bar(20)
    yield "bad line on black", line
    text = micrograph()
    text[250:275, 10:300] = info_bar(25)[:, 10:300]
    yield "text on the micrograph", text


WITHOUT_BAR = dict(_without_bar())


@pytest.mark.parametrize("name", WITHOUT_BAR)
@pytest.mark.parametrize("scale", [np.uint8(1), np.uint16(200), np.float32(0.1)])
def test_nothing_is_cut_without_a_bar(name, scale):
    image = WITHOUT_BAR[name].astype(np.uint8).astype(scale.dtype) * scale
    for turned in (image, image[::-1], image.T, image.T[::-1]):
        assert find_info_bar(turned) == turned.shape[0]


def test_nothing_is_cut_from_many_random_micrographs():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        image = micrograph(seed, int(rng.integers(20, 300)), int(rng.integers(20, 300)))
        low = rng.integers(0, 120)  # some saturated at both ends, some of low contrast
        image = np.clip((image - low) * rng.uniform(0.1, 3), 0, 255).astype(np.uint8)
        for turned in (image, 255 - image, image[::-1]):
            assert find_info_bar(turned) == image.shape[0]


@pytest.mark.parametrize("shape", [(1, 1), (5, 400), (400, 5), (32, 32)])
def test_small_images(shape):
    assert find_info_bar(np.zeros(shape, np.uint8)) == shape[0]


def test_shipped_examples(request):
    for name, options in EXAMPLES.items():
        image = read_image(request.config.rootpath / "Input_Images" / name)
        bar = INFO_BAR_HEIGHT if options.get("info_bar") else 0
        assert find_info_bar(image) == image.shape[0] - bar


def test_crop_as_told():
    image = with_bar(height=40)
    assert crop_info_bar(image, "auto").shape == (HEIGHT, WIDTH)
    assert crop_info_bar(image, None).shape == (HEIGHT + 40, WIDTH)
    assert crop_info_bar(image, 123).shape == (123, WIDTH)
    np.testing.assert_array_equal(crop_info_bar(image, 123), image[:123])


def test_an_image_that_was_cut_before_keeps_all_its_rows():
    image = with_bar(height=40)
    for rows in (340, 341, 10_000):
        np.testing.assert_array_equal(crop_info_bar(image, rows), image)


@pytest.mark.parametrize("crop", ["Auto", True, 12.5, [1], 0, -3])
def test_unknown_crop(crop):
    with pytest.raises(ValueError, match='expected "auto", None, or the number of rows'):
        crop_info_bar(with_bar(height=40), crop)


@pytest.mark.parametrize("edge", ["top", "left", "right", "bottom"])
@pytest.mark.parametrize(("value", "size"), [(0, 12), (255, 60), (0, 7)])
def test_margins_are_found_at_every_edge(edge, value, size):
    image = np.rint(micrograph()).astype(np.uint8)
    where = {
        "top": np.s_[:size],
        "left": np.s_[:, :size],
        "right": np.s_[:, -size:],
        "bottom": np.s_[-size:],
    }
    image[where[edge]] = value
    assert edges_with_margins(image) == ([edge] if size >= 8 else [])


def test_a_bar_at_the_top_is_found():
    assert edges_with_margins(with_bar(height=40)[::-1]) == ["top"]


@pytest.mark.parametrize("image", ["as it is", "overexposed", "one value", "fading"])
def test_micrographs_without_margins(image):
    pixels = {
        "as it is": micrograph(),
        "overexposed": np.clip(255 - 0.8 * micrograph(), 0, 190),  # background is one value
        "one value": np.full((HEIGHT, WIDTH), 7.0),
        "fading": np.clip(micrograph() - np.linspace(200, 0, HEIGHT)[:, None], 0, 255),
    }[image]
    assert edges_with_margins(np.rint(pixels).astype(np.uint8)) == []
