"""This machine: how JAX is to use it, and what it is, for files of results."""

import os
import pathlib
import platform
from typing import Any

import jax
from absl import logging

from jaxnas.execution import current
from jaxnas.version import __version__


def configure() -> None:
    """Process-wide settings of the programs: every CPU core a device, data no part of the compiled programs, and
    compiled programs kept between runs.

    Call it before anything else of JAX runs. Where the user has set any of them, that stays. That data are no part of
    programs needs `JAX_USE_SIMPLIFIED_JAXPR_CONSTANTS=true` besides, in the environment that JAX is imported in.
    """
    logging.set_verbosity(logging.WARNING)  # Orbax tells of every file it writes
    wanted = {
        # Faster to compile by over a quarter and no slower to run than XLA:CPU's default of 3.
        "xla_backend_optimization_level": 2,
        # Cores that are devices may take very different times for their shares: see `jaxnas.population`.
        "xla_cpu_collective_call_terminate_timeout_seconds": 2**31 - 1,
    }
    for flag, value in wanted.items():
        if flag not in os.environ.get("XLA_FLAGS", ""):
            os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + f" --{flag}={value}"
    forced = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if not forced and "JAX_NUM_CPU_DEVICES" not in os.environ:
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))
    # Data are arguments of the programs that close over them. Written into them, which is JAX's default, CIFAR-10 alone
    # takes XLA 11 s and a gigabyte to compile. Half of it JAX reads where it is imported: programs say it before.
    jax.config.update("jax_use_simplified_jaxpr_constants", True)
    if jax.config.jax_compilation_cache_dir is None:
        cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "jaxnas" / "xla"
        jax.config.update("jax_compilation_cache_dir", str(cache))


def environment() -> dict[str, Any]:
    """Versions, device and the platform that programs are traced for, for files of results."""
    device = jax.devices()[0]
    return {
        "versions": {"jaxnas": __version__, "jax": jax.__version__, "python": platform.python_version()},
        "device": {"platform": device.platform, "kind": device.device_kind, "count": jax.device_count()},
        "traced_for": current().platform,
    }
