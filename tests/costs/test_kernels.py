import gzip
import random

import jax
import jax.numpy as jnp
import pytest

from jaxnas import costs
from jaxnas.costs import Kernel, attribution
from jaxnas.networks import ops
from tests.support import xplane
from tests.support.xplane import Ref

HLO = r"""HloModule jit_f, is_scheduled=true

%fused_computation.1 (p.1: f32[8]) -> f32[8] {
  %p.1 = f32[8]{0} parameter(0)
  ROOT %maximum.1 = f32[8]{0} maximum(%p.1, %p.1), metadata={op_name="jit(f)/Net/cell_0/0->1/relu/max"}
}

%body (s.1: (s32[], f32[8])) -> (s32[], f32[8]) {
  %s.1 = (s32[], f32[8]{0}) parameter(0)
  %g.1 = f32[8]{0} get-tuple-element(%s.1), index=1
  %fusion.2 = f32[8]{0} fusion(%g.1), kind=kLoop, calls=%fused_computation.1, metadata={op_name="jit(f)/Net/loop/while/body/closed_call/cell_1/1->2/tanh"}
  ROOT %t.1 = (s32[], f32[8]{0}) tuple(%g.1, %fusion.2)
}

%condition (s.2: (s32[], f32[8])) -> pred[] {
  %s.2 = (s32[], f32[8]{0}) parameter(0)
  ROOT %lt.1 = pred[] compare(%s.2, %s.2), direction=LT
}

%parallel (p.2: f32[8]) -> f32[8] {
  %p.2 = f32[8]{0} parameter(0)
  ROOT %add.1 = f32[8]{0} add(%p.2, %p.2), metadata={op_name="jit(f)/transpose(jvp(Net))/cell_0/add"}
}

ENTRY %main (w.1: f32[8], x.1: f32[8]) -> f32[8] {
  %w.1 = f32[8]{0} parameter(0), metadata={op_name="v[\'params\'][\'cell_0\'][\'0->1\'][\'conv\'][\'kernel\']"}
  %x.1 = f32[8]{0} parameter(1), metadata={op_name="x"}
  %copy.1 = f32[8]{0} copy(%w.1), metadata={op_name="v[\'params\'][\'cell_0\'][\'0->1\'][\'conv\'][\'kernel\']"}
  %conv.1 = (f32[8]{0}, u8[0]{0}) custom-call(%copy.1, %x.1), custom_call_target="conv", metadata={op_name="jit(f)/vmap(Net)/cell_0/0->1/conv/conv_general_dilated"}
  %g.2 = f32[8]{0} get-tuple-element(%conv.1), index=0
  %copy.2 = f32[8]{0} copy(%g.2)
  %fusion.1 = f32[8]{0} fusion(%copy.2), kind=kLoop, calls=%fused_computation.1
  %while.1 = (s32[], f32[8]{0}) while(%fusion.1), condition=%condition, body=%body, metadata={op_name="jit(f)/Net/loop/while"}
  %copy.3 = f32[8]{0} copy(%x.1)
  %call.1 = f32[8]{0} call(%copy.3), to_apply=%parallel
  %copy.4 = f32[8]{0} copy(%x.1)
  %mul.1 = f32[8]{0} multiply(%copy.4, %copy.4), metadata={op_name="jit(f)/Net/cell_0/0->2/mul"}
  ROOT %log.1 = f32[8]{0} log(%call.1), metadata={op_name="jit(f)/Net/jit(relu)/log"}
}
"""  # noqa: E501
OPERATIONS = ["cell_0", "cell_0/0->1", "cell_1/1->2", "cell_0/0->2"]


def trace(tmp_path, planes):
    path = tmp_path / "trace.xplane.pb"
    path.write_bytes(xplane.encode(planes))
    return path


