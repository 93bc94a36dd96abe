"""An image that a step wrote is known by its own file, until a pixel of it changes."""

import struct

import numpy as np
import pytest
import tifffile

from pipeline.files.written_images import digest_of, is_as_written, mark_of
from pipeline.image_files import write_image

IMAGES = {
    "mask": np.eye(5, 7, dtype=np.uint8) * 255,
    "bool": np.eye(5, 7, dtype=bool),
    "labels": np.arange(35, dtype=np.int32).reshape(5, 7),
    "big-endian": np.arange(35, dtype=">u2").reshape(5, 7),
    "turned": np.arange(35, dtype=np.float32).reshape(5, 7).T,
    "colour": np.arange(105, dtype=np.uint8).reshape(5, 7, 3),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_an_image_as_it_was_written(tmp_path, kind):
    path = tmp_path / "a.tif"
    write_image(path, IMAGES[kind])
    assert is_as_written(path)
    np.testing.assert_array_equal(tifffile.imread(path), IMAGES[kind])


@pytest.mark.parametrize("change", ["value", "type", "shape", "second page", "no mark", "damaged"])
def test_an_image_that_is_not_as_it_was_written(tmp_path, change):
    path, image = tmp_path / "a.tif", IMAGES["mask"]
    write_image(path, image)
    with tifffile.TiffFile(path) as file:
        mark = file.pages.first.description
    changed = {
        "value": np.where(image, image, 1),
        "type": image.astype(np.uint16),
        "shape": image.reshape(7, 5),
        "second page": np.stack([image, image]),
    }.get(change, image)
    if change == "damaged":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        description = None if change == "no mark" else mark
        tifffile.imwrite(path, changed, description=description, metadata=None)
    assert not is_as_written(path)
    assert not is_as_written(tmp_path / "not there.tif")


@pytest.mark.parametrize("damage", ["compressed", "cut short", "a header of 10^15 pixels"])
def test_what_this_program_does_not_write_is_not_decoded(tmp_path, monkeypatch, damage):
    path, image = tmp_path / "a.tif", np.zeros((300, 400), np.uint8)
    compression = "zlib" if damage == "compressed" else None
    description = mark_of(image)
    tifffile.imwrite(path, image, description=description, metadata=None, compression=compression)
    content = bytearray(path.read_bytes())
    if damage == "compressed":
        content[-60:] = bytes(60)  # decoding would fail, too
    elif damage == "cut short":
        del content[-2000:]
    else:
        for tag, size in ((256, 400), (257, 300)):  # width, length
            entry = content.index(struct.pack("<HHI", tag, 4, 1) + struct.pack("<I", size))
            content[entry + 8 : entry + 12] = struct.pack("<I", 2**25)
    path.write_bytes(content)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", lambda page: pytest.fail("decoded"))
    assert not is_as_written(path)


def test_the_digest_is_of_values_shape_and_type():
    image = IMAGES["labels"]
    assert digest_of(image) == digest_of(np.asfortranarray(image)) == digest_of(image.astype(">i4"))
    others = (image.T, image.astype(np.uint32), image.astype(np.float32), image + 1)
    assert len({digest_of(other) for other in (image, *others)}) == 5
