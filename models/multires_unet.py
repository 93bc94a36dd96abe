"""The MultiRes UNet that segments micrographs, its weighted loss, and its training step.

Source: Ibtehaz and Rahman, "MultiResUNet", Neural Networks 121 (2020), arXiv 1902.04049: MultiRes
block figure 3, ResPath figure 4; widths after Ruehle et al. (2021).
Images are (height, width, channels) in [0, 1]; the output is each pixel's probability.
"""

import keras
from keras import ops

from models import backend, layers
from models.fast.lean_networks import run_through
from models.fast.optimizers import Adam
from models.initial_weights import initialise_weights
from models.losses import crossentropy

ALPHA = 1.67  # width of a MultiRes block in units of its UNet's filters


def _convolution(x, filters, kernel_size, activation="relu"):
    x = layers.Conv2D(filters, kernel_size, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(scale=False)(x)
    return x if activation is None else keras.layers.Activation(activation)(x)


def _add_and_normalise(x, y):
    x = keras.layers.ReLU()(layers.Sum()(x, y))
    return layers.BatchNormalization()(x)


def _multires_block(x, units):
    width = ALPHA * units
    filters = [int(width * share) for share in (0.167, 0.333, 0.5)]
    shortcut = _convolution(x, sum(filters), 1, activation=None)
    parts = []
    for count in filters:
        x = _convolution(x, count, 3)
        parts.append(x)
    x = layers.BatchNormalization()(layers.Concatenation()(*parts))
    return _add_and_normalise(x, shortcut)  # (b, h, w, sum(filters))


def _res_path(x, filters, length):
    for _ in range(length):
        shortcut = _convolution(x, filters, 1, activation=None)
        x = _add_and_normalise(_convolution(x, filters, 3), shortcut)
    return x  # (b, h, w, filters)


def build_multires_unet(
    filters, input_channels=1, output_channels=1, with_centrality=False, levels=4
):
    """Return the network image (h, w, input_channels) -> probabilities (h, w, output_channels).

    ``filters`` of the first block, from 4. Any height and width from 2 ** ``levels``; the published
    network has four, which is the most.
    One output channel is the particles' probability (sigmoid), more are classes (softmax).
    ``with_centrality`` adds a channel to the one: how central a pixel is in its particle, 0 to 1.
    """
    image = keras.Input((None, None, input_channels))
    x = layers.PadToMultiple(2**levels)(image)
    skips = []
    for level in range(levels):
        units = filters * 2**level
        x = _multires_block(x, units)
        skips.append(_res_path(x, units, levels - level))
        x = layers.MaxPooling2D(2)(x)  # (b, h / 2^(level + 1), w / 2^(level + 1), ...)
    x = _multires_block(x, filters * 2**levels)
    # The first three widths do not scale with `filters`: so it is in the published network.
    widths = (filters, 64, 128, 256)[:levels]
    for level, units in reversed(list(enumerate(widths))):
        x = layers.Conv2DTranspose(filters * 2**level, 2, strides=2, padding="same")(x)
        x = _multires_block(layers.Concatenation()(x, skips[level]), units)
    x = layers.CropLike()(x, image)
    if output_channels == 1:
        features = x
        x = layers.Conv2D(1, 1, use_bias=False, dtype="float32")(x)
        x = layers.BatchNormalization(scale=False, dtype="float32")(x)
        x = keras.layers.Activation("sigmoid", dtype="float32")(x)
        if with_centrality:
            central = layers.Conv2D(1, 1, dtype="float32")(features)
            central = keras.layers.Activation("sigmoid", dtype="float32")(central)
            x = layers.Concatenation(dtype="float32")(x, central)
    else:
        x = layers.Conv2D(output_channels, 1, dtype="float32")(x)
        x = keras.layers.Activation("softmax", dtype="float32")(x)
    return keras.Model(image, x, name="multires_unet")


def weighted_crossentropy(mask, probability, particle_weight, pixel_weights=1.0):
    """Return the mean binary cross-entropy, particle pixels counting ``particle_weight`` times.

    ``mask`` 0 or 1 and ``probability`` in [0, 1], both (b, h, w, 1); each pixel counts by
    ``pixel_weights``, (b, h, w, 1), besides.
    """
    weights = (1.0 + (particle_weight - 1.0) * mask) * pixel_weights
    return ops.mean(crossentropy(mask, probability) * weights)


class UNet(keras.Model):
    """The network, its optimiser, and the training and validation steps.

    In the loss a particle's pixel counts ``particle_weight`` times, and ``gap_weight`` times more
    at most where particles are close to each other.
    """

    def __init__(self, network, particle_weight=1.0, gap_weight=0.0):
        super().__init__()
        self.network = network
        self.particle_weight = float(particle_weight)
        self.gap_weight = float(gap_weight)
        self.built = True

    def set_up(self, learning_rate, weight_decay=None):
        """Make the Adam optimiser, with its state, so that a checkpoint can fill it."""
        self.adam = Adam(learning_rate, weight_decay=weight_decay)
        self.adam.build(self.network.trainable_variables)

    def train_step(self, batch):
        """Update the network on (images (b, h, w, 1), targets); return loss, mae and acc.

        The targets' channels, (b, h, w, 1 to 3), are the mask, the centrality if the network gives
        it, and, with a ``gap_weight``, how close particles are to each other there, 0 to 1.
        """
        image, target = batch

        def loss_and_metrics():
            output = run_through(self.network, image, training=True)
            metrics = self._pixel_metrics(target, backend.stop_gradient(output))
            return self._loss(target, output), metrics

        variables = self.network.trainable_variables
        (loss, metrics), gradients = backend.value_and_gradients(loss_and_metrics, variables)
        self.adam.apply(gradients, variables)
        return {"loss": backend.stop_gradient(loss), **metrics}

    def validation_step(self, batch):
        """Return val_loss, val_mae and val_acc of (images, targets)."""
        image, target = batch
        with backend.without_gradients():
            output = run_through(self.network, image, training=False)
            loss = self._loss(target, output)
            metrics = self._pixel_metrics(target, output)
        return {f"val_{name}": value for name, value in {"loss": loss, **metrics}.items()}

    def _loss(self, target, output):
        mask, probability = target[..., :1], output[..., :1]
        weights = 1.0 + self.gap_weight * target[..., -1:] if self.gap_weight else 1.0
        loss = weighted_crossentropy(mask, probability, self.particle_weight, weights)
        if output.shape[-1] == 1:
            return loss
        # Cross-entropy for the centrality too: it is least at the target, though not 0 there.
        return loss + weighted_crossentropy(target[..., 1:2], output[..., 1:], 1.0, weights)

    @staticmethod
    def _pixel_metrics(target, output):
        mask, probability = target[..., :1], output[..., :1]
        right = ops.equal(probability > 0.5, mask > 0.5)
        return {
            "mae": ops.mean(ops.absolute(mask - probability)),
            "acc": ops.mean(ops.cast(right, "float32")),
        }


def build_unet(
    filters,
    particle_weight=1.0,
    seed=0,
    batch_norm_momentum=0.99,
    with_centrality=False,
    gap_weight=0.0,
):
    """Return a UNet for grey images with initial weights that follow from ``seed``.

    ``with_centrality`` : see ``build_multires_unet``; ``particle_weight``, ``gap_weight`` : see
    ``UNet``.
    ``batch_norm_momentum`` : of the averages that inference normalises with. They look back about
    1 / (1 - momentum) steps; a short training needs a smaller one, or they still hold the start.
    """
    network = build_multires_unet(filters, with_centrality=with_centrality)
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = batch_norm_momentum
    initialise_weights(network, seed, stream=20)
    return UNet(network, particle_weight, gap_weight)
