"""What NEAT keeps from one generation to the next."""

import chex
from flax import struct

from jaxnas.strategies.best import Best
from jaxnas.types import Genome


@struct.dataclass
class Species:
    """S places for species.

    Attributes:
      number: `[S]` int32, in order of birth; -1 where the place is free.
      representative: genomes `[S, ...]`, what others are compared to.
      best: `[S]` highest fitness of any of its members, ever.
      improved: `[S]` int32, the generation when that rose last.
    """

    number: chex.Array
    representative: Genome
    best: chex.Array
    improved: chex.Array


@struct.dataclass
class NeatState:
    """The generation that was told last, and its species.

    Attributes:
      genomes: `[P, ...]`.
      fitness: `[P]`, -inf where not usable.
      id: `[P]` int32.
      member_of: `[P]` int32, numbers of species.
      species: those places.
      founded: int32, species ever.
      threshold: compatibility distance within which a genome belongs to a species.
      generation: int32, generations told.
      improved: int32, the generation when the best fitness of all rose last.
      asked: int32, ids given out.
      misplaced: int32, genomes that found no place for a species of their own, ever, and went to the nearest.
      best: the best ever seen.
    """

    genomes: Genome
    fitness: chex.Array
    id: chex.Array
    member_of: chex.Array
    species: Species
    founded: chex.Array
    threshold: chex.Array
    generation: chex.Array
    improved: chex.Array
    asked: chex.Array
    misplaced: chex.Array
    best: Best

    @property
    def membership(self) -> chex.Array:
        """`[P, S]` bool, which place's species each member belongs to; none of a row where it has died out."""
        return (self.member_of[:, None] == self.species.number) & (self.species.number >= 0)
