"""Settings for all tests, made before any library is imported."""

import os

# With one thread torch repeats itself to the last bit, which tests of resuming ask for; with more,
# sums may differ in their last bits from run to run.
os.environ.setdefault("OMP_NUM_THREADS", "1")
