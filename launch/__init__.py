"""Programs. Run from the repository's root: `python -m launch.search`."""

import os
import sys

SETTINGS = {
    # XLA:CPU logs two false errors for each program it reads from the compilation cache ("Target machine feature
    # +prefer-no-gather is not supported"). What really fails still raises.
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # Data are arguments of the programs that close over them (see `jaxnas.configure`).
    "JAX_USE_SIMPLIFIED_JAXPR_CONSTANTS": "true",
}
"""Of the environment, which JAX reads where it is imported."""
LATE = "jax" in sys.modules and "JAX_USE_SIMPLIFIED_JAXPR_CONSTANTS" not in os.environ
"""Whether it was before this: where the wheel is installed, as `jaxnas` itself imports it."""

for _name, _value in SETTINGS.items():
    os.environ.setdefault(_name, _value)
