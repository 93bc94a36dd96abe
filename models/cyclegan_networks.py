"""The networks of the CycleGAN: a ResNet generator and a PatchGAN discriminator.

Sources: Zhu et al., arXiv 1703.10593 (appendix 7.2); Isola et al., arXiv 1611.07004 (PatchGAN);
shapes and defaults after Ruehle et al. (2021).
"""

import keras

from models import layers
from models.initial_weights import seed_of_layer
from models.layers import Conv2D, InstanceNormalization, ReflectionPadding2D


def _normalise_and_rectify(x):
    return keras.layers.ReLU()(InstanceNormalization()(x))


def _residual_block(x, filters):
    y = x
    for number in range(2):
        y = ReflectionPadding2D(1)(y)
        y = InstanceNormalization()(Conv2D(filters, 3, use_bias=False)(y))
        if number == 0:
            y = keras.layers.ReLU()(y)
    return layers.Sum()(x, y)


def _upsample(x, filters, use_resize_convolution):
    if use_resize_convolution:
        x = layers.ResizeConv2D(filters, 3, edge="mirrored", use_bias=False)(x)
    else:
        x = layers.Conv2DTranspose(filters, 3, strides=2, padding="same", use_bias=False)(x)
    return _normalise_and_rectify(x)


def build_generator(
    filters,
    use_skip_connection=False,
    use_resize_convolution=False,
    output_activation="tanh",
    residual_blocks=9,
    name="generator",
):
    """Return the ResNet generator, image (h, w, 1) -> image (h, w, 1) of any size from 9 x 9.

    Parameters
    ----------
    filters : of the first convolution; doubled three times on the way down.
    use_skip_connection : lead the input around the network to its last convolution.
    use_resize_convolution : upsample and convolve instead of the transposed convolution.
    output_activation : "tanh" for [-1, 1], "sigmoid" for [0, 1].
    """
    image = keras.Input((None, None, 1))
    padded = layers.PadToMultiple(8)(image)
    x = ReflectionPadding2D(3)(padded)
    x = _normalise_and_rectify(Conv2D(filters, 7, use_bias=False)(x))  # (b, h, w, filters)
    for factor in (2, 4, 8):
        x = Conv2D(factor * filters, 3, strides=2, padding="same", use_bias=False)(x)
        x = _normalise_and_rectify(x)  # (b, h / factor, w / factor, factor * filters)
    for _ in range(residual_blocks):
        x = _residual_block(x, 8 * filters)
    for factor in (4, 2, 1):
        x = _upsample(x, factor * filters, use_resize_convolution)
    x = ReflectionPadding2D(3)(x)
    x = Conv2D(1, 7, dtype="float32")(x)  # (b, h, w, 1)
    if use_skip_connection:
        single = _normalise_and_rectify(Conv2D(filters, 1, use_bias=False)(padded))
        near = Conv2D(filters, 3, use_bias=False)(ReflectionPadding2D(1)(padded))
        around = layers.Sum()(single, _normalise_and_rectify(near))
        x = layers.Concatenation(dtype="float32")(x, _normalise_and_rectify(around))
        x = Conv2D(1, 1, use_bias=False, dtype="float32")(x)
    x = keras.layers.Activation(output_activation, dtype="float32")(x)
    return keras.Model(image, layers.CropLike(dtype="float32")(x, image), name=name)


def build_discriminator(filters, gaussian_noise_value=0.0, seed=None, name="discriminator"):
    """Return the PatchGAN, image (h, w, 1) -> one score for each overlapping patch (h', w', 1).

    Images are of 46 x 46 pixels at least. ``filters`` of the first convolution;
    ``gaussian_noise_value`` the standard deviation of the noise added before each convolution while
    training.
    """
    image = keras.Input((None, None, 1))

    def add_noise(x, number):
        if not gaussian_noise_value:
            return x
        return layers.GaussianNoise(gaussian_noise_value, seed=seed_of_layer(seed, name, number))(x)

    x = Conv2D(filters, 4, strides=2)(add_noise(image, 0))
    x = layers.LeakyReLU(0.2)(x)  # (b, h / 2 - 1, w / 2 - 1, filters)
    for number, factor in enumerate((2, 4), start=1):
        x = Conv2D(factor * filters, 4, strides=2, use_bias=False)(add_noise(x, number))
        x = layers.LeakyReLU(0.2)(InstanceNormalization()(x))
    score = Conv2D(1, 4, dtype="float32")(add_noise(x, 3))
    return keras.Model(image, score, name=name)
