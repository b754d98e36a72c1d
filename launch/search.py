"""Search, retrain what was found, and say how it compares.

    jaxnas search                                                # the quickstart
    jaxnas search --config=darts:small --workdir=DIR --config.KEY=VALUE

In a checkout `python -m launch.search` is the same. A workdir that holds an unfinished run of the same config is
resumed, also with another number of devices or hosts; `--config.rounds` may grow. It gets config.json, history.jsonl (a
line for each evaluation), metrics.jsonl (a line for each round, with where its seconds went), checkpoints/, result.json
and pictures. `jaxnas options NAME` lists what can be set of a part.

One search on several hosts is the same command on each, with `--multihost`: see launch/pod.sh and launch/hosts.sh. Only
process 0 needs the workdir.
"""

import pathlib

import jax
from absl import flags

import jaxnas
from jaxnas.check import InputError
from jaxnas.observers import watching

from . import command


def main() -> None:
    config, workdir = CONFIG(), WORKDIR()
    devices = sharing(DATA_PARALLEL.value)
    with watching(workdir, tensorboard=TENSORBOARD.value, profile=PROFILE.value) as watch:
        jaxnas.run(config, workdir, devices=devices, checkpoint_seconds=CHECKPOINT.value, on_round=watch)


def sharing(data_parallel: int) -> list | None:
    """The devices that share each batch of a supernet, None for one."""
    n = jax.device_count()
    known = (1, n) if jax.process_count() > 1 else range(1, n + 1)  # every process must have some
    if data_parallel not in known:
        raise InputError(
            f"data_parallel: expected {f'1 to {n}' if jax.process_count() == 1 else f'1 or {n}'}, the devices there "
            f"are, got {data_parallel}."
        )
    return None if data_parallel == 1 else jax.devices()[:data_parallel]


if __name__ == "__main__":  # flags are defined here, so that programs can be imported side by side
    CONFIG = command.define_config("quickstart")
    WORKDIR = command.define_workdir(lambda: pathlib.Path(CONFIG.flag.value.partition(":")[0]).stem)
    CHECKPOINT = flags.DEFINE_float("checkpoint_seconds", 10.0, "Save at least this often.", lower_bound=0)
    DATA_PARALLEL = flags.DEFINE_integer("data_parallel", 1, "Devices that share each batch of a supernet.")
    TENSORBOARD = flags.DEFINE_bool("tensorboard", False, "Write metrics for TensorBoard into the workdir as well.")
    PROFILE = flags.DEFINE_integer("profile", 0, "Rounds, after the first, to trace into the workdir.", lower_bound=0)
    command.run(main, peers=command.define_processes())
