"""Step 0: tiles show particles, crops fill up, reruns give equal bytes, errors are clear."""

import logging
import shutil

import numpy as np
import pytest

from pipeline.checks.step_options import KEYWORD_CHECKS
from pipeline.checks.values import whole_number
from pipeline.files.csv_tables import read_table
from pipeline.image_files import list_images, read_image, write_image
from pipeline.intensities import stretch_to_uint8
from pipeline.micrographs.resampling import at_scale
from pipeline.prepare_images import prepare_images
from pipeline.tiles import tile_positions
from pipeline.training_data import real_tiles
from tests.pipeline.several_processes import in_processes, sizes_worked_on

TILE = 16


def micrograph(seed: int, shape=(48, 64), dtype=np.uint8) -> np.ndarray:
    """Background of 40 with bright squares on the left half only."""
    rng = np.random.default_rng(seed)
    image = rng.integers(35, 46, shape)
    for _ in range(12):
        row, column = rng.integers(0, (shape[0] - 6, shape[1] // 2 - 6))
        image[row : row + 6, column : column + 6] = rng.integers(150, 250, (6, 6))
    return (image * (np.iinfo(dtype).max // 255)).astype(dtype)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """Allow tiles smaller than the networks need, and no crops: one can reckon with such images."""
    for name in ("tile_height", "tile_width", "num_tiles"):
        monkeypatch.setitem(KEYWORD_CHECKS, name, whole_number(0))


@pytest.fixture
def folders(tmp_path):
    images = tmp_path / "Input_Images"
    images.mkdir()
    write_image(images / "a.tif", micrograph(0))
    write_image(images / "b 1.PNG", micrograph(1, (40, 50), np.uint16))
    write_image(images / "ü.tif", np.dstack([micrograph(2)] * 3))
    return images, tmp_path / "2_CycleGAN"


def prepare(folders, **options):
    defaults = {
        "images_dir": folders[0],
        "cyclegan_dir": folders[1],
        "tile_height": TILE,
        "tile_width": TILE,
        "num_tiles": 60,
        "min_overlap": 0,
        "dark_background": True,
        "image_crop": "auto",
        "micrograph_scale": 1.0,
        "seed": 7,
    }
    prepare_images(**(defaults | options))
    return {path.name: read_image(path) for path in list_images(folders[1] / "data" / "trainA")}


def test_a_few_micrographs_of_tiles_that_are_covered_altogether_are_named(tmp_path, caplog):
    """A bar of the grid, say."""
    images = tmp_path / "images"
    images.mkdir()
    for number in range(5):
        image = micrograph(number, (64, 80))
        if number == 3:
            image[:, 40:] = np.random.default_rng(0).integers(240, 250, (64, 40))
        write_image(images / f"{number}.tif", image)
    prepare((images, tmp_path / "2_CycleGAN"), num_tiles=0)
    (message,) = (text for text in caplog.messages if "covered altogether" in text)
    assert "in 1 of 5 micrographs (3.tif)" in message
    caplog.clear()
    for number in (0, 1, 2, 4):  # of particles that fill them, say
        shutil.copy(images / "3.tif", images / f"{number}.tif")
    prepare((images, tmp_path / "other"), num_tiles=0)
    assert "covered altogether" not in caplog.text


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "data").rglob("*.*"))}


def test_an_overlap_of_tiles_that_is_asked_for_makes_more_of_them(folders, tmp_path):
    few = prepare(folders, num_tiles=0)
    assert len(prepare((folders[0], tmp_path / "other"), num_tiles=0, min_overlap=12)) > len(few)


def test_grid_tiles_that_show_particles_are_kept(folders):
    tiles = prepare(folders, num_tiles=0)
    image = micrograph(0)
    # 48 rows fit 3 tiles exactly, so 4; 64 columns 5: every 32/3 and 12 pixels, rounded up.
    rows, columns = [0, 11, 22, 32], [0, 12, 24, 36, 48]
    expected = {}
    for number, (column, row) in enumerate((c, r) for c in columns for r in rows):
        tile = image[row : row + TILE, column : column + TILE]
        if tile.mean() >= 1.1 * image.mean():
            expected[f"a-{number}.tif"] = stretch_to_uint8(tile)
    found = {name: tile for name, tile in tiles.items() if name.startswith("a-")}
    assert 0 < len(expected) < 20
    assert found.keys() == expected.keys()
    for name, tile in expected.items():
        np.testing.assert_array_equal(found[name], tile)


def test_crops_fill_up_to_the_number_wanted(folders):
    grid = prepare(folders, num_tiles=0)
    tiles = prepare(folders)
    assert len(tiles) == 60
    assert {name.rsplit("-", 1)[0] for name in tiles} == {"a", "b 1", "ü"}
    crops = [name.rsplit("_", 1) for name in tiles if "-aug_" in name]
    assert sorted(int(number[:-4]) for _, number in crops) == list(range(60 - len(grid)))
    for tile in tiles.values():
        assert (tile.dtype, tile.shape) == (np.uint8, (TILE, TILE))
        assert (tile.min(), tile.max()) == (0, 255)


def test_crops_are_parts_of_the_image_they_are_named_after(folders):
    tiles = prepare(folders, num_tiles=100)
    image = micrograph(0)
    possible = {}
    for row in range(48 - TILE + 1):
        for column in range(64 - TILE + 1):
            part = image[row : row + TILE, column : column + TILE]
            if part.mean() >= 1.1 * image.mean():
                part = stretch_to_uint8(part)
                for flip in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
                    possible[part[:: flip[0], :: flip[1]].tobytes()] = flip
    found = [tile.tobytes() for name, tile in tiles.items() if name.startswith("a-aug_")]
    assert len(set(found)) > 20
    assert {possible[tile] for tile in found} == {(1, 1), (1, -1), (-1, 1), (-1, -1)}


def test_dark_particles_on_a_bright_background(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    image = 255 - micrograph(0)
    write_image(images / "a.tif", image)
    tiles = prepare((images, tmp_path / "gan"), dark_background=False, num_tiles=30)
    assert len(tiles) == 30
    bright = prepare((images, tmp_path / "gan"), dark_background=True, num_tiles=0)
    kept = {name for name in tiles if "aug" not in name}
    assert kept
    assert not kept & bright.keys()


def test_five_tiles_are_copied_for_tests(folders):
    tiles = prepare(folders)
    copies = list_images(folders[1] / "data" / "testA")
    assert len(copies) == 5
    for path in copies:
        np.testing.assert_array_equal(read_image(path), tiles[path.name])


def test_fewer_tiles_than_copies(tmp_path):
    (tmp_path / "images").mkdir()
    write_image(tmp_path / "images" / "a.tif", micrograph(0))
    prepare((tmp_path / "images", tmp_path / "gan"), tile_height=40, tile_width=30, num_tiles=3)
    tiles, copies = (list_images(tmp_path / "gan" / "data" / name) for name in ("trainA", "testA"))
    assert len(tiles) == len(copies) == 3


def test_the_info_bar_is_left_out(folders):
    image = np.vstack([micrograph(0), np.full((8, 64), 255, np.uint8)])
    write_image(folders[0] / "a.tif", image)
    bright = prepare(folders, image_crop=None)
    assert any((tile[-8:] == 255).all() for name, tile in bright.items() if name[0] == "a")
    cropped = prepare(folders, image_crop=40)
    assert not any((tile == 255).all(axis=1).any() for tile in cropped.values())


def test_same_seed_same_bytes_other_seed_others(folders, tmp_path):
    prepare(folders)
    first = contents(folders[1])
    prepare((folders[0], tmp_path / "again"))
    assert contents(tmp_path / "again") == first
    prepare(folders, seed=8)
    assert contents(folders[1]).keys() != first.keys()


@pytest.mark.parametrize("writes", [1, 10, 40, 59])
def test_killed_and_rerun_gives_the_same_bytes(folders, tmp_path, monkeypatch, writes):
    prepare((folders[0], tmp_path / "undisturbed"))
    left = writes

    def write_until_killed(path, image):
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1
        write_image(path, image)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(real_tiles, "write_image", write_until_killed)
        prepare(folders)
    train_dir = folders[1] / "data" / "trainA"
    written = {path.name: path.stat().st_mtime_ns for path in list_images(train_dir)}
    assert len(written) == writes
    prepare(folders)
    assert contents(folders[1]) == contents(tmp_path / "undisturbed")
    for name, time in written.items():
        assert (train_dir / name).stat().st_mtime_ns == time


def test_changed_images_make_everything_afresh(folders):
    before = prepare(folders)
    write_image(folders[0] / "a.tif", micrograph(5))
    after = prepare(folders)
    same = [name for name in before.keys() & after.keys() if name.startswith("a-")]
    assert not all(np.array_equal(before[name], after[name]) for name in same)


@pytest.mark.parametrize("value", [0, 90])
def test_without_particles_the_crops_that_come_nearest_are_taken_and_said(tmp_path, caplog, value):
    (tmp_path / "images").mkdir()
    write_image(tmp_path / "images" / "a.tif", np.full((TILE, TILE), value, np.uint8))
    with caplog.at_level(logging.WARNING):
        tiles = prepare((tmp_path / "images", tmp_path / "gan"), num_tiles=4)
    assert len(tiles) == 4
    words = (
        "only 0 of 200 random crops show enough particles: the 4 of the others that come nearest"
    )
    assert words in caplog.text and "Check DARK_BACKGROUND and the tile size" in caplog.text


@pytest.mark.parametrize("dark_background", [True, False])
def test_of_an_evenly_covered_micrograph_crops_are_taken_all_over(
    tmp_path, caplog, dark_background
):
    """A layer of particles, and shading: no tile differs from the mean by as much as the rule asks,
    and those that come nearest are all on one side."""
    random = np.random.default_rng(0)
    rows, columns = np.indices((256, 256))
    covered = np.hypot(rows % 16 - 8, columns % 16 - 8) < 6
    image = 2000 + 1000.0 * (covered == dark_background) + 0.3 * columns
    image = (image + random.normal(0, 50, image.shape)).astype(np.uint16)
    (tmp_path / "images").mkdir()
    write_image(tmp_path / "images" / "a.tif", image)
    places = []
    original = real_tiles.write_crops
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "pipeline.prepare_images.write_crops",
            lambda chosen, *how: places.append(chosen) or original(chosen, *how),
        )
        tiles = prepare(
            (tmp_path / "images", tmp_path / "gan"),
            num_tiles=40,
            tile_height=64,
            tile_width=64,
            dark_background=dark_background,
        )
    assert len(tiles) == 40 and "random crops show enough" not in caplog.text
    (chosen,) = places
    assert np.percentile(chosen["column"], 25) < 80 and np.percentile(chosen["column"], 75) > 110


def test_many_more_tiles_than_asked_for_are_warned_of(folders, caplog):
    tiles = prepare(folders, num_tiles=2)
    assert len(tiles) > 4
    words = f"that is {len(tiles) / 2:.1f} times NUM_SIMULATED_MASKS, which is the least number"
    assert words in caplog.text
    caplog.clear()
    prepare(folders, num_tiles=len(tiles) - 1)
    assert "NUM_SIMULATED_MASKS" not in caplog.text


@pytest.mark.parametrize("dark_background", [True, False])
@pytest.mark.parametrize("offset", [0, 500, 30000])
def test_a_detectors_offset_does_not_hide_the_particles(tmp_path, caplog, dark_background, offset):
    """A fifth is covered, by particles 3000 brighter or darker than the background."""
    random = np.random.default_rng(0)
    covered = np.zeros((128, 128), bool)
    covered[32:64, 16:112] = True
    contrast = 3000.0 * (covered == dark_background)
    image = np.rint(offset + 300 + contrast + random.normal(0, 100, covered.shape))
    (tmp_path / "images").mkdir()
    write_image(tmp_path / "images" / "a.tif", image.clip(0).astype(np.uint16))
    tiles = prepare((tmp_path / "images", tmp_path / "gan"), dark_background=dark_background)
    assert "random crops show enough" not in caplog.text
    shares = np.array(
        [
            covered[row : row + TILE, column : column + TILE].mean()
            for row, column in tile_positions(128, 128, TILE, TILE, 0)
        ]
    )
    names = np.array([f"a-{number}.tif" for number in range(len(shares))])
    kept = np.isin(names, list(tiles))
    assert kept[shares > 0.5].all() and not kept[shares == 0].any()


def test_a_hot_pixel_is_clipped_and_said(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    (tmp_path / "images").mkdir()
    image = micrograph(0, (120, 160), np.uint16) // 100
    expected, hot = image.copy(), image.copy()
    expected[40, 30], hot[40, 30] = image.max(), 60000
    made = []
    for name, one in (("expected", expected), ("hot", hot)):
        write_image(tmp_path / "images" / "a.tif", one)
        made.append(prepare((tmp_path / "images", tmp_path / name)))
    assert made[0].keys() == made[1].keys()
    for name, tile in made[0].items():
        np.testing.assert_array_equal(made[1][name], tile)
    said = [text for text in caplog.messages if "far outside the range of all others" in text]
    assert len(said) == 1 and said[0].endswith("were clipped in 1 micrograph (such as a.tif)")


@pytest.mark.parametrize("dark_background", [True, False])
def test_relaxed_rule_takes_those_that_come_nearest_and_not_the_others(
    tmp_path, monkeypatch, dark_background
):
    """The brighter half has another grain than the darker one, which its tiles show, stretched."""
    nothing = lambda image, *how: np.zeros(image.shape, bool)  # noqa: E731
    monkeypatch.setattr("pipeline.prepare_images.foreground_by_parts", nothing)
    (tmp_path / "images").mkdir()
    image = np.full((64, 64), 40, np.uint8)
    image[:, :32] = 46
    image[::7, :32:5] += 40
    image[::3, 32::3] += 40  # so that the other half is brighter by less than a tenth of the mean
    write_image(tmp_path / "images" / "a.tif", image)
    tiles = prepare(
        (tmp_path / "images", tmp_path / "gan"), num_tiles=6, dark_background=dark_background
    )
    bright = [(tile == 255).mean() for tile in tiles.values()]
    assert len(bright) == 6
    # Of 16 x 16 pixels at most 3 x 4, or at least 5 x 5.
    assert max(bright) <= 12 / 256 if dark_background else min(bright) >= 25 / 256


def test_image_smaller_than_a_tile(folders):
    write_image(folders[0] / "small.tif", micrograph(0, (30, 20)))
    with pytest.raises(
        ValueError,
        match=r"small\.tif has 30 x 20 pixels .* less than a tile of 16 x 32\. "
        r"The largest tile that fits all images is 30 x 20: lower TILE_SIZE_H and TILE_SIZE_W",
    ):
        prepare(folders, tile_width=32)


def test_no_images(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"folder .*Input_Images does not exist"):
        prepare((tmp_path / "Input_Images", tmp_path))
    (tmp_path / "Input_Images").mkdir()
    with pytest.raises(FileNotFoundError, match=r"Input_Images holds no images: .*\.tif, \.tiff"):
        prepare((tmp_path / "Input_Images", tmp_path))


def test_two_images_of_one_name(folders):
    write_image(folders[0] / "a.png", micrograph(3))
    with pytest.raises(ValueError, match=r"a\.png and .*a\.tif have the same name but for the end"):
        prepare(folders)


def test_damaged_image_is_named(folders):
    content = (folders[0] / "a.tif").read_bytes()
    (folders[0] / "a.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"a\.tif "):
        prepare(folders)


def test_inputs_are_not_changed(folders):
    before = {path.name: path.read_bytes() for path in folders[0].iterdir()}
    prepare(folders)
    assert {path.name: path.read_bytes() for path in folders[0].iterdir()} == before


def test_tiles_are_cut_from_enlarged_micrographs(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    write_image(images / "a.tif", micrograph(0))
    tiles = prepare((images, tmp_path / "gan"), micrograph_scale=2.0, tile_height=60, num_tiles=12)
    enlarged = at_scale(micrograph(0), 2.0)
    possible = set()
    for row in range(96 - 60 + 1):
        for column in range(128 - TILE + 1):
            part = stretch_to_uint8(enlarged[row : row + 60, column : column + TILE])
            possible |= {part[::a, ::b].tobytes() for a in (1, -1) for b in (1, -1)}
    assert {"-aug_" in name for name in tiles} == {True, False}
    assert all(tile.tobytes() in possible for tile in tiles.values())


def test_a_tile_that_only_the_enlarged_micrographs_hold_is_said_so(folders):
    with pytest.raises(ValueError, match=r"info bar, at MICROGRAPH_SCALE = 2\), less .* 80 x 100"):
        prepare(folders, micrograph_scale=2.0, tile_height=97)


OPTIONS = {
    "tile_height": 16,
    "tile_width": 20,
    "num_tiles": 30,
    "min_overlap": 0,
    "dark_background": True,
    "image_crop": None,
    "micrograph_scale": 1.0,
    "seed": 7,
}


@pytest.fixture
def tiles_in(tmp_path):
    """Return a function: folder's name, options -> the tiles' bytes by their place."""
    random = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for name in "abc":
        image = random.integers(30, 50, (60, 70), np.uint8)
        for row, column in random.integers(0, 55, (6, 2)):
            image[row : row + 6, column : column + 6] = 220
        write_image(tmp_path / "images" / f"{name}.png", image)

    def tiles_in(name, **changes):
        folder = tmp_path / name
        prepare_images(images_dir=tmp_path / "images", cyclegan_dir=folder, **OPTIONS | changes)
        files = sorted((folder / "data").rglob("*.tif"))
        return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}

    return tiles_in


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 8},
        {"image_crop": 50},
        {"dark_background": False},
        {"micrograph_scale": 1.3},
        {"min_overlap": 15},
        {"num_tiles": 25},
        {"tile_height": 18},
    ],
)
def test_tiles_are_those_of_a_new_folder_whichever_option_changed(tiles_in, change):
    before = tiles_in("old")
    after = tiles_in("old", **change)
    assert after != before
    assert after == tiles_in("new", **change)


