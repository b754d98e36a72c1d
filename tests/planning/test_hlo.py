"""What is read from a compiled program: how often loops run, bytes, FLOPs, kernels and collectives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxnas.planning import hlo


def cost(fn, *shapes, trips=(), **options):
    return hlo.cost_of(hlo.read(jax.jit(fn).lower(*shapes).compile().as_text()), dict(trips), **options)


def f32(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


@pytest.mark.parametrize(
    ("shape", "bytes_"),
    [("f32[2,3]{1,0}", 24), ("bf16[8]", 16), ("pred[5]", 5), ("s32[]", 4), ("(f32[2], (u8[3], s8[1]))", 12)],
)
def test_sizes(shape, bytes_):
    assert hlo.size(shape) == bytes_


def test_a_product_has_its_flops():
    assert cost(jnp.dot, f32(3, 5), f32(5, 7)).flops == 2 * 3 * 5 * 7


@pytest.mark.parametrize(("groups", "inputs"), [(1, 6), (2, 3)])
def test_a_convolution_has_its_flops(groups, inputs):
    conv = lambda x, k: jax.lax.conv_general_dilated(
        x, k, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups
    )
    assert cost(conv, f32(2, 8, 8, 6), f32(3, 3, inputs, 4)).flops == 2 * (2 * 6 * 6 * 4) * (3 * 3 * inputs)


def test_a_loop_of_known_length_counts_as_often():
    loop = lambda n: lambda x: jax.lax.fori_loop(0, n, lambda i, x: x @ x, x)
    once, often = (cost(loop(n), f32(16, 16)) for n in (3, 12))
    assert once.flops == 3 * 2 * 16**3 and often.flops == 4 * once.flops


def test_a_loop_of_unknown_length_counts_as_its_scope_says():
    def run(x, n):
        with jax.named_scope("steps"):
            return jax.lax.fori_loop(0, n, lambda i, x: x @ x, x)

    number = jax.ShapeDtypeStruct((), jnp.int32)
    for steps in (1, 50):
        assert cost(run, f32(16, 16), number, trips={"steps": steps}).flops == steps * 2 * 16**3


def test_nested_scopes_under_vmap_are_told_apart():
    def run(x, n):
        def epoch(e, x):
            with jax.named_scope("steps"):
                return jax.lax.fori_loop(0, n, lambda i, x: x @ x, x)

        with jax.named_scope("epochs"):
            return jax.lax.fori_loop(0, n, epoch, x)

    found = cost(jax.vmap(run), f32(4, 8, 8), jax.ShapeDtypeStruct((4,), jnp.int32), trips={"steps": 7, "epochs": 3})
    assert found.flops == 4 * 21 * 2 * 8**3


def test_a_conditional_is_the_mean_of_its_branches_but_for_that_of_activity():
    def run(scope, x, i):
        with jax.named_scope(scope):
            return jax.lax.switch(i, [lambda x: x, lambda x: x @ x, lambda x: x @ x @ x], x)

    number = jax.ShapeDtypeStruct((), jnp.int32)
    of = lambda scope, n: cost(lambda x, i: run(scope, x, i), f32(n, n), number).flops
    # Of two sizes, since the compilation cache takes programs for one that differ in their scopes alone.
    assert of("operation", 16) == 2 * 16**3 and of("active", 8) == 4 * 8**3


def test_what_is_only_sliced_is_not_read_whole():
    take = lambda x, i: jax.lax.dynamic_slice_in_dim(x, i, 2) * 2
    assert cost(take, f32(1000, 8), jax.ShapeDtypeStruct((), jnp.int32)).bytes < 500


def test_kernels_take_what_the_roofline_says():
    found = cost(jnp.dot, f32(64, 64), f32(64, 64), roofline=lambda kind, bytes_, flops: flops)
    assert found.seconds == found.flops == 2 * 64**3


def test_collectives_are_counted():
    mesh = Mesh(np.array(jax.devices()[:4]), ("d",))
    given = jax.ShapeDtypeStruct((8, 4), jnp.float32, sharding=NamedSharding(mesh, PartitionSpec("d")))
    total = jax.shard_map(
        lambda x: jax.lax.psum(x, "d"), mesh=mesh, in_specs=PartitionSpec("d"), out_specs=PartitionSpec()
    )
    found = cost(total, given)
    assert dict(found.collectives) == {"all-reduce": 1} and found.collective_bytes == 2 * 4 * 4
    assert found.reduced_bytes == found.collective_bytes  # sent twice: summed, then handed out


COPIED = """HloModule m

ENTRY %main (p: f32[64,128]) -> f32[16,128] {
  %p = f32[64,128]{1,0} parameter(0)
  %s = ((f32[64,128]{1,0}), f32[16,128]{1,0:S(1)}, s32[]{:S(2)}) slice-start(%p), slice={[0:16], [0:128]}
  %d = f32[16,128]{1,0:S(1)} slice-done(%s)
  %c = (f32[16,128]{1,0}, f32[16,128]{1,0:S(1)}, u32[]{:S(2)}) copy-start(%d)
  ROOT %e = f32[16,128]{1,0} custom-call(%c), custom_call_target="ConcatBitcast"
}
"""


def test_a_copy_beside_other_work_moves_what_it_copies():
    assert hlo.cost_of(hlo.read(COPIED), {}).bytes == 2 * 2 * 16 * 128 * 4


TPU = """HloModule m, is_scheduled=true

%body (t: (s32[], f32[8,128])) -> (s32[], f32[8,128]) {
  %t = (s32[]{:T(128)}, f32[8,128]{1,0:T(8,128)S(1)}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%t), index=0
  %x = f32[8,128]{1,0:T(8,128)S(1)} get-tuple-element(%t), index=1
  %f = f32[8,128]{1,0:T(8,128)} fusion(%x), kind=kLoop, calls=%g, backend_config={"estimated_cycles":"250"}
  ROOT %r = (s32[]{:T(128)}, f32[8,128]{1,0:T(8,128)S(1)}) tuple(%i, %f)
}

%condition (t: (s32[], f32[8,128])) -> pred[] {
  %t = (s32[]{:T(128)}, f32[8,128]{1,0:T(8,128)S(1)}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%t), index=0
  %n = s32[]{:T(128)} constant(12)
  ROOT %lt = pred[]{:T(512)} compare(%i, %n), direction=LT
}

ENTRY %main (p: (s32[], f32[8,128])) -> (s32[], f32[8,128]) {
  %p = (s32[]{:T(128)}, f32[8,128]{1,0:T(8,128)}) parameter(0)
  ROOT %w = (s32[]{:T(128)}, f32[8,128]{1,0:T(8,128)}) while(%p), condition=%condition, body=%body
}

%g (x: f32[8,128]) -> f32[8,128] {
  %x = f32[8,128]{1,0:T(8,128)} parameter(0)
  ROOT %n = f32[8,128]{1,0:T(8,128)} negate(%x)
}
"""


def test_the_text_of_a_tpu_has_cycles_and_layouts():
    found = hlo.cost_of(hlo.read(TPU), {})
    assert (found.kernels, found.cycles, found.bytes) == (12, 12 * 250, 12 * 2 * 8 * 128 * 4)
