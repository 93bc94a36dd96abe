"""Adam as Keras has it, in one pass over the memory: one operation a variable, or for all."""

import keras

from models import backend

# Adam's corrections for its first steps, 1 - beta ** steps, are 1 after so many.
LATE = 1e9


def _keep_as_cudnn_wants(variable):
    """Keep a convolution's kernel on a GPU in the order in memory in which cuDNN computes.

    Else it, and its gradient, would be copied in each pass. Its shape stays (h, w, in, out).
    """
    value = variable.value
    if value.is_cuda and value.ndim == 4:
        value.data = value.permute(3, 0, 1, 2).contiguous().permute(1, 2, 3, 0)


def _in_order_of(value, gradient):
    """Return a gradient with its numbers in the order in memory that the value's have."""
    if gradient.stride() == value.stride():
        return gradient
    return backend.torch.empty_like(value).copy_(gradient)


class Adam(keras.optimizers.Adam):
    """Adam, without ``amsgrad``, which no network here asks for.

    Source: Kingma and Ba, ICLR 2015, in the form before its section 2.1, as in Keras.
    """

    if backend.BACKEND == "tensorflow":

        def _backend_update_step(self, grads, trainable_variables, learning_rate):
            """Update each variable by TensorFlow's kernel.

            Of Keras's operations the graph of a training step is half as large again, and takes
            half as long again to make.
            """
            step = backend.tf.cast(self.iterations.value + 1, "float32")
            numbers = {
                "beta1_power": self.beta_1**step,
                "beta2_power": self.beta_2**step,
                "lr": learning_rate,
                "beta1": self.beta_1,
                "beta2": self.beta_2,
                "epsilon": self.epsilon,
            }
            numbers = {name: backend.tf.convert_to_tensor(x) for name, x in numbers.items()}
            for gradient, variable in zip(grads, trainable_variables, strict=True):
                place = self._get_variable_index(variable)
                backend.tf.raw_ops.ResourceApplyAdam(
                    var=variable.value.handle,
                    m=self._momentums[place].value.handle,
                    v=self._velocities[place].value.handle,
                    grad=gradient,
                    **numbers,
                )

    if backend.BACKEND == "torch":

        def build(self, variables):
            """Make the state."""
            super().build(variables)
            for group in (variables, self._momentums, self._velocities):
                for variable in group:
                    _keep_as_cudnn_wants(variable)
            # Keras makes a tensor of the 1 that it adds after each step, and a GPU is waited for.
            self._iterations.assign_add = lambda number: self._iterations.value.add_(number)

        @backend.torch.no_grad()
        def _backend_update_step(self, grads, trainable_variables, learning_rate):
            """Update all variables by PyTorch's fused kernel.

            That adds epsilon after the corrections for the first steps, Keras before: so they are
            put into the rate here, and the kernel is told that it is late.
            """
            step = (self.iterations.value + 1).float()
            corrections = (1 - self.beta_2**step).sqrt() / (1 - self.beta_1**step)
            places = [self._get_variable_index(variable) for variable in trainable_variables]
            values = [variable.value for variable in trainable_variables]
            backend.torch._fused_adam_(
                values,
                [_in_order_of(value, x) for value, x in zip(values, grads, strict=True)],
                [self._momentums[place].value for place in places],
                [self._velocities[place].value for place in places],
                [],
                [step.new_full((), LATE)] * len(places),
                amsgrad=False,
                beta1=self.beta_1,
                beta2=self.beta_2,
                lr=learning_rate.value * corrections,
                weight_decay=0.0,  # applied before, as Keras does
                eps=self.epsilon,
                maximize=False,
            )

        @backend.torch.no_grad()
        def _apply_weight_decay(self, variables):
            """Shrink the weights: of Keras's numbers a tensor is made, and a GPU is waited for."""
            if self.weight_decay is not None:
                kept = 1.0 - self._learning_rate.value * self.weight_decay
                values = [one.value for one in variables if self._use_weight_decay(one)]
                backend.torch._foreach_mul_(values, kept)
