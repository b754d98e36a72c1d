"""What every test runs under: eight CPU devices, programs compiled without optimizations, and kept between runs.

Most of the suite's time goes into compiling. The compilation cache is pytest's, so `--cache-clear` empties it. JAX
reads what was compiled of the same program by the same version and options, and compiles what is absent or damaged.
"""

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # as in `launch`: before JAX, which sets it for what tests start too

import jax
import pytest

from tests.support.costs import Costs

if "xla_backend_optimization_level" not in os.environ.get("XLA_FLAGS", ""):  # the programs that tests start inherit it
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_backend_optimization_level=0"
if jax.__version_info__[:2] == (0, 10) and "xla_cpu_use_fusion_emitters" not in os.environ["XLA_FLAGS"]:
    # Small programs compile faster without; other versions may not know the flag, and end.
    os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"
if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    jax.config.update("jax_num_cpu_devices", 8)
CACHE = {
    "JAX_COMPILATION_CACHE_DIR": pathlib.Path(__file__).parents[1] / ".pytest_cache" / "d" / "xla",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": 0,
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": -1,
}
for name, value in CACHE.items():
    if name not in os.environ:
        os.environ[name] = str(value)  # for the processes that tests start
        jax.config.update(name.lower(), str(value) if isinstance(value, pathlib.Path) else value)


def pytest_addoption(parser):
    parser.addoption("--costs", help="Folder for where the seconds go; see tests/support/costs.py.")


def pytest_configure(config):
    if config.getoption("--costs") and (os.environ.get("PYTEST_XDIST_WORKER") or not config.getoption("-n")):
        config.pluginmanager.register(Costs(config.getoption("--costs")))


@pytest.fixture(scope="module")
def one_device():
    """What is not told its devices takes one, and not all eight, whose programs take longer to compile."""
    devices = jax.devices
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "devices", lambda *backend: devices(*backend)[:1])
        yield


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """The folder of published data beside the repository."""
    path = pathlib.Path(__file__).parents[1] / "../shared/data"
    if not path.is_dir():
        pytest.skip("no folder shared/data beside the repository")
    return path.resolve()


LONG = (
    "test_every_strategy",
    "test_readme",
    "test_multihost",
    "test_darts_network",
    "test_compare",
    "test_mobilenet_network",
    "test_x64",
    "test_latency_cost",
)
"""Files that take longest, in this order: begun last, one would leave the other process idle."""


def pytest_collection_modifyitems(items):
    place = {name: i for i, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))  # stable
