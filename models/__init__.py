"""The networks, in Keras 3, each with its losses and one training step for both backends."""
