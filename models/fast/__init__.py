"""What makes the networks fast: behind the names of ``layers.py`` and ``backend.py``.

Each fast path has a test against the plain Keras layer or optimiser it stands for.
"""
