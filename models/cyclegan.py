"""A CycleGAN that translates between electron micrographs (domain A) and masks (domain B).

Source: Zhu et al., arXiv 1703.10593 (losses, section 3; image pool and schedule, section 4), with
the options of Ruehle et al. (2021). Images are (height, width, 1), float32 in [-1, 1]; masks are
1 inside particles, -1 outside, or in [0, 1] where binary cross-entropy is used.

Names: ``gen_a`` draws masks from micrographs, ``gen_b`` micrographs from masks; ``disc_a`` judges
micrographs, ``disc_b`` masks. Losses ``g_*_a`` are on what ``gen_a`` puts out, the masks;
``d_*_a`` belong to ``disc_a``.
"""

import keras
from keras import ops

from models import backend
from models.cyclegan_networks import build_discriminator, build_generator
from models.fast.lean_networks import run_through
from models.fast.optimizers import Adam
from models.fast.side_by_side import side_by_side
from models.image_pool import ImagePool
from models.initial_weights import initialise_weights
from models.losses import crossentropy

OTHER = {"a": "b", "b": "a"}
# Where in lambda_cycle and lambda_identity, (micrographs, masks), is what a generator draws.
DOMAIN_DRAWN = {"a": 1, "b": 0}


class CycleGan(keras.Model):
    """Two generators, two discriminators, their optimisers and image pools; the training step.

    Parameters
    ----------
    generators, discriminators : (``gen_a``, ``gen_b``) and (``disc_a``, ``disc_b``).
    image_shape : (height, width, 1) of a training tile.
    pool_size : earlier fakes that each pool keeps, at least as many as a batch has; 0 for no pools.
    lambda_cycle : weights of the cycle losses, (micrographs, masks).
    lambda_identity : weights of the identity losses, likewise, times those; zeros for none.
    label_smoothing_factor : s in 0 <= s < 1: the targets are 1 - s / 2 and s / 2.
    use_binary_crossentropy : in place of the absolute distance of masks, which are then in [0, 1].

    Raises
    ------
    ValueError
        With binary cross-entropy and identity losses: a micrograph is no probability.
    """

    def __init__(
        self,
        generators,
        discriminators,
        *,
        image_shape,
        pool_size,
        lambda_cycle,
        lambda_identity,
        label_smoothing_factor,
        use_binary_crossentropy,
    ):
        super().__init__()
        if use_binary_crossentropy and any(lambda_identity):
            raise ValueError(
                f"use_binary_crossentropy = True cannot go with lambda_identity = "
                f"{lambda_identity}: set lambda_identity = (0.0, 0.0), or "
                "use_binary_crossentropy = False."
            )
        self.gen_a, self.gen_b = generators
        self.disc_a, self.disc_b = discriminators
        self.lambda_cycle = tuple(lambda_cycle)
        self.lambda_identity = tuple(lambda_identity)
        self.real_target = 1.0 - label_smoothing_factor / 2.0
        self.fake_target = label_smoothing_factor / 2.0
        self.use_binary_crossentropy = use_binary_crossentropy
        self.pool_size = pool_size
        if pool_size:
            self.pool_a = ImagePool(pool_size, image_shape)
            self.pool_b = ImagePool(pool_size, image_shape)
        self.built = True

    def set_up(self, learning_rate, beta_1):
        """Make the four Adam optimisers, with their state, so that a checkpoint can fill it."""
        for name in ("gen_a", "gen_b", "disc_a", "disc_b"):
            optimizer = Adam(learning_rate, beta_1=beta_1)
            optimizer.build(getattr(self, name).trainable_variables)
            setattr(self, f"{name}_optimizer", optimizer)

    def optimizers(self):
        """Return the four optimisers, for the learning rate schedule."""
        return [getattr(self, f"{n}_optimizer") for n in ("gen_a", "gen_b", "disc_a", "disc_b")]

    def train_step(self, batch):
        """Update both generators on their joint loss, then both discriminators.

        ``batch`` is (micrographs (b, h, w, 1), masks (b, h, w, 1), slots, take_old, store_new);
        the last three are (2, b), for the pools of A and B (see ``image_pool.draw_pool_choices``).
        """
        real_a, real_b, slots, take_old, store_new = batch
        gen_a, gen_b = self.gen_a.trainable_variables, self.gen_b.trainable_variables

        def one_way(name, real, other):
            """Return the loss and gradients of the way from ``real`` and back."""
            return backend.value_and_gradients(
                lambda: self._cycle_loss(name, real, other), gen_a + gen_b
            )

        # The joint loss is the sum of two that share nothing but the weights.
        ((_, (losses, fake_b)), of_a), ((_, (others, fake_a)), of_b) = side_by_side(
            lambda: one_way("a", real_a, real_b), lambda: one_way("b", real_b, real_a)
        )
        gradients = [x + y for x, y in zip(of_a, of_b, strict=True)]
        self.gen_a_optimizer.apply(gradients[: len(gen_a)], gen_a)
        self.gen_b_optimizer.apply(gradients[len(gen_a) :], gen_b)
        losses = self._sorted_generator_losses(losses | others)

        if self.pool_size:
            fake_a = self.pool_a.query(fake_a, slots[0], take_old[0], store_new[0])
            fake_b = self.pool_b.query(fake_b, slots[1], take_old[1], store_new[1])
        for updated in side_by_side(
            lambda: self._update_discriminator("a", real_a, fake_a),
            lambda: self._update_discriminator("b", real_b, fake_b),
        ):
            losses.update(updated)
        return losses

    def _cycle_loss(self, name, real, other):
        """Return the generators' loss of the way from real images to the other domain and back.

        ``name`` is that of the generator that draws the fakes from ``real``, (b, h, w, 1); the
        real images of the domain it draws are ``other``. With the loss come its parts and the
        fakes.
        """
        size = real.shape[0]
        back = OTHER[name]
        there_network, back_network = (getattr(self, f"gen_{x}") for x in (name, back))
        # One pass for translation and identity: larger batches, and the instance norm keeps
        # every image to itself.
        has_identity = any(self.lambda_identity)
        shown = ops.concatenate([real, other], axis=0) if has_identity else real
        drawn = run_through(there_network, shown, training=True)
        fake = drawn[:size]
        again = run_through(back_network, fake, training=True)
        scores = run_through(getattr(self, f"disc_{back}"), fake, training=True)

        adversarial = _squared_distance(scores, self.real_target)
        cycle = self._weighted_distance(back, real, again)
        identity = adversarial * 0.0
        if has_identity:
            identity = self._weighted_distance(name, other, drawn[size:])
            identity = identity * self.lambda_identity[DOMAIN_DRAWN[name]]
        values = {f"g_adv_{name}": adversarial, f"g_cyc_{back}": cycle, f"g_id_{name}": identity}
        losses = {key: backend.stop_gradient(value) for key, value in values.items()}
        return adversarial + cycle + identity, (losses, backend.stop_gradient(fake))

    @staticmethod
    def _sorted_generator_losses(parts):
        """Return the parts of both generators' losses, their sums first."""
        kinds = ("adv", "cyc", "id")
        sums = {f"g_{name}": sum(parts[f"g_{kind}_{name}"] for kind in kinds) for name in "ab"}
        names = [f"g_{kind}_{name}" for kind in kinds for name in "ab"]
        return sums | {name: parts[name] for name in names}

    def _weighted_distance(self, name, expected, drawn):
        """Return how far what generator ``name`` drew is off, times its domain's lambda_cycle."""
        if name == "a" and self.use_binary_crossentropy:
            distance = ops.mean(crossentropy(expected, drawn))
        else:
            distance = ops.mean(ops.absolute(expected - drawn))
        return distance * self.lambda_cycle[DOMAIN_DRAWN[name]]

    def _update_discriminator(self, side, real, fake):
        disc = self.disc_a if side == "a" else self.disc_b

        def discriminator_loss():
            scores = run_through(disc, ops.concatenate([real, fake], axis=0), training=True)
            on_real = _squared_distance(scores[: real.shape[0]], self.real_target)
            on_fake = _squared_distance(scores[real.shape[0] :], self.fake_target)
            return (on_real + on_fake) * 0.5, (on_real, on_fake)

        variables = disc.trainable_variables
        (loss, (on_real, on_fake)), gradients = backend.value_and_gradients(
            discriminator_loss, variables
        )
        optimizer = self.disc_a_optimizer if side == "a" else self.disc_b_optimizer
        optimizer.apply(gradients, variables)
        values = {f"d_{side}": loss, f"d_real_{side}": on_real, f"d_fake_{side}": on_fake}
        return {name: backend.stop_gradient(value) for name, value in values.items()}


