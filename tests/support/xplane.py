"""Profiler traces for tests: `encode` writes them by hand; as a program, this records `fixtures/cpu.*`.

    python -m tests.support.xplane

The fixture is the static network of NAS-Bench-201 with a cell in each stage, on 64 images of 32 x 32. What its trace
keeps of a recording are the events but the thread pool's, and the program's text is without its source locations.
"""

import gzip
import pathlib
import re
import tempfile

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
GENOME = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"
EDGES = ("0->1", "0->2", "1->2", "0->3", "1->3", "2->3")
RUNS = 3


class Ref(str):
    """A stat's text kept as a reference, as the profiler of GPUs does."""


def encode(planes: dict[str, dict[str, list[tuple]]]) -> bytes:
    """An `XSpace` message (xplane.proto) of `{plane: {line: [(event, start ns, duration ns, {stat: value})]}}`."""
    return b"".join(_field(1, _plane(name, lines)) for name, lines in planes.items())


def _plane(name, lines):
    events, stats, body = {}, {}, b""
    identify = lambda table, text: table.setdefault(text, len(table) + 1)
    for i, (line, rows) in enumerate(lines.items()):
        body += _field(3, _field(1, i + 1) + _field(2, line) + b"".join(
            _field(4, _field(1, identify(events, event)) + _field(2, round(start * 1000)) + _field(3, round(ns * 1000))
                   + b"".join(_field(4, _field(1, identify(stats, key)) + _value(value, lambda v: identify(stats, v)))
                              for key, value in about.items()))
            for event, start, ns, about in rows))  # fmt: skip
    for number, table in ((4, events), (5, stats)):
        body += b"".join(
            _field(number, _field(1, i) + _field(2, _field(1, i) + _field(2, t))) for t, i in table.items()
        )
    return _field(2, name) + body


def _value(value, refer):
    if isinstance(value, Ref):
        return _field(7, refer(str(value)))
    return _field(5 if isinstance(value, str) else 4, value)


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    value = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    value %= 1 << 64
    head = []
    while value > 127:
        head.append(value & 127 | 128)
        value >>= 7
    return bytes([*head, value])


def operations(cells: int) -> list[str]:
    """Paths of the modules of NAS-Bench-201's `GENOME`."""
    names = [f"stage_{stage}_cell_{i}" for stage in range(3) for i in range(cells)]
    chosen = [option.split("~")[0] for option in GENOME.replace("+", "").split("|") if option]
    edges = [f"{edge}/{option}" for edge, option in zip(EDGES, chosen, strict=True)]
    whole = ["stem_conv", "stem_norm", "reduction_1", "reduction_2", "head_norm", "head"]
    return [*whole, *names, *(f"{name}/{edge}" for name in names for edge in edges)]


def network(cells: int):
    """The compiled network at batch 64, and a function that runs it."""
    import jax
    import numpy as np

    from jaxnas import networks, spaces

    space = spaces.nasbench201()
    decisions = space.unpack(np.asarray(space.from_string(GENOME)))
    net = networks.NasBench201(cells=cells)
    x = jax.random.normal(jax.random.key(0), (64, 32, 32, 3))
    variables = jax.jit(lambda key: net.init(key, decisions, x, False))(jax.random.key(1))
    compiled = jax.jit(lambda variables, x: net.apply(variables, decisions, x, False)).lower(variables, x).compile()
    return compiled, lambda: compiled(variables, x)


def main():
    import jax

    from jaxnas import costs
    from jaxnas.networks import ops

    ops.conv_general_dilated = jax.lax.conv_general_dilated
    compiled, call = network(cells=1)
    with tempfile.TemporaryDirectory() as directory:
        planes = jax.profiler.ProfileData.from_file(str(costs.record_trace(call, directory, runs=RUNS))).planes
        kept = {
            plane.name: {
                line.name: [
                    (e.name, e.start_ns, e.duration_ns, {k: v for k, v in e.stats if k != "_src"})
                    for e in line.events
                    if not e.name.startswith("ThreadpoolListener")
                ]
                for line in plane.lines
            }
            for plane in planes
        }
    FIXTURES.mkdir(exist_ok=True)
    (FIXTURES / "cpu.xplane.pb.gz").write_bytes(gzip.compress(encode(kept), mtime=0))
    head, text = compiled.as_text().split("\n", 1)
    text = head + "\n\n" + text[text.index("\n%") :]
    (FIXTURES / "cpu.hlo.gz").write_bytes(gzip.compress(re.sub(r" stack_frame_id=\d+", "", text).encode(), mtime=0))


if __name__ == "__main__":
    main()
