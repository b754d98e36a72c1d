"""Equations as MathML, which browsers draw by themselves: no script from elsewhere, and wrong LaTeX is an error."""

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.errors import ExtensionError


def _visit(display: str):
    def visit(translator, node) -> None:
        try:
            markup = convert(node.astext(), display=display)
        except Exception as error:  # the parser's own, of many kinds
            page = translator.builder.current_docname
            raise ExtensionError(f"{page}: {node.astext()} is no LaTeX ({error}).") from None
        translator.body.append(markup if display == "inline" else f'<div class="math">{markup}</div>')
        raise nodes.SkipNode

    return visit


def setup(app):
    app.add_html_math_renderer("mathml", (_visit("inline"), None), (_visit("block"), None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
