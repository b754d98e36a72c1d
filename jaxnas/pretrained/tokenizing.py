"""Text as tokens of a pretrained model, by the library `tokenizers`."""

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxnas import check
from jaxnas.check import InputError
from jaxnas.pretrained.checkpoint import Checkpoint, library

WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Pattern of Llama 3 and of Qwen2, which differ in how many digits go together."""
SPLITS = {
    "default": None,
    "gpt-2": None,
    "smollm": None,
    "llama-bpe": WORDS % "{1,3}",
    "llama3": WORDS % "{1,3}",
    "llama-v3": WORDS % "{1,3}",
    "qwen2": WORDS % "",
}
"""Name of a GGUF's pre-tokenizer -> the pattern of what is not joined with its neighbours; None for GPT-2's."""
BYTE, SPACE = re.compile("<0x[0-9A-F]{2}>"), "\u2581"
"""A word of SentencePiece that is a byte, and its character for a space."""
CONTROL, USER_DEFINED = 3, 4
"""Types of words that are never split."""


@dataclasses.dataclass(frozen=True)
class Tokenizer:
    """Text to tokens and back.

    Attributes:
      model: the `tokenizers.Tokenizer`.
      end: tokens that end a text.
    """

    model: Any
    end: tuple[int, ...] = ()

    @property
    def vocabulary(self) -> int:
        """One more than the largest token."""
        return 1 + max(self.model.get_vocab(with_added_tokens=True).values())

    def encode(self, text: str) -> np.ndarray:
        """`[n]` int32, with a token for the beginning where the model is trained with one."""
        return np.asarray(self.model.encode(text).ids, np.int32)

    def bytes_of(self, vocabulary: int) -> np.ndarray:
        """`[vocabulary]` int32, how many bytes of text each token stands for: 0 of those that stand for none."""
        added = {i for i, token in self.model.get_added_tokens_decoder().items() if token.special}
        byte_level = '"ByteLevel"' in json.dumps(json.loads(self.model.to_str())["decoder"])
        sizes = np.zeros(vocabulary, np.int32)
        for word, token in self.model.get_vocab(with_added_tokens=True).items():
            if token not in added and byte_level:  # each of whose characters is a byte
                sizes[token] = len(word)
            elif token not in added:
                sizes[token] = 1 if BYTE.fullmatch(word) else len(word.replace(SPACE, " ").encode())
        return sizes

    def decode(self, tokens: Any, *, special: bool = False) -> str:
        """The text of tokens `[n]`, with the names of those that stand for no text where `special`."""
        return self.model.decode(np.asarray(tokens).tolist(), skip_special_tokens=not special)


def tokenizer_of(checkpoint: Checkpoint, vocabulary: int) -> Tokenizer | None:
    """A checkpoint's; None where it has none.

    Raises:
      InputError: tokens that the model has no embedding of.
    """
    model = checkpoint.tokenizer()
    if model is None:
        return None
    found = Tokenizer(model, checkpoint.end)
    if found.vocabulary > vocabulary or any(end >= vocabulary for end in found.end):
        most = max(found.vocabulary - 1, *found.end, 0)
        raise InputError(
            f"{checkpoint.where}: the tokenizer is of another model: its largest token is {most}, and the vocabulary "
            f"has {vocabulary} tokens, 0 to {vocabulary - 1}."
        )
    return found


def of_words(where: str, settings: Mapping[str, Any]) -> Any:
    """Byte-pair encoding, of the words and merges in a GGUF's settings.

    Raises:
      InputError: words of another kind, or a pre-tokenizer that is unknown: with another, text would get tokens that
        the model was not trained with.
    """
    hint = "; tokenizer=False loads the model without its tokenizer"
    own = lambda name, default=None: settings.get(f"tokenizer.ggml.{name}", default)
    if own("model") != "gpt2":
        raise InputError(f"{where}: tokenizer.ggml.model: expected 'gpt2' (byte pairs), got {own('model')!r}{hint}.")
    if own("pre", "default") not in SPLITS:
        known = ", ".join(SPLITS)
        raise InputError(f"{where}: tokenizer.ggml.pre: unknown {own('pre')!r}{hint}. Known: {known}.")
    words, pattern = own("tokens", []), SPLITS[own("pre", "default")]
    kinds = own("token_type") or [1] * len(words)
    if not words or len(kinds) != len(words):
        raise InputError(f"{where}: expected a type for each of the tokenizer's {len(words)} words, got {len(kinds)}.")
    tokenizers = library("tokenizers", where)
    merges = [tuple(merge.split(" ", 1)) for merge in own("merges", [])]
    vocabulary = {word: i for i, word in enumerate(words)}
    llama3 = pattern == SPLITS["llama3"]
    try:
        model = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, merges, ignore_merges=llama3))
    except Exception as error:  # the library's are no class of their own
        raise InputError(f"{where}: the tokenizer's words and merges do not fit together: {error}.") from None
    model.normalizer = tokenizers.normalizers.NFC() if own("pre") == "qwen2" else None
    model.pre_tokenizer = _split(tokenizers, own("pre", "default"), pattern)
    model.decoder = tokenizers.decoders.ByteLevel()
    added = lambda word, kind: tokenizers.AddedToken(word, special=kind == CONTROL, normalized=False)
    model.add_tokens([added(w, k) for w, k in zip(words, kinds, strict=True) if k in (CONTROL, USER_DEFINED)])
    begin = own("bos_token_id")
    if begin is not None and own("add_bos_token", llama3):
        check.integer(f"{where}: tokenizer.ggml.bos_token_id", begin, least=0, most=len(words) - 1)
        template = tokenizers.processors.TemplateProcessing
        word = words[begin]
        model.post_processor = template(single=f"{word} $A", special_tokens=[(word, begin)])
    return model


def _split(tokenizers: Any, name: str, pattern: str | None) -> Any:
    """Cuts text into what pairs are joined within, and writes its bytes as characters."""
    of = tokenizers.pre_tokenizers
    if pattern is not None:
        parts = [of.Split(tokenizers.Regex(pattern), "isolated"), of.ByteLevel(False, use_regex=False)]
    else:
        parts = [*([of.Digits(individual_digits=True)] if name == "smollm" else []), of.ByteLevel(False)]
    return of.Sequence(parts)
