"""The benchmark of reading training images calls step 6a as it is today."""

import pytest

from benchmarks import training_data
from pipeline import train_unet
from pipeline.training_data import unet_pairs


@pytest.mark.parametrize("use_dataloader", [True, False])
def test_it_reads_every_tile_as_step_6a_does(tmp_path, monkeypatch, use_dataloader):
    monkeypatch.setattr(training_data, "start_backend", lambda options: None)
    monkeypatch.setattr(train_unet, "train", train_unet.train)  # the benchmark replaces it
    read = {"read_fake": [], "read_target": []}
    for name, calls in read.items():
        original = getattr(unet_pairs, name)
        spy = lambda *how, calls=calls, call=original: calls.append(how) or call(*how)  # noqa: E731
        monkeypatch.setattr(unet_pairs, name, spy)
    options = training_data.parser.parse_args(["--target", "instances"])
    training_data.write_tiles(tmp_path, 5, 48)
    measured = training_data.read_one_epoch(tmp_path, use_dataloader, options)
    # Of 5 pairs 4 are trained on, in 4 flips: 4 batches of 5. In memory all 5 are read once.
    assert len(read["read_fake"]) == (20 if use_dataloader else 5)
    # Targets are made once, or at times twice, where two threads ask for the same.
    of_targets = [file for file, *_ in read["read_target"]]
    assert len(set(of_targets)) == (4 if use_dataloader else 5)
    assert {targets for _, targets in read["read_target"]} == {unet_pairs.Targets(True, True)}
    assert measured["seconds_per_step"] > 0 and measured["peak_memory_mb"] > 0