def union(found):
    """ns covered by any kernel, another way."""
    covered, end = 0.0, -float("inf")
    for _, _, start, duration in sorted(found, key=lambda kernel: kernel.start):
        covered += max(start + duration - max(start, end), 0)
        end = max(end, start + duration)
    return covered


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Recorded on two cores with JAX 0.10.1, see `xplane`."""
    path = tmp_path_factory.mktemp("cpu") / "cpu.xplane.pb"
    path.write_bytes(gzip.decompress((xplane.FIXTURES / "cpu.xplane.pb.gz").read_bytes()))
    return path, gzip.decompress((xplane.FIXTURES / "cpu.hlo.gz").read_bytes()).decode()


def test_recorded_network_at_batch_64_is_attributed_and_its_time_conserved(recorded):
    path, hlo = recorded
    found, operations = costs.read_trace(path), xplane.operations(cells=1)
    result = costs.attribute(found, hlo, operations, runs=xplane.RUNS)
    assert result.share >= 0.95
    assert list(result.operations) == operations
    assert sum(result.operations.values()) + sum(result.rest.values()) == pytest.approx(result.busy, rel=1e-9)
    assert result.busy == pytest.approx(union(found) / 1e6 / xplane.RUNS, rel=1e-9)
    assert result.share == pytest.approx(sum(result.operations.values()) / result.wall)
    assert set(result.rest) == {f"jit(<lambda>)/NasBench201/{op}" for op in ("jit(relu)/max", "reduce_sum", "div")}


def test_recorded_convolutions_last_until_their_threads_are_done(recorded):
    """And cost the most: the events that started them lasted under 1 % of it."""
    path, hlo = recorded
    result = costs.attribute(costs.read_trace(path), hlo, xplane.operations(cells=1), runs=xplane.RUNS).operations
    in_cells = {name: ms for name, ms in result.items() if "->" in name}
    convolutions = sum(ms for name, ms in in_cells.items() if "nor_conv_3x3" in name)
    assert convolutions > 0.5 * sum(in_cells.values())
    assert all(result[f"stage_{stage}_cell_0/0->3/skip_connect"] == 0 for stage in range(3))


def cpu(name, start, duration, key, **about):
    return (
        name,
        start,
        duration,
        {"hlo_op": name, "hlo_module": "jit_f", "device_ordinal": 0, "_pt": 0, "_p": key, **about},
    )


def test_cpu_kernels_end_at_their_second_event_and_share_the_time_in_which_they_overlap(tmp_path):
    path = trace(tmp_path, {
        "/host:metadata": {},
        "/host:CPU": {
            "python": [("PjitFunction(f)", 0, 9000, {}), ("Await", 10, 0, {"_ct": 0, "_c": 77})],
            "a": [cpu("conv.1", 1000, 5, 1 << 33), cpu("fusion.1", 1500, 400, 2)],
            "b": [("end: conv.1", 3000, 1, {"_ct": 0, "_c": 1 << 33}), cpu("log.1", 3500, 500, 3),
                  cpu("log.1", 3500, 400, 4, device_ordinal=1)],
        },
    })  # fmt: skip
    found = costs.read_trace(tmp_path)
    assert found == costs.read_trace(path)
    assert found[:2] == [Kernel("conv.1", "jit_f", 1000, 2000), Kernel("fusion.1", "jit_f", 1500, 400)]
    result = costs.attribute(found, HLO, ["conv", "relu"], runs=2)
    assert result.operations == pytest.approx({"conv": 1800e-6 / 2, "relu": 200e-6 / 2})
    assert result.rest == pytest.approx({"jit(f)/Net/jit(relu)/log": 500e-6 / 2})
    assert (result.busy, result.wall) == pytest.approx((2500e-6 / 2, 3000e-6 / 2))
    assert costs.read_trace(path, device=1) == [Kernel("log.1", "jit_f", 3500, 400)]


def gpu(kernel, start, duration, hlo_op, module="jit_f"):
    about = {"correlation_id": start, "kernel_details": Ref("regs:32 grid:8,1,1 block:128,1,1 occ_pct:100")}
    return (kernel, start, duration, {**about, "hlo_op": Ref(hlo_op), "hlo_module": Ref(module), "program_id": 7})


def gpu_planes(compute):
    """A trace of a GPU by the published layout, not recorded on one: streams as lines, kernels under their names with
    the instruction as a stat, and lines derived from these."""
    derived = [("jit_f(7)", 1000, 900, {"program_id": 7})]
    copies = [("MemcpyH2D", 100, 50, {"memcpy_details": Ref("kind_src:host kind_dst:device size:64")})]
    lines = {"Stream #13(Compute)": compute, "Stream #14(MemcpyH2D)": copies, "XLA Modules": derived}
    host = {"python": [("PjitFunction(f)", 0, 9000, {})]}
    return {"/host:CPU": host, "/device:GPU:0": lines, "/device:GPU:1": {"Stream #13(Compute)": compute[:1]}}


def test_gpu_kernels_are_attributed_to_the_operations_of_their_instructions(tmp_path):
    path = trace(tmp_path, gpu_planes([
        gpu("copy_kernel", 1000, 10, "copy.1"),  # of the kernel
        gpu("cutlass::conv", 1010, 200, "conv.1"),
        gpu("cutlass::conv_reduce", 1210, 50, "conv.1"),
        gpu("loop_copy", 1260, 20, "copy.2"),  # without metadata
        gpu("loop_fusion", 1300, 100, "fusion.1"),  # which has only its root's
        gpu("loop_tanh", 1400, 30, "fusion.2"),
        gpu("loop_tanh", 1430, 30, "fusion.2"),
        gpu("loop_add", 1500, 40, "add.1"),
        gpu("loop_copy", 1540, 5, "copy.4"),  # for what reads it
        gpu("loop_log", 1600, 60, "log.1"),
        gpu("graph", 1700, 70, "command_buffer"),
        gpu("other", 1800, 500, "fusion.1", "jit_other"),
    ]))  # fmt: skip
    found = costs.read_trace(path)
    result = costs.attribute(found, HLO, OPERATIONS)
    expected = {"cell_0": 40, "cell_0/0->1": 10 + 200 + 50 + 20 + 100, "cell_1/1->2": 60, "cell_0/0->2": 5}
    assert result.operations == pytest.approx({name: ns / 1e6 for name, ns in expected.items()})
    rest = {"jit(f)/Net/jit(relu)/log": 60, "command_buffer": 70, "MemcpyH2D": 50}
    assert result.rest == pytest.approx({name: ns / 1e6 for name, ns in rest.items()})
    assert result.busy == pytest.approx((sum(expected.values()) + sum(rest.values())) / 1e6)
    assert result.wall == pytest.approx((1770 - 100) / 1e6)
    assert len(costs.read_trace(path, device=1)) == 1


def test_tpu_events_are_instructions_and_their_module_is_what_ran(tmp_path):
    """By the published layout, not recorded: names are an instruction's text, a loop's event spans its body's."""
    path = trace(tmp_path, {
        "/device:TPU:0": {
            "Steps": [("0", 0, 5000, {})],
            "XLA Modules": [("jit_f(123)", 1000, 1000, {"run_id": 5}), ("jit_g(9)", 3000, 1000, {})],
            "XLA Ops": [
                ("%while.1 = (s32[], f32[8]{0}) while(%fusion.1), condition=%condition, body=%body", 1000, 500, {}),
                ("%fusion.2 = f32[8]{0:T(256)} fusion(%g.1), kind=kLoop, calls=%fused_computation.1", 1100, 150, {}),
                ("%fusion.2 = f32[8]{0:T(256)} fusion(%g.1), kind=kLoop, calls=%fused_computation.1", 1300, 150, {}),
                ("%fusion.1 = f32[8]{0:T(256)} fusion(%p.1), kind=kLoop, calls=%fused_computation.1", 1500, 100, {}),
                ("%fusion.1 = f32[8]{0:T(256)} fusion(%p.1), kind=kLoop, calls=%fused_computation.9", 3000, 900, {}),
            ],
            "Async XLA Ops": [("%copy-start.1 = f32[8]{0} copy-start(%p.1)", 1000, 900, {})],
        },
        "/host:CPU": {},
    })  # fmt: skip
    result = costs.attribute(costs.read_trace(path), HLO, OPERATIONS)
    assert result.operations == pytest.approx({"cell_0": 0, "cell_0/0->1": 1e-4, "cell_1/1->2": 3e-4, "cell_0/0->2": 0})
    assert result.rest == pytest.approx({"jit(f)/Net/loop/while": 2e-4})
    assert result.busy == result.wall == pytest.approx(6e-4)


