"""What `search` is made of beside the loop itself.

| file | what it has |
|---|---|
| `rounds` | how rounds run: part by part, or many as one program |
| `groups` | a round in groups of members, to the same bits |
| `compatibility` | whether a strategy and an evaluator fit |
| `rows`, `history`, `history_file` | what was evaluated, as columns in memory and on disk |
| `totals`, `clock`, `progress` | what is counted, timed and shown meanwhile |
| `result` | what a search found |
"""

from jaxnas.loop.history import History
from jaxnas.loop.history_file import read as read_history
from jaxnas.loop.result import Result

__all__ = ["History", "Result", "read_history"]
