"""Outputs and losses of all three models from fixed weights and batches, for one backend.

Run by test_backends_agree.py once for each backend: `python compute_for_backend.py result.npz`.
"""

import sys

import numpy as np

from models import backend, cyclegan, image_pool, multires_unet, wgan_gp
from models.fast import compiled_steps, lean_networks
from tests.models.tiny_steps import CYCLEGAN, WGAN

STEPS = 3
# Half of the GANs' and a tenth of the UNet's default: rounding grows with each step. With the
# UNet's own, weights that are off by 1e-7 change the loss of the third step by up to 7e-4.
RATE = 1e-4


def disks(random, count, size):
    """Return outlines of disks, (count, size, size, 1), -1 or 1, float32."""
    rows, columns = np.mgrid[:size, :size]
    radii = random.uniform(0.2, 0.4, count)[:, None, None] * size
    inside = (rows - size / 2) ** 2 + (columns - size / 2) ** 2 < radii**2
    return np.where(inside, 1.0, -1.0).astype(np.float32)[..., None]


def noise(random, *shape):
    """Return float32 numbers in [-1, 1]."""
    return random.uniform(-1, 1, shape).astype(np.float32)


def losses_of(model, batches):
    """Return the losses of one training step a batch, by name."""
    compiled_steps.xla_for_steps = False  # which rounds otherwise
    step = compiled_steps.compile_step(model.train_step)
    rows = [step(backend.to_device(batch)) for batch in batches]
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


def main():
    random = np.random.default_rng(5)
    result = {}

    wgan = wgan_gp.build_wgan((32, 32), 16, seed=3, dropout=False, **WGAN)
    wgan.set_up(RATE, 0.5, 0.9)
    result["wgan generator"] = lean_networks.predict(wgan.generator, noise(random, 3, 16))
    result["wgan critic"] = lean_networks.predict(wgan.critic, disks(random, 3, 32))
    # One batch again and again: only training can change the losses.
    batch = (
        disks(random, 8, 32),
        wgan_gp.draw_latent(random, 4, 8, 16),
        random.random((3, 8, 1, 1, 1), dtype=np.float32),
    )
    result |= {f"loss wgan {k}": v for k, v in losses_of(wgan, [batch] * STEPS).items()}

    # 52 and 60 are no multiples of 8: padding and cropping take part.
    options = CYCLEGAN | {"use_skip_connection": True, "pool_size": 3}
    gan = cyclegan.build_cyclegan(4, (52, 60, 1), seed=3, **options)
    gan.set_up(RATE, 0.5)
    image = noise(random, 2, 52, 60, 1)
    for name in ("gen_a", "gen_b", "disc_a", "disc_b"):
        result[f"cyclegan {name}"] = lean_networks.predict(getattr(gan, name), image)
    tiles = noise(random, 2, 52, 60, 1), noise(random, 2, 52, 60, 1)
    batches = [
        (*tiles, *image_pool.draw_pool_choices(random, 3, 2, 2 * step)) for step in range(STEPS)
    ]
    result |= {f"loss cyclegan {k}": v for k, v in losses_of(gan, batches).items()}
    gan = cyclegan.build_cyclegan(4, (52, 60, 1), seed=3, **options, use_resize_convolution=True)
    result["cyclegan by resizing"] = lean_networks.predict(gan.gen_b, image)

    unet = multires_unet.build_unet(4, particle_weight=3.0, seed=3)
    unet.set_up(RATE)
    result["unet of masks"] = lean_networks.predict(unet.network, image)
    masks = (noise(random, 2, 52, 60, 1) > 0.7).astype(np.float32)
    losses = losses_of(unet, [(np.abs(image), masks)] * STEPS)
    result |= {f"loss unet of masks {name}": losses[name] for name in ("loss", "mae")}
    weights = {"particle_weight": 3.0, "gap_weight": 10.0}
    unet = multires_unet.build_unet(4, **weights, seed=3, with_centrality=True)
    unet.set_up(RATE)
    result["unet"] = lean_networks.predict(unet.network, image)
    target = np.abs(noise(random, 2, 52, 60, 3))
    target[..., 0] = target[..., 0] > 0.7
    batch = np.abs(noise(random, 2, 52, 60, 1)), target
    losses = losses_of(unet, [batch] * STEPS)
    result |= {f"loss unet {name}": losses[name] for name in ("loss", "mae")}
    np.savez(sys.argv[1], **result)


if __name__ == "__main__":
    main()