def test_a_call_gets_what_its_body_leaves_and_what_has_no_metadata_keeps_its_name():
    found = [Kernel("call.1", "jit_f", 0, 100), Kernel("add.1", "jit_f", 10, 80), Kernel("copy.3", "jit_f", 100, 50)]
    result = costs.attribute(found, HLO, OPERATIONS)
    assert result.operations["cell_0"] == pytest.approx(80e-6)
    assert result.rest == pytest.approx({"call.1": 20e-6, "copy.3": 50e-6})


@pytest.mark.parametrize("seed", range(5))
def test_time_is_conserved_for_any_overlap(seed):
    draw = random.Random(seed)
    names = ["conv.1", "fusion.1", "fusion.2", "while.1", "call.1", "add.1", "log.1", "copy.1", "unknown"]
    found = [Kernel(draw.choice(names), "jit_f", draw.randrange(500), draw.randrange(1, 40)) for _ in range(60)]
    result = costs.attribute(found, HLO, OPERATIONS)
    assert result.busy * 1e6 == pytest.approx(union(found))
    assert sum(result.operations.values()) + sum(result.rest.values()) == pytest.approx(result.busy)
    assert result.busy <= result.wall


def test_program_is_recorded_and_attributed(tmp_path):
    # The second part is some thirty times the first, so that no other process's turn can exchange them.
    @jax.jit
    def f(x):
        with jax.named_scope("first"):
            x = jnp.sin(x @ x)
        with jax.named_scope("second"):
            return jax.lax.scan(lambda x, _: (jnp.tanh(x @ x), None), x, None, length=64)[0]

    x = jnp.ones((256, 256)) / 256
    compiled = f.lower(x).compile()
    path = costs.record_trace(lambda: compiled(x), tmp_path, runs=3, warmup=1)
    result = costs.attribute(costs.read_trace(path), compiled.as_text(), ["first", "second"], runs=3)
    assert 0 < result.operations["first"] < result.operations["second"]
    assert sum(result.operations.values()) >= 0.9 * result.busy


