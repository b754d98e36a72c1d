"""Programs. Run from the repository's root: `python -m launch.search`."""

import os

# Before JAX is imported: XLA:CPU logs two false errors for each program it reads from the compilation cache
# ("Target machine feature +prefer-no-gather is not supported"). What really fails still raises.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Data are arguments of the programs that close over them (see `jaxnas.configure`): JAX reads this where it is imported.
os.environ.setdefault("JAX_USE_SIMPLIFIED_JAXPR_CONSTANTS", "true")
