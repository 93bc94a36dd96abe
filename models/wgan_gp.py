"""A Wasserstein GAN with gradient penalty that learns to draw the outlines of particles.

Sources: Arjovsky et al., arXiv 1701.07875 (Wasserstein GAN); Gulrajani et al., arXiv 1704.00028
(gradient penalty, algorithm 1); network shapes after Ruehle et al. (2021).
Outlines are (height, width, 1), float32 in [-1, 1]: 1 particle, -1 background.
"""

import keras
import numpy as np
from keras import ops

from models import backend, layers
from models.fast.lean_networks import predict, run_through
from models.fast.optimizers import Adam
from models.initial_weights import initialise_weights, seed_of_layer

OUTLINES_AT_A_TIME = 64  # as fast as 256, in 0.7 GB less memory
EPSILON = 1e-12  # under the root of the gradient's norm, whose slope is infinite at zero


def build_generator(outline_shape, latent_size):
    """Return the network latent vector (latent_size,) -> outline (height, width, 1) in [-1, 1].

    ``outline_shape`` is (height, width) or (height, width, 1), multiples of 8.
    """
    height, width = outline_shape[0] // 8, outline_shape[1] // 8
    if (height * 8, width * 8) != tuple(outline_shape[:2]):
        raise ValueError(f"outline_shape is {tuple(outline_shape)}; use multiples of 8.")
    latent = keras.Input((latent_size,))
    x = keras.layers.Dense(height * width * 256, use_bias=False)(latent)
    x = layers.BatchNormalization()(x)
    x = layers.LeakyReLU(0.2)(x)
    x = keras.layers.Reshape((height, width, 256))(x)  # (batch, height / 8, width / 8, 256)
    for filters in (128, 64):
        x = layers.ResizeConv2D(filters, 3, use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.LeakyReLU(0.2)(x)
    x = layers.ResizeConv2D(1, 3, use_bias=False, dtype="float32")(x)
    x = layers.BatchNormalization(dtype="float32")(x)
    outline = keras.layers.Activation("tanh", dtype="float32")(x)  # (batch, height, width, 1)
    return keras.Model(latent, outline, name="generator")


def build_critic(outline_shape, dropout=True, seed=None):
    """Return the network outline (height, width, 1) -> score (1,), higher for real outlines.

    No normalisation, as the gradient penalty needs each outline's score to be its own.
    ``dropout`` False leaves the dropout layers out, for exact comparisons.
    """
    outline = keras.Input((*outline_shape[:2], 1))
    x = outline

    def drop(x, rate, number):
        return layers.Dropout(rate, seed=seed_of_layer(seed, "critic", number))(x) if dropout else x

    for number, filters in enumerate((64, 128, 256, 512)):
        x = layers.Conv2D(filters, 5, strides=2, padding="same")(x)
        x = layers.LeakyReLU(0.2)(x)
        if filters in (128, 256):
            x = drop(x, 0.3, number)
    x = drop(keras.layers.Flatten()(x), 0.2, 4)
    score = keras.layers.Dense(1, dtype="float32")(x)
    return keras.Model(outline, score, name="critic")


class WganGp(keras.Model):
    """Generator, critic, their optimisers, and the training step."""

    def __init__(self, generator, critic, gradient_penalty_weight):
        super().__init__()
        self.generator = generator
        self.critic = critic
        self.gradient_penalty_weight = gradient_penalty_weight
        self.built = True

    def set_up(self, learning_rate, beta_1, beta_2):
        """Make both Adam optimisers, with their state, so that a checkpoint can fill it."""
        self.generator_optimizer, self.critic_optimizer = (
            Adam(learning_rate, beta_1=beta_1, beta_2=beta_2) for _ in range(2)
        )
        self.generator_optimizer.build(self.generator.trainable_variables)
        self.critic_optimizer.build(self.critic.trainable_variables)

    def train_step(self, batch):
        """Update the critic once per set of latent vectors but the last, then the generator.

        ``batch`` is (real outlines (b, h, w, 1), latent (critic steps + 1, b, latent size),
        alpha (critic steps, b, 1, 1, 1) in [0, 1]). Returns the losses of the last critic update
        and of the generator.
        """
        real, latent, alpha = batch
        for step in range(alpha.shape[0]):
            losses = self._update_critic(real, latent[step], alpha[step])
        return {**losses, "g_loss": self._update_generator(latent[-1])}

    def _update_critic(self, real, latent, alpha):
        with backend.without_gradients():
            fake = backend.stop_gradient(run_through(self.generator, latent, training=True))

        def critic_loss():
            both = run_through(self.critic, ops.concatenate([real, fake], axis=0), training=True)
            score_real, score_fake = both[: real.shape[0]], both[real.shape[0] :]
            loss = ops.mean(score_fake) - ops.mean(score_real)
            penalty, norm = self._gradient_penalty(real, fake, alpha)
            total = loss + self.gradient_penalty_weight * penalty
            return total, (loss, penalty, norm)

        variables = self.critic.trainable_variables
        (total, (loss, penalty, norm)), gradients = backend.value_and_gradients(
            critic_loss, variables
        )
        self.critic_optimizer.apply(gradients, variables)
        names = ("d_loss", "d_total_loss", "grad_penalty", "grad_norm")
        values = (loss, total, penalty, norm)
        return {n: backend.stop_gradient(v) for n, v in zip(names, values, strict=True)}

    def _gradient_penalty(self, real, fake, alpha):
        between = real + alpha * (fake - real)
        gradient = backend.input_gradient(
            lambda x: run_through(self.critic, x, training=True), between
        )
        norm = ops.sqrt(ops.sum(ops.square(gradient), axis=(1, 2, 3)) + EPSILON)  # (batch,)
        return ops.mean(ops.square(norm - 1.0)), ops.mean(norm)

    def _update_generator(self, latent):
        def generator_loss():
            fake = run_through(self.generator, latent, training=True)
            return -ops.mean(run_through(self.critic, fake, training=True)), None

        variables = self.generator.trainable_variables
        (loss, _), gradients = backend.value_and_gradients(generator_loss, variables)
        self.generator_optimizer.apply(gradients, variables)
        return backend.stop_gradient(loss)


def build_wgan(outline_shape, latent_size, seed=0, *, gradient_penalty_weight, dropout=True):
    """Return a WganGp with initial weights that follow from ``seed``."""
    generator = build_generator(outline_shape, latent_size)
    critic = build_critic(outline_shape, dropout=dropout, seed=seed)
    initialise_weights(generator, seed, stream=1)
    initialise_weights(critic, seed, stream=2)
    return WganGp(generator, critic, gradient_penalty_weight)


def draw_latent(random, *shape):
    """Return standard normal latent vectors, float32."""
    return random.standard_normal(shape, dtype=np.float32)


def sample_outlines(generator, latent):
    """Return the outlines of latent vectors (n, latent size): uint8 (n, h, w), 0..255."""
    parts = [
        predict(generator, latent[start : start + OUTLINES_AT_A_TIME])
        for start in range(0, len(latent), OUTLINES_AT_A_TIME)
    ]
    outlines = np.concatenate(parts)[..., 0]
    return np.clip(np.rint((outlines + 1.0) * 127.5), 0, 255).astype(np.uint8)
