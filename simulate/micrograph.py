"""What a scanning electron microscope makes of piled particles: emission, substrate, exposure."""

import cv2
import numpy as np


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Return a Gaussian blur of a float image; sigma in pixels."""
    return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> np.ndarray:
    """Return noise of mean 0, standard deviation 1 and a correlation length of sigma pixels."""
    noise = blur(rng.standard_normal(shape), sigma)
    return (noise - noise.mean()) / noise.std()


def make_emission(rng: np.random.Generator, height: np.ndarray, edge_effect: float) -> np.ndarray:
    """Return the secondary electrons a particle emits, about 1 on a flat top.

    More leave where the surface is steep (1 / cosine of its tilt: the bright edges) and where
    it bends away (ridges between facets); the detector stands up left.

    Parameters
    ----------
    rng : source of the grain and of the particle's own brightness.
    height : float64 (height, width), pixels above the particle's base, 0 outside.
    edge_effect : brightness of steep edges, 1 for the usual.

    Source: L. Reimer, Scanning Electron Microscopy (1998), chapter 4.
    """
    slope_y, slope_x = np.gradient(blur(height, 0.8))
    tilt = np.sqrt(1 + slope_y**2 + slope_x**2)
    ridges = np.clip(-cv2.Laplacian(blur(height, 1.0), cv2.CV_64F), 0, 1)
    lit = (0.8 * slope_y + 0.6 * slope_x) / tilt
    grain = 0.05 * smooth_noise(rng, height.shape, 1.6)
    edges = 0.55 * (np.minimum(tilt, 2.8) - 1) + 0.35 * ridges
    return (0.82 + edge_effect * edges + 0.16 * lit + grain) * np.exp(rng.normal(0, 0.17))


def contact_shadow(above: np.ndarray) -> np.ndarray:
    """Return the share of electrons (0 to 1) that escape beside a particle lying above (bool).

    The particle's flank catches those that start within a few pixels of it.
    """
    distance = cv2.distanceTransform((~above).astype(np.uint8), cv2.DIST_L2, 5)
    return 1 - 0.6 * np.exp(-np.maximum(distance - 1, 0) / 1.7)


def make_substrate(rng: np.random.Generator, shape: tuple[int, int], texture: float) -> np.ndarray:
    """Return an uneven substrate of mean about 1: stains, grain, curled faint lines, specks."""
    stains = smooth_noise(rng, shape, 45) + 0.6 * smooth_noise(rng, shape, 14)
    grain = smooth_noise(rng, shape, 2.2)
    # Contour lines of a smooth field, shown in some places: wrinkles and cracks of the film.
    field = smooth_noise(rng, shape, 9)
    steepness = np.hypot(*np.gradient(field)) + 0.02
    lines = np.exp(-((field / steepness / 0.9) ** 2))
    lines *= np.clip(smooth_noise(rng, shape, 20) - 0.3, 0, 1.5)
    specks = np.clip(smooth_noise(rng, shape, 1.5) - 3.3, 0, 1)
    return 1 + texture * (0.11 * stains + 0.07 * grain + 0.45 * lines + 1.2 * specks)


def expose(
    rng: np.random.Generator,
    surface: np.ndarray,
    emission: np.ndarray,
    *,
    background: float,
    texture: float,
    gradient: float,
    defocus: float,
    dose: float,
) -> np.ndarray:
    """Return the micrograph (float64, 0 to 1) of piled particles on a substrate.

    Parameters
    ----------
    rng : source of the substrate, the direction of the gradient and the noise.
    surface, emission : see `simulate.particle_pile.pile_up`.
    background : brightness of the substrate, as a share of a particle's.
    texture : contrast of the substrate, 1 for the usual.
    gradient : change of the background across the image, as a share of it.
    defocus : sigma of the beam, in pixels.
    dose : detected electrons per pixel at brightness 1; the noise is 1 / sqrt(dose).
    """
    shape = surface.shape
    particles = emission > 0
    signal = np.where(particles, emission, background * make_substrate(rng, shape, texture))
    # Fewer electrons get out of a crevice between, and from under, higher neighbours.
    near, far = (np.clip(blur(surface, sigma) - surface, 0, None) for sigma in (2.5, 9.0))
    signal *= 0.2 + 0.8 * np.exp(-0.25 * near - 0.13 * far)
    # Electrons scattered out of the particles make their surroundings glow.
    signal += 0.10 * blur(particles.astype(float), 18)
    direction = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    ramp = gradient * (np.sin(direction) * y + np.cos(direction) * x) / 2
    signal = blur(signal, defocus) * (1 + 0.4 * ramp) + background * ramp
    signal = np.clip(signal, 0.01, None)
    # Shot noise in its normal limit: unlike Poisson numbers these use up the random stream
    # at a fixed rate, so that a rounding difference in one pixel stays in that pixel.
    shot = np.sqrt(signal / dose) * rng.standard_normal(shape)
    amplifier = 0.012 * rng.standard_normal(shape) + 0.006 * rng.standard_normal((shape[0], 1))
    return np.clip(0.03 + 0.52 * blur(signal + shot, 0.45) + amplifier, 0, 1)
