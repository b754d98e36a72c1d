"""What a search will need on devices that are not there: its own programs compiled for them, read and added up.

| name | what it is |
|---|---|
| `plan` | a search's programs compiled for targets: memory, seconds, kernels, collectives, estimates |
| `plan_decoder` | a pretrained decoder's programs, divided between the devices of a target, by its settings alone |
| `profile` | a latency table by a target's compiler, in the place of a clock |
| `targets`, `Target`, `Chip` | slices of TPUs, GPUs, this CPU, and their published rates |
| `step_bound`, `Bound` | the least that a training step must move and compute |
"""

from jaxnas.planning._decoder import plan_decoder
from jaxnas.planning._plan import plan
from jaxnas.planning._profile import profile
from jaxnas.planning.bound import Bound, step_bound
from jaxnas.planning.targets import Chip, Target, targets

__all__ = ["Bound", "Chip", "Target", "plan", "plan_decoder", "profile", "step_bound", "targets"]
