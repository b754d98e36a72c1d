"""What programs are traced for is said, and nothing asks what happens to be there."""

import ast
import pathlib

import jax
import jax.numpy as jnp
import pytest

import jaxnas
from jaxnas.check import InputError
from jaxnas.costs.measure import in_parallel
from jaxnas.execution import Execution, current, execution
from jaxnas.machine import environment
from jaxnas.networks import conv_general_dilated

HERE = Execution(jax.devices()[0].platform)


def test_unless_said_it_is_the_platform_of_the_devices():
    assert current() == HERE
    assert environment()["traced_for"] == HERE.platform


def test_a_context_changes_what_is_given_and_nothing_after():
    with execution(platform="tpu", side_by_side=True):
        with execution(inference=True):
            assert current() == Execution("tpu", inference=True, side_by_side=True)
        assert current() == Execution("tpu", side_by_side=True)
        assert environment()["traced_for"] == "tpu"
    assert current() == HERE


def test_what_was_traced_for_one_platform_is_traced_again_for_another():
    platforms = []
    program = jax.jit(lambda x: platforms.append(current().platform) or x)
    for platform in ("cpu", "tpu", "cpu", "cuda"):
        execution(platform=platform)(program)(jnp.ones(1))
    assert platforms == ["cpu", "tpu", "gpu"]


@pytest.mark.parametrize(("platform", "own"), [("cpu", False), ("tpu", True)])
def test_convolution_of_a_platform_that_is_not_there_is_in_the_form_for_it(platform, own):
    numbers = ("NHWC", "HWIO", "NHWC")
    convolve = lambda x, w: conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=numbers)
    shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((2, 8, 8, 3), (3, 3, 3, 4))]
    with execution(platform=platform):
        lowered = jax.jit(convolve).trace(*shapes).lower(lowering_platforms=(platform,))
    assert ("stablehlo.convolution" in lowered.as_text()) == own


def test_other_threads_of_a_measurement_trace_for_what_is_said():
    with execution(platform="tpu"):
        assert in_parallel(lambda _: current().platform, range(3)) == ["tpu"] * 3


def test_unknown_platform_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="platform: unknown 'tpv'. Did you mean 'tpu'"), execution(platform="tpv"):
        pass


@pytest.mark.parametrize("name", ["default_backend", "make_user_context"])
def test_nothing_else_asks_or_keeps_a_context_of_its_own(name):
    package = pathlib.Path(jaxnas.__file__).parent
    asking = {
        path.name
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if name in (getattr(node, "attr", None), getattr(node, "name", None))
    }
    assert asking == ({"execution.py"} if name == "make_user_context" else set())
