"""What will this search need there? Its own programs compiled for devices that are not here.

    jaxnas plan --config=nasnet --target=v5e:4x4,h100 --workdir=DIR
    jaxnas plan --config=darts:small --target=cpu

Targets: slices of TPUs (v5e:4x4; pip install 'jaxnas[plan-tpu]'), GPUs (h100, h100:8; pip install 'jaxnas[plan-gpu]')
and cpu. Says for each whether it fits, seconds of compiling, kernels, collectives, and an estimate of a step, a round
and the search; plan.json in the workdir has all of it. TPUs: by the compiler's cycles. GPUs: by a roofline.
"""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # before JAX, which would look for the devices whose compilers are there

from absl import flags

from jaxnas.planning import plan

from . import command


def main() -> None:
    plan(CONFIG(), TARGET.value, WORKDIR())


if __name__ == "__main__":
    CONFIG = command.define_config("quickstart")
    TARGET = flags.DEFINE_string("target", None, "Devices, by comma: v5e:4x4, h100, cpu.", required=True)
    WORKDIR = command.define_workdir("plan")
    command.run(main)
