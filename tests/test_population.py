from functools import cache
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.execution import current, execution
from jaxnas.population import CompileMeter, device_memory, over_population, within_memory

P = 5
GENOMES = jnp.array([[0, 2], [1, 1], [2, 0], [0, 2], [1, 2]], jnp.int32)
ACTIVE = jnp.array([True, True, False, True, True])
SCALES = jnp.arange(1.0, P + 1)[:, None] * jnp.array([1.0, 10.0, 100.0])
OPERATIONS = (jnp.sin, jnp.square, lambda x: x + 1)


def member(genome, scale):
    """Two operations in a row on the member's own `[3]`."""
    for g in genome:
        scale = OPERATIONS[g](scale) if isinstance(g, np.integer) else jax.lax.switch(g, OPERATIONS, scale)
    return {"vector": scale, "sum": scale.sum(), "even": genome.sum() % 2 == 0}


def expected(active=ACTIVE):
    rows = [member(np.asarray(g), s) for g, s in zip(GENOMES, SCALES, strict=True)]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *rows)
    return jax.tree.map(lambda leaf: np.where(active.reshape(P, *[1] * (leaf.ndim - 1)), leaf, 0), stacked)


def same(ours, theirs):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), ours, theirs)


PLANS = {
    "map": {"plan": "map"},
    "vmap": {"plan": "vmap"},
    "chunks of 1": {"plan": "vmap", "chunk": 1},
    "chunks of 2": {"plan": "vmap", "chunk": 2},
    "chunks above P": {"plan": "vmap", "chunk": 9},
}


@cache
def program(plan, devices):
    """Traced once for all tests, but for plan "bucket", which is none."""
    options = PLANS.get(plan, {"plan": plan})
    population = over_population(member, devices=jax.devices()[:devices], **options)
    assert population.jittable == (plan != "bucket")
    return jax.jit(population.run) if population.jittable else population.run


# Three devices do not divide the five members, eight are more than they are.
@pytest.mark.parametrize(
    ("plan", "devices"), [*((plan, 3) for plan in PLANS), ("map", 1), ("vmap", 1), ("map", 8), ("chunks of 2", 8)]
)
def test_every_plan_gives_what_members_give_alone(plan, devices):
    same(program(plan, devices)(GENOMES, ACTIVE, SCALES), expected())


def test_buckets_give_what_members_give_alone():
    same(program("bucket", 1)(GENOMES, ACTIVE, SCALES), expected())


@pytest.mark.parametrize("plan", ["map", "vmap"])
def test_runs_without_jit(plan):
    same(over_population(member, plan=plan, devices=jax.devices()[:2]).run(GENOMES, ACTIVE, SCALES), expected())


@pytest.mark.parametrize("plan", ["map", "vmap", "bucket"])
def test_inactive_members_are_zeros_even_where_they_would_be_nan(plan):
    scales = SCALES.at[2].set(jnp.nan)
    outputs = program(plan, 3)(GENOMES, ACTIVE, scales)
    assert all((np.asarray(leaf)[2] == 0).all() for leaf in jax.tree.leaves(outputs))
    same(outputs, expected())


@pytest.mark.parametrize("plan", ["map", "vmap"])
def test_a_population_of_padding_is_zeros(plan):
    outputs = program(plan, 3)(GENOMES, jnp.zeros(P, bool), SCALES)
    same(outputs, expected(np.zeros(P, bool)))


def test_map_runs_active_members_only():
    seen = []

    def counted(genome, scale):
        jax.debug.callback(lambda g: seen.append(tuple(np.asarray(g).tolist())), genome)
        return scale

    run = jax.jit(over_population(counted, plan="map", devices=jax.devices()[:2]).run)
    jax.block_until_ready(run(GENOMES, ACTIVE, SCALES))
    jax.effects_barrier()
    assert sorted(seen) == sorted(tuple(g) for g, a in zip(GENOMES.tolist(), ACTIVE, strict=True) if a)


def test_map_keeps_the_conditional_and_vmap_computes_every_option():
    lowered = lambda plan: (
        jax.jit(over_population(member, plan=plan, devices=jax.devices()[:1]).run)
        .lower(GENOMES, ACTIVE, SCALES)
        .as_text()
    )
    assert "stablehlo.case" in lowered("map")
    assert "stablehlo.case" not in lowered("vmap")


def test_bucket_compiles_once_for_each_distinct_genome():
    population = over_population(member, plan="bucket")
    population.run(GENOMES, ACTIVE, SCALES)
    assert population.report()["compiles"] == 3
    population.run(GENOMES, jnp.ones(P, bool), SCALES)
    assert population.report()["compiles"] == 4
    population.run(GENOMES[::-1], ACTIVE, SCALES + 1)
    assert population.report()["compiles"] == 4 and population.report()["compile_seconds"] > 0


