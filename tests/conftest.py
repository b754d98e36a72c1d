"""Every test sees eight CPU devices, so that sharding over devices is tested on any machine."""

import os
import pathlib

import jax
import pytest

if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    jax.config.update("jax_num_cpu_devices", 8)


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """The folder of published data beside the repository."""
    path = pathlib.Path(__file__).parents[1] / "../shared/data"
    if not path.is_dir():
        pytest.skip("no folder shared/data beside the repository")
    return path.resolve()