def _squared_distance(scores, target):
    return ops.mean(ops.square(scores - target))


def build_cyclegan(
    filters,
    image_shape,
    *,
    seed=0,
    use_skip_connection=False,
    use_resize_convolution=False,
    use_binary_crossentropy=False,
    gaussian_noise_value=0.0,
    **options,
):
    """Return a CycleGan with initial weights that follow from ``seed``.

    ``filters`` of the generators; the discriminators begin with twice as many, and add noise of the
    standard deviation ``gaussian_noise_value`` to what they are shown. ``image_shape`` and
    ``options`` go to `CycleGan`.
    """
    generators = [
        build_generator(
            filters,
            use_skip_connection=use_skip_connection,
            use_resize_convolution=use_resize_convolution,
            output_activation="sigmoid" if to_mask and use_binary_crossentropy else "tanh",
            name="image_to_mask" if to_mask else "mask_to_image",
        )
        for to_mask in (True, False)
    ]
    discriminators = [
        build_discriminator(2 * filters, gaussian_noise_value, seed=seed, name=f"disc_{s}")
        for s in "ab"
    ]
    for stream, network in enumerate(generators + discriminators):
        initialise_weights(network, seed, stream=10 + stream)
    return CycleGan(
        generators,
        discriminators,
        image_shape=image_shape,
        use_binary_crossentropy=use_binary_crossentropy,
        **options,
    )