def test_report_names_plan_platform_devices_and_chunk():
    population = over_population(member, plan="vmap", chunk=2, devices=jax.devices()[:4])
    assert population.report() == {
        "plan": "vmap",
        "platform": jax.devices()[0].platform,
        "devices": 4,
        "chunk": 2,
    }


@pytest.mark.parametrize(("platform", "plan"), [("cpu", "map"), ("gpu", "vmap"), ("tpu", "vmap")])
def test_default_plan_is_that_of_the_platform_over_all_devices(platform, plan):
    with execution(platform=platform):
        report = over_population(member).report()
    assert report == {"plan": plan, "platform": platform, "devices": jax.device_count(), "chunk": None}


def seen_by_members(**options):
    """What members are traced for when the surroundings say "tpu" after the population was made, and its report."""
    said = []
    population = over_population(lambda genome: said.append(current()) or genome.sum(), **options)
    with execution(platform="tpu"):
        jax.eval_shape(population.run, GENOMES, ACTIVE)
    return said[0], population.report()


def test_members_are_traced_for_what_is_said_then_and_the_report_records_it():
    said, report = seen_by_members()
    assert (said.platform, said.side_by_side) == ("tpu", True)
    assert (report["platform"], report["plan"]) == ("tpu", "vmap")


def test_devices_that_are_given_say_their_platform():
    said, report = seen_by_members(devices=jax.devices()[:1])
    assert said.platform == report["platform"] == jax.devices()[0].platform


def test_unknown_plan_is_refused_with_the_plans():
    with pytest.raises(ValueError, match="plan: unknown 'vmapp'. Did you mean 'vmap'.*auto, map, vmap, bucket"):
        over_population(member, plan="vmapp")


@pytest.mark.parametrize("plan", ["map", "bucket"])
def test_chunk_is_refused_where_members_do_not_run_side_by_side(plan):
    with pytest.raises(ValueError, match=f"chunk: only plan 'vmap' .* the plan is '{plan}'"):
        over_population(member, plan=plan, chunk=2)


def test_chunk_below_one_is_refused():
    with pytest.raises(ValueError, match="chunk: expected at least 1, got 0"):
        over_population(member, plan="vmap", chunk=0)


def test_meter_counts_compiles_and_not_calls():
    program = jax.jit(lambda x: jnp.tanh(x) * 3)
    x = jnp.ones(7)
    meter = CompileMeter()
    program(x)
    assert meter.compiles == 1 and meter.seconds > 0
    program(x)
    assert meter.compiles == 1
    meter.resume(10, 2.5)
    assert meter.compiles == 11 and meter.seconds > 2.5


def program_of(chunk):
    """A program that takes 100 bytes for each of its members, and 50 for all."""
    size = {"argument": 50, "output": 20 * (chunk or 8), "temp": 90 * (chunk or 8), "alias": 10 * (chunk or 8)}
    analysis = SimpleNamespace(**{f"{part}_size_in_bytes": value for part, value in size.items()})
    compiled = SimpleNamespace(memory_analysis=lambda: analysis, chunk=chunk)
    return SimpleNamespace(compile=lambda: compiled)


def test_a_chunk_is_halved_until_it_fits():
    said = []
    program, chunk, need = within_memory(program_of, 9, 450, say=said.append)
    assert (program.chunk, chunk, need) == (4, 4, 450)
    assert len(said) == 1 and "a chunk of 9 members takes" in said[0] and "trying 4" in said[0]
    assert within_memory(program_of, 9, 950, say=said.append)[1] == 9 and len(said) == 1


@pytest.mark.parametrize("chunk", [8, None])
def test_a_member_that_does_not_fit_alone_is_refused_with_need_and_limit(chunk):
    with pytest.raises(ValueError, match=r"memory: one member at a time takes .* MB, and the device has .* MB"):
        within_memory(program_of, chunk, 149, say=lambda text: None)


def test_memory_of_a_device_is_known():
    assert 1e8 < device_memory(jax.local_devices()[0]) < 1e15


def test_more_processes_than_have_devices_are_refused(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    with pytest.raises(ValueError, match="some of each of the 3 processes, got 2 devices, none of process 1, 2"):
        over_population(lambda genome: genome, devices=jax.devices()[:2])


def test_buckets_refuse_genomes_of_several_arrays():
    population = over_population(lambda genome: genome["a"].sum(), plan="bucket")
    genomes = {"a": np.zeros((2, 3)), "b": np.zeros((2, 3))}
    with pytest.raises(ValueError, match="plan 'bucket' compiles for genomes that are single arrays, and these have 2"):
        population.run(genomes, np.ones(2, bool))