def test_tiles_for_tests_are_of_several_micrographs(tiles_in):
    names = [place.split("/")[-1] for place in tiles_in("folder") if "testA" in place]
    assert len(names) == 5
    assert len({name[0] for name in names}) > 1


@pytest.mark.parametrize("dark_background", [True, False])
@pytest.mark.parametrize("particles_are", ["brighter", "darker"])
def test_bright_and_dark_confused_is_said(tmp_path, caplog, dark_background, particles_are):
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:160, :160]
    image = random.normal(80, 5, (160, 160))
    for row, column in np.mgrid[20:160:40, 20:160:40].reshape(2, -1).T:
        image[np.hypot(rows - row, columns - column) < 9] += 80
    image = image if particles_are == "brighter" else 255 - image
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a", "b"):
        write_image(images / f"{name}.tif", image.astype(np.uint8))
    where = images, tmp_path / "2_CycleGAN"
    prepare(where, dark_background=dark_background, tile_height=64, tile_width=64, num_tiles=4)
    right = dark_background == (particles_are == "brighter")
    assert (f"are particles {particles_are} than the background?" in caplog.text) == (not right)
    assert ("in 2 of 2 micrographs (a.tif, b.tif)" in caplog.text) == (not right)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_particles_that_stand_alone_are_noted_all_over_the_micrographs(folders, scale):
    images, cyclegan = folders
    for path in list_images(images):
        path.unlink()
    rows, columns = np.mgrid[:120, :200]
    for name, places in {"a.tif": ((30, 40), (30, 150), (90, 100)), "b.tif": ((60, 60),)}.items():
        image = np.random.default_rng(0).integers(35, 46, rows.shape)
        for row, column in places:
            image[np.hypot(rows - row, columns - column) < 14] = 200
        write_image(images / name, image.astype(np.uint8))
    prepare(folders, tile_height=48, tile_width=48, num_tiles=2, micrograph_scale=scale)
    noted = read_table(cyclegan / "data" / "single_particles.csv")
    assert [row["image"] for row in noted] == ["a.tif"] * 3 + ["b.tif"]
    for row in noted:
        assert float(row["diameter"]) == pytest.approx(28 * scale, abs=2)  # the blur adds to it
        assert float(row["convexity"]) > 0.93
        height, width, side = 120 * scale, 200 * scale, 28 * scale
        weight = height * width / ((height - side - 1) * (width - side - 1))
        assert float(row["weight"]) == pytest.approx(weight, rel=0.1)