@pytest.mark.slow
def test_whole_network_at_batch_64_is_attributed(tmp_path, monkeypatch):
    monkeypatch.setattr(ops, "conv_general_dilated", jax.lax.conv_general_dilated)
    compiled, call = xplane.network(cells=5)
    found = costs.read_trace(costs.record_trace(call, tmp_path, runs=10))
    assert costs.attribute(found, compiled.as_text(), xplane.operations(cells=5), runs=10).share >= 0.95


def test_profile_without_device_events_is_refused(tmp_path):
    host = {"python": [("PjitFunction(f)", 0, 9000, {})]}
    with pytest.raises(ValueError, match=r"kernels of device 0 in plane /host:CPU .*/host:CPU \(1 events\)"):
        costs.read_trace(trace(tmp_path, {"/host:metadata": {}, "/host:CPU": host}))
    with pytest.raises(ValueError, match="Planes: none"):
        costs.read_trace(trace(tmp_path, {}))


def test_profile_of_cuda_graphs_is_refused_with_the_flag_that_helps(tmp_path):
    graph = [("cuda_graph", 1000, 500, {"cuda_graph_exec_id": 3})]
    with pytest.raises(ValueError, match=r"/device:GPU:0 .* names its HLO module.*--xla_gpu_enable_command_buffer="):
        costs.read_trace(trace(tmp_path, gpu_planes(graph)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda path: costs.read_trace(path / "none"), "path: expected a trace, .*none"),
        (lambda path: costs.read_trace(path, device=-1), "device: expected at least 0"),
        (lambda path: costs.record_trace(lambda: None, path, runs=0), "runs: expected at least 1"),
        (lambda path: costs.attribute([], HLO, OPERATIONS), "kernels: expected those of HLO module 'jit_f', got none"),
        (lambda path: costs.attribute([Kernel("a", "jit_g", 0, 1)], HLO, OPERATIONS), "'jit_f', got jit_g"),
        (lambda path: costs.attribute([], "module {}", OPERATIONS), "hlo: expected the text of a compiled module"),
        (lambda path: costs.attribute([], HLO, ["cell_0/1->0"]), "operations: .*'jit.f.*cell_0.* 'cell_0/1->0' is one"),
        (lambda path: costs.attribute([], HLO, []), "operations: expected scopes"),
        (lambda path: costs.attribute([], HLO, OPERATIONS, runs=0), "runs: expected at least 1"),
    ],
)
def test_bad_arguments_are_refused(tmp_path, call, message):
    with pytest.raises(ValueError, match=message):
        call(tmp_path)


def test_scopes_are_found_through_transformations():
    assert attribution._plain("transpose(jvp(NasBench201))") == "NasBench201"
    assert attribution._plain("jit(relu)") == "jit(relu)"
