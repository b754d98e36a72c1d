"""An encoder and a decoder that attends to it: one sequence out of another."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from jaxnas.networks.choice import Decision, check_decisions
from jaxnas.networks.mixers import Memory
from jaxnas.networks.transformer import Transformer
from jaxnas.spaces import _encoder_decoder as halves


class EncoderDecoder(nn.Module):
    """Two transformers, called with `(decisions, {"source": [B, S], "target": [B, T]}, train)`.

    The encoder sees all of the source, and each layer of the decoder, between its mixer and its feed-forward network,
    the encoder's last layers. Outputs `[B, T, classes]` are of the target's next tokens. Variables are those of
    `Transformer`, below "encoder" and "decoder".

    Attributes:
      encoder, decoder: options of `Transformer`, those that are searched as in `spaces.encoder_decoder`; the decoder
        has `sources` (1,) by default.
      classes: outputs.
    """

    encoder: Mapping[str, Any] | Transformer
    decoder: Mapping[str, Any] | Transformer
    classes: int = 256

    def __post_init__(self):
        if not isinstance(self.encoder, Transformer):
            known = set(Transformer.__dataclass_fields__) - {"classes", "causal", "each", "parent", "name"}
            encoder, decoder = halves.options_of(self.encoder, self.decoder, known)
            encoder = {"vocabulary": self.classes, **encoder, "classes": 0, "causal": False}
            self.encoder = Transformer(**encoder, parent=None)
            self.decoder = Transformer(**{**decoder, "classes": self.classes}, parent=None)
        super().__post_init__()

    def parts(self, decisions: Mapping[str, Decision]) -> tuple[dict[str, Decision], dict[str, Decision]]:
        """Decisions of the encoder and of the decoder.

        Raises:
          InputError: decisions of another space.
        """
        check_decisions(decisions, halves.joined(self.encoder.named(), self.decoder.named()), "options")
        return halves.parted(decisions)

    def __call__(self, decisions, x, train: bool):
        return self.decode(decisions, x["target"], self.encode(decisions, x["source"], train), train)

    def encode(self, decisions, source, train: bool) -> Memory:
        """What the encoder says of `source` `[B, S]`."""
        return self.encoder(self.parts(decisions)[0], source, train)

    def decode(self, decisions, target, memory: Memory, train: bool):
        """Outputs `[B, T, classes]` of `target` `[B, T]`."""
        return self.decoder(self.parts(decisions)[1], target, train, None, memory)
