"""Text in the tokens of a pretrained model."""

import os

import numpy as np

from jaxnas.check import InputError
from jaxnas.pretrained._load import described
from jaxnas.pretrained.locating import open_checkpoint
from jaxnas.pretrained.tokenizing import Tokenizer, tokenizer_of
from jaxnas.tasks import Task, Tokens, text


def text_for_model(path: str | os.PathLike = "", *, model: str | os.PathLike, **options) -> Task:
    """The task `text` in the tokens of a pretrained model, which a search of its replacements is scored on.

    Args:
      path: a file, or a folder whose files, at any depth, are text.
      model: where the model is, see `load`; only its tokenizer is read.
      **options: of `tasks.text`, without `level` and `vocabulary`.

    Raises:
      InputError: as `tasks.text` and `load`; a model without a tokenizer.
    """
    checkpoint = open_checkpoint(model)
    size = described(checkpoint)[0].vocabulary
    tokenizer = tokenizer_of(checkpoint, size)
    if tokenizer is None:
        raise InputError(f"model: {checkpoint.where} has no tokenizer.")
    return text(path, tokens=_tokens(tokenizer, size), **options)


def _tokens(tokenizer: Tokenizer, vocabulary: int) -> Tokens:
    kind = np.min_scalar_type(vocabulary - 1)
    return Tokens(
        lambda text: tokenizer.encode(text).astype(kind),
        tokenizer.decode,
        tokenizer.bytes_of(vocabulary),
    )
