"""Run one function over a population of different architectures."""

import jax


class CompileMeter:
    """Counts the XLA compiles of this process from its construction on.

    Attributes:
      compiles: programs compiled or read from the compilation cache.
      seconds: what that took.
    """

    def __init__(self):
        _listen()
        self._before = _totals.copy()

    @property
    def compiles(self) -> int:
        return _totals["compiles"] - self._before["compiles"]

    @property
    def seconds(self) -> float:
        return _totals["seconds"] - self._before["seconds"]

    def resume(self, compiles: int, seconds: float) -> None:
        """Adds what an earlier process had paid."""
        self._before["compiles"] -= compiles
        self._before["seconds"] -= seconds


_totals = {"compiles": 0, "seconds": 0.0}
_listening = []


def _listen() -> None:
    if _listening:
        return

    def on_duration(event: str, seconds: float, **_) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            _totals["compiles"] += 1
            _totals["seconds"] += seconds

    jax.monitoring.register_event_duration_secs_listener(on_duration)
    _listening.append(on_duration)
