"""What is simulated with: each option of step 2 reaches the simulator."""

import numpy as np

from pipeline.training_data import mask_simulation
from simulate.outlines import scale_limits

ARRANGEMENT = {
    "grid_type": "CUBIC",
    "grid_spacing_factor": 1.3,
    "grid_noise_factor": 0.7,
    "min_no_of_particles": 3,
    "max_no_of_particles": 8,
    "use_perlin_noise": False,
    "perlin_noise_threshold": 0.35,
    "perlin_noise_frequency": 5,
    "max_overlap": 0.25,
}
SCALING = {
    "use_normal_distribution": False,
    "scaling_mu": 1.1,
    "scaling_sigma": 0.2,
    "min_scaling": 0.6,
    "max_scaling": 1.7,
}


def test_every_option_reaches_the_simulator_and_its_library(monkeypatch):
    options = ARRANGEMENT | SCALING | {"use_random_rotation": "PERLIN"}
    options |= {"tile_height": 50, "tile_width": 70, "seed": 9}
    libraries, prepared = [], []

    def make_library(*how):
        libraries.append(how)
        return "library"

    simulate = mask_simulation._make_simulator(make_library, np.zeros((3, 20, 24)), options)
    assert simulate.func is mask_simulation.simulate_label_map
    assert simulate.args == ("library", 9)
    assert simulate.keywords == ARRANGEMENT | {
        "image_shape": (50, 70),
        "outline_shape": (20, 24),
        "largest_scale": scale_limits(**SCALING)[1],
    }

    monkeypatch.setattr(
        mask_simulation, "prepare_library", lambda *how, **scaling: prepared.append((how, scaling))
    )
    rng = np.random.default_rng(0)
    mask_simulation._make_library(rng, "outlines", *libraries[0])
    ((_, outlines, rotation), scaling) = prepared[0]
    assert (outlines, rotation, scaling) == ("outlines", "PERLIN", SCALING)
