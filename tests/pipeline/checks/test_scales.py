"""What is to go on at another scale, or with tiles of another size."""

import pytest

from pipeline.check_inputs import check_inputs
from pipeline.checks.scales import check_scale, check_tile_size
from pipeline.files.records import write_json
from pipeline.running.output_folders import MADE_WITH
from pipeline.running.step_table import NETWORKS, STEPS
from tests.start_process import default_options

RUN = "2026-01-31_12-00-00"


def test_masks_of_another_size_than_the_tiles_are_told_of(tmp_path):
    keywords = {"tile_height": 64, "tile_width": 96, "cyclegan_dir": f"{tmp_path}/cyclegan_dir"}
    call = "2", STEPS["2"].function, keywords
    assert check_tile_size([call]) == []  # there are no tiles, or the user's own
    tiles = tmp_path / "cyclegan_dir" / "data" / "trainA"
    tiles.mkdir(parents=True)
    for size, expected in (([64, 96], 0), ([96, 64], 1)):
        write_json(tiles / MADE_WITH, {"tile_size": size})
        assert len(check_tile_size([call])) == expected
        assert check_tile_size([("0", "prepare_images", {}), call]) == []
    (problem,) = check_tile_size([call])
    assert "TILE_SIZE_H x TILE_SIZE_W = 64 x 96 pixels" in problem
    assert "step 0 (prepare_images) cut its tiles to 96 x 64" in problem
    options = default_options(tmp_path) | {"CYCLEGAN_DIR": str(tmp_path / "cyclegan_dir")}
    with pytest.raises(ValueError, match="and the CycleGAN needs both alike"):
        check_inputs(options, [call])


@pytest.mark.parametrize(
    ("record", "steps", "number"),
    [
        ({"micrograph_scale": 2.0}, ("2", "3", "4"), 2),
        ({"micrograph_scale": 2.0}, ("0", "2", "4"), 0),
        ({"micrograph_scale": 1.0}, ("2", "4"), 0),
        ({"seed": 1}, ("2", "4"), 0),  # of before there was a scale
        (None, ("2", "4"), 0),
    ],
)
def test_steps_that_go_on_at_another_scale_are_told_of(tmp_path, record, steps, number):
    (tmp_path / "data" / "trainA").mkdir(parents=True)
    if record:
        write_json(tmp_path / "data" / "trainA" / MADE_WITH, record)
    keywords = {"cyclegan_dir": tmp_path, "micrograph_scale": 1.0}
    of_step = {"3": {"cyclegan_dir": tmp_path}}
    calls = [(step, f"name_{step}", of_step.get(step, keywords)) for step in steps]
    problems = check_scale(calls)
    assert len(problems) == number
    for problem in problems:
        assert "at MICROGRAPH_SCALE = 1, but step 0 (prepare_images) made its tiles at 2" in problem


@pytest.mark.parametrize(
    ("number", "others", "keywords", "words"),
    [
        ("2", "0", {"outline_source": "wgan"}, "step 1 (train_wgan) trained its WGAN at 2."),
        ("2", "01", {"outline_source": "wgan"}, None),
        ("2", "01", {"outline_source": "wgan", "wgan_model": RUN}, "step 1 (train_wgan) trained"),
        ("2", "0", {"outline_source": "augmented"}, None),
        ("4", "02", {}, "step 3 (train_cyclegan) trained its CycleGAN at 2."),
        ("4", "023", {}, None),
        ("4", "023", {"cyclegan_model": RUN}, "step 3 (train_cyclegan) trained its CycleGAN at 2."),
        ("6a", "0", {}, "step 4 (translate_images) translated at 2. Run all steps again, or set "),
        ("6a", "04", {}, None),
    ],
)
def test_networks_and_fakes_of_another_scale_are_told_of(tmp_path, number, others, keywords, words):
    """Before step 0 clears the tiles of the old scale away."""
    made_at = {"micrograph_scale": 2.0}
    for network in ("wgan", "cyclegan"):
        run = tmp_path / network / "Models" / RUN
        run.mkdir(parents=True)
        for file in NETWORKS[network].files:
            (run / file).touch()
        write_json(run / "options.json", {"options": made_at})
    translated = tmp_path / "cyclegan" / "generate_images" / "B"
    translated.mkdir(parents=True)
    write_json(translated / MADE_WITH, made_at)
    keywords |= {"wgan_dir": tmp_path / "wgan", "cyclegan_dir": tmp_path / "cyclegan"}
    calls = [(other, STEPS[other].function, {"micrograph_scale": 1.0}) for other in others]
    call = number, STEPS[number].function, keywords | {"micrograph_scale": 1.0}
    problems = check_scale([*calls, call])
    assert len(problems) == (words is not None)
    assert not problems or words in problems[0]
    assert check_scale([*calls, (*call[:2], keywords | made_at)]) == []
    for wrong in (
        {"micrograph_scale": "two"},
        {"wgan_dir": 3, "cyclegan_dir": 3},
        {"wgan_dir": None, "cyclegan_dir": None},
        {"wgan_model": 5, "cyclegan_model": 5},
    ):  # is told of elsewhere
        check_scale([(*call[:2], call[2] | wrong)])
