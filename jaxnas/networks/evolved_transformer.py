"""The Evolved Transformer's search space as a network: an encoder and a decoder of cells that a genome describes."""

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.networks.choice import Decision, check_decisions, exists, is_static
from jaxnas.networks.evolved_cell import BlockChoice, Cell, Setting
from jaxnas.networks.initializers import normal
from jaxnas.networks.loop import initialized, over_modules
from jaxnas.networks.mixers import Memory, Norm
from jaxnas.networks.transformer import tokens
from jaxnas.spaces import _evolved_transformer as space
from jaxnas.spaces._evolved_genome import BASE, PARTS, Options
from jaxnas.spaces._evolved_transformer import layer_of, options_of


class EvolvedTransformer(nn.Module):
    """Called with `(decisions, {"source": [B, S], "target": [B, T]}, train)`; gives `[B, T, classes]`, of next tokens.

    The encoder sees all of the source; the decoder's convolutions and attention see what comes before a position alone,
    and its attention to the encoder all of the last cell's output. One embedding serves source, target and, transposed,
    the outputs. A state is normalized once, whichever branches read it so. Where decisions are traced, every layer is
    there, of the largest size, and one block of each cell is compiled, as a loop.

    Attributes:
      encoder_blocks, decoder_blocks, layers, dims, norms, activations, combiners, cells, widest: those of
        `spaces.evolved_transformer`.
      width: of embeddings and of the decoder's output; a layer's size is so many halves of it.
      heads: of attention to the encoder.
      classes: tokens, of source and target.
      padding: the token of the source that is none; None where all count.
      epsilon: of normalization.
    """

    encoder_blocks: int = 6
    decoder_blocks: int = 8
    layers: Sequence[str] = space.LAYERS
    dims: Sequence[int] = tuple(range(1, 11))
    norms: Sequence[str] = space.NORMS
    activations: Sequence[str] = space.ACTIVATIONS
    combiners: Sequence[str] = space.COMBINERS
    cells: Sequence[int] = (1, 2, 3, 4, 5, 6)
    widest: int = 20
    width: int = 512
    heads: int = 8
    classes: int = 256
    padding: int | None = None
    epsilon: float = 1e-6

    def __post_init__(self):
        for name, value in options_of(**{name: getattr(self, name) for name in Options._fields})._asdict().items():
            setattr(self, name, value)  # a config's lists have no hash
        for name in ("width", "heads", "classes"):
            check.integer(name, getattr(self, name), least=1)
        for heads in (self.heads, *(layer_of(name)[1][0] for name in self.layers if name.startswith("attention"))):
            if self.width % (2 * BASE * heads):
                raise InputError(
                    f"width: expected a multiple of {2 * BASE * heads}, of which half has {heads} heads of an even "
                    f"size, got {self.width}."
                )
        super().__post_init__()

    @property
    def options(self) -> Options:
        return Options(**{name: getattr(self, name) for name in Options._fields})

    def setup(self):
        """Its parts."""
        self.embedding = nn.Embed(self.classes, self.width, embedding_init=normal(self.width**-0.5))
        of = lambda part: Stack(Setting(self.options, part, self.width, self.heads, self.epsilon))
        self.encoder, self.decoder = map(of, PARTS)

    def __call__(self, decisions, x, train: bool):
        return self.decode(decisions, x["target"], self.encode(decisions, x["source"], train), train)

    def encode(self, decisions: Mapping[str, Decision], source, train: bool) -> Memory:
        """What the encoder says of `source` `[B, S]`."""
        keep = None if self.padding is None else (tokens(source, self.classes) != self.padding).astype(jnp.float32)
        y = self._through(self.encoder, decisions, self.embedding(tokens(source, self.classes)), keep, None, train)
        return Memory([y], keep)

    def decode(self, decisions: Mapping[str, Decision], target, memory: Memory, train: bool):
        """Outputs `[B, T, classes]` of `target` `[B, T]`."""
        x = self.embedding(tokens(target, self.classes))
        y = self._through(self.decoder, decisions, x, None, memory, train)
        return self.embedding.attend(y).astype(jnp.float32)

    def _through(self, stack: "Stack", decisions: Mapping[str, Decision], x, keep, memory, train: bool):
        """Raises `InputError` for decisions of another space."""
        check_decisions(decisions, self.options.decisions(), "options")
        if any(jnp.ndim(decision) for decision in decisions.values()):
            raise InputError("decisions: expected a genome; EvolvedTransformer has no mixtures of its options.")
        traced = not all(map(is_static, decisions.values()))
        chosen = stack.setting.chosen(decisions, traced)
        return stack(chosen, decisions.get(f"{stack.setting.part}_cells", 0), traced, x, keep, memory, train)


class Stack(nn.Module):
    """Cells one after another, called with `(chosen, cells, traced, x, keep, memory, train)`; gives what is normalized.

    A decoder's output is brought back to the network's width; an encoder's is as wide as its last cell makes it.
    """

    setting: Setting

    @nn.compact
    def __call__(self, chosen: Sequence[BlockChoice], cells: Decision, traced: bool, x, keep, memory, train: bool):
        setting = self.setting
        depths, norm = setting.options.cells, Norm(setting.epsilon, name="norm")
        resize = nn.Dense(setting.width, kernel_init=normal(setting.width**-0.5), name="resize")
        if not traced:
            for c in range(depths[cells]):
                x, _ = Cell(setting, name=f"cell_{c}")(chosen, x, None, keep, memory, train)
            resized = setting.part == "decoder" and x.shape[-1] != setting.width
            return norm(resize(x) if resized else x, 1.0)
        x = jnp.pad(x, [(0, 0), (0, 0), (0, setting.size - setting.width)])
        x, width = self._cells(chosen, cells, x, keep, memory, train)
        if setting.part == "encoder":
            return norm(x, 1.0, setting.mask(width))
        return norm(jnp.where(width == BASE, x[..., : setting.width], resize(x)), 1.0)

    def _cells(self, chosen: Sequence[BlockChoice], cells: Decision, x, keep, memory, train: bool):
        """Output and its width, of a number of cells that is traced."""
        depths, state = self.setting.options.cells, (x, jnp.int32(BASE))
        names = [f"cell_{c}" for c in range(max(depths))]
        cell = Cell(self.setting, parent=None)
        if self.is_initializing():
            initialized(self, names, lambda key: cell.init(key, chosen, *state, keep, memory, train))
            return state

        def run(state, row, variables, mutable):
            del mutable  # there are parameters alone
            there, (chosen, keep, memory) = row
            apply = lambda state: cell.apply(variables, chosen, *state, keep, memory, train)
            return (apply(state) if there is None else jax.lax.cond(there > 0, apply, lambda state: state, state)), {}

        # What is alike in all cells is handed to each: what follows from constants of a loop, branches of conditionals
        # too, JAX computes for the gradient in a loop of its own beforehand, and stores it.
        alike = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(names), *leaf.shape)), (chosen, keep, memory))
        there = [jnp.asarray(exists(cells, depths, c)) for c in range(len(names))]
        return over_modules(self, names, run, state, (None if len(depths) == 1 else jnp.stack(there), alike))
