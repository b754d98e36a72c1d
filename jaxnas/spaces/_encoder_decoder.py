"""Transformers that make one sequence of another: what is decided of the encoder and of the decoder."""

from collections.abc import Iterable, Mapping
from typing import Any

from jaxnas import check
from jaxnas.spaces._categorical import categorical
from jaxnas.spaces._transformer import decided, transformer
from jaxnas.types import Space


def encoder_decoder(*, encoder: Mapping[str, Any], decoder: Mapping[str, Any]) -> Space:
    """Decisions `encoder_layer_0_heads`, …, `encoder_width`, … and `decoder_layer_0_heads`, ….

    Args:
      encoder: options of `transformer`, but for `sources`; mixers "attention", "window" and "none".
      decoder: options of `transformer`; `sources`, how many of the encoder's last layers a layer attends to (Wang et
        al., 2020: HAT's arbitrary encoder attention), is (1,) by default.

    Raises:
      InputError: nothing to decide, or options that `transformer` refuses.
    """
    options = options_of(encoder, decoder, transformer.__kwdefaults__)
    return categorical(joined(*map(decided, options)), name="encoder_decoder")


def options_of(encoder: Any, decoder: Any, known: Iterable[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Those of both; raises `InputError` for what is no mapping, or an option that is not known."""
    check.mapping("encoder", encoder)
    check.mapping("decoder", decoder)
    for option in encoder:
        check.one_of("encoder", option, [name for name in known if name != "sources"])
    for option in decoder:
        check.one_of("decoder", option, known)
    return dict(encoder), {"sources": (1,), **decoder}


def joined(encoder: Mapping[str, Any], decoder: Mapping[str, Any]) -> dict[str, Any]:
    """Both by names that say which they are of."""
    both = {"encoder": encoder, "decoder": decoder}
    return {f"{part}_{name}": value for part, named in both.items() for name, value in named.items()}


def parted(both: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `joined` has joined."""
    of = lambda part: {name.removeprefix(part): each for name, each in both.items() if name.startswith(part)}
    return of("encoder_"), of("decoder_")
