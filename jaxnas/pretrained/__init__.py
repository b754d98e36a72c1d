"""Pretrained decoders of the Llama family, read as a `networks.Transformer` and written again; and their replacements.

| name | what it does |
|---|---|
| `load` | a folder in Hugging Face's layout, a GGUF file, or a package that holds one, as a `Pretrained` |
| `Pretrained` | network, variables, decisions and tokenizer |
| `save` | a folder that `load` reads to the bit, and `transformers` where the network is one of the family's |
| `generate` | the text after a prompt, each time the most probable token |
| `abstract` | the shapes of one, of its settings alone |
| `Tokenizer` | text to tokens and back |
| `text_for_model` | the task of predicting a text in a model's own tokens |
| `checkpoint`, `trained` | a `training.Parent`: what a file holds, or what is trained here first and kept |
| `parent_of` | a decoder with its variables as a `training.Parent` |
| `replacement_space`, `replacement_network` | what may replace a parent's layers, and the network of it |
| `partition_spec`, `shardings` | how parameters are divided between devices |

What reads files needs the extra: `pip install "jaxnas[llm]"`. Weights are never unpickled.
"""

from jaxnas.pretrained._abstract import abstract
from jaxnas.pretrained._generate import generate
from jaxnas.pretrained._load import Pretrained, load
from jaxnas.pretrained._parents import checkpoint, trained
from jaxnas.pretrained._save import save
from jaxnas.pretrained._text import text_for_model
from jaxnas.pretrained.placement import partition_spec, shardings
from jaxnas.pretrained.replacements import parent_of, replacement_network, replacement_space
from jaxnas.pretrained.tokenizing import Tokenizer

__all__ = [
    "Pretrained",
    "Tokenizer",
    "abstract",
    "checkpoint",
    "generate",
    "load",
    "parent_of",
    "partition_spec",
    "replacement_network",
    "replacement_space",
    "save",
    "shardings",
    "text_for_model",
    "trained",
]