def test_how_much_of_each_tile_is_covered_is_noted(folders):
    _, cyclegan = folders
    prepare(folders)
    noted = read_table(cyclegan / "data" / "covered_shares.csv")
    tiles = [path.name for path in list_images(cyclegan / "data" / "trainA")]
    assert sorted(row["tile"] for row in noted) == sorted(tiles)
    shares = np.array([float(row["covered"]) for row in noted])
    assert ((shares >= 0) & (shares <= 1)).all() and np.median(shares) > 0.2
    means = [read_image(cyclegan / "data" / "trainA" / row["tile"]).mean() for row in noted]
    assert np.corrcoef(shares, means)[0, 1] > 0.5


def test_what_is_noted_of_other_micrographs_does_not_stay_where_the_step_fails(folders):
    images, cyclegan = folders
    prepare(folders)
    noted = [cyclegan / "data" / f"{name}.csv" for name in ("single_particles", "covered_shares")]
    assert all(path.is_file() for path in noted)
    write_image(images / "small.tif", np.zeros((8, 8), np.uint8))
    with pytest.raises(ValueError, match=r"small\.tif"):
        prepare(folders)
    assert not any(path.exists() for path in noted)


def test_several_processes_give_the_same_files(folders, monkeypatch, caplog):
    found = []
    for number in (1, 2):
        begun = in_processes(monkeypatch, number)
        tiles = prepare(folders, tile_width=20)
        assert begun == [number]
        data = folders[1] / "data"
        tables = [
            (data / name).read_bytes() for name in ("single_particles.csv", "covered_shares.csv")
        ]
        found.append((tiles.keys(), [tile.tobytes() for tile in tiles.values()], tables))
        shutil.rmtree(folders[1])
    assert found[0] == found[1] and len(found[0][0]) >= 60
    in_processes(monkeypatch, 2)
    with pytest.raises(ValueError, match=r"b 1\.PNG has 40 x 50 pixels .* is 40 x 50: lower TILE"):
        prepare(folders, tile_height=48, tile_width=64)


@pytest.mark.parametrize(("scale", "times"), [(2.0, 2), (0.5, 1)])
def test_enlarged_micrographs_take_memory_as_they_are_worked_on(folders, monkeypatch, scale, times):
    seen = sizes_worked_on(monkeypatch, "prepare_images")
    prepare(folders, micrograph_scale=scale)
    assert seen == [(48 * times, 64 * times), (40 * times, 50 * times), (48 * times, 64 * times)]
