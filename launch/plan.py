"""What will this search need there? Its own programs compiled for devices that are not here.

    jaxnas plan --config=nasnet --target=v5e:4x4,h100 --workdir=DIR
    jaxnas plan --config=darts:small --target=cpu
    jaxnas plan --decoder=FOLDER --target=v5e:2x4 --length=2048 --workdir=DIR    # a pretrained decoder, by config.json

Targets: slices of TPUs (v5e:4x4; pip install 'jaxnas[plan-tpu]'), GPUs (h100, h100:8; pip install 'jaxnas[plan-gpu]')
and cpu. Says for each whether it fits, seconds of compiling, kernels, collectives, and an estimate of a step, a round
and the search; plan.json in the workdir has all of it. TPUs: by the compiler's cycles. GPUs: by a roofline.

A decoder is divided between all devices of a target; programs are "prefill", whole sequences, and "decode", a token of
each after a cache of that length. Its weights are not read, and need not be there.
"""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # before JAX, which would look for the devices whose compilers are there

from absl import flags

from jaxnas.check import InputError
from jaxnas.planning import plan, plan_decoder

from . import command


def main() -> None:
    given = {name: flag.value for name, flag in OPTIONS.items() if flag.value is not None}
    if DECODER.value is None:
        if given:
            raise InputError(f"--{next(iter(given))}: is of a pretrained decoder; give --decoder too.")
        plan(CONFIG(), TARGET.value, WORKDIR())
    elif CONFIG.flag.present:
        raise InputError("--decoder: plans a pretrained decoder, and --config a search; give one of them.")
    else:
        plan_decoder(DECODER.value, TARGET.value, WORKDIR(), **given)


if __name__ == "__main__":
    CONFIG = command.define_config("quickstart")
    DECODER = flags.DEFINE_string("decoder", None, "In place of a search: Hugging Face's config.json, or its folder.")
    OPTIONS = {
        "length": flags.DEFINE_integer("length", None, "Tokens of the decoder's sequences and cache (2048)."),
        "batch": flags.DEFINE_integer("batch", None, "Sequences of the decoder (1)."),
        "dtype": flags.DEFINE_string("dtype", None, "Of the decoder's parameters: bfloat16 (the default) or float32."),
    }
    TARGET = flags.DEFINE_string("target", None, "Devices, by comma: v5e:4x4, h100, cpu.", required=True)
    WORKDIR = command.define_workdir("plan")
    command.run(main)
