"""The pages: templates in which every value is escaped, one style and one script as files, and a policy for them.

A page works without its script, which gives keys to buttons that are there anyway.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safecase.console._overview import TONES
from safecase.console._sheets import MEANINGS
from safecase.console._words import moment, span, visible

_HERE = Path(__file__).parent / "page"
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
STATIC: Mapping[str, str] = {"console.css": "text/css", "console.js": "text/javascript"}
"""Files that pages ask for, with their media types."""


@dataclass(frozen=True, slots=True)
class Pages:
    """Renders pages.

    Attributes:
        static: name -> content.
    """

    static: Mapping[str, str]
    _templates: Any  # jinja2's environment, loaded late

    def render(self, name: str, **values: Any) -> str:
        """A page by the name of its template."""
        return str(self._templates.get_template(f"{name}.html.j2").render(**values))


def load_pages() -> Pages:
    """Prepare the pages."""
    import jinja2  # late: only a server needs it

    templates = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FileSystemLoader(_HERE),
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    templates.filters.update(moment=moment, span=span, shell=_shell, tone=lambda word: TONES.get(word, "none"))
    templates.globals.update(meanings=MEANINGS, drawing=_drawing)
    return Pages({name: (_HERE / name).read_text(encoding="utf-8") for name in STATIC}, templates)


def _shown(value: Any) -> Any:
    """What a template puts on a page: no text of anybody's hides a sign."""
    return visible(value) if type(value) is str else value


def _drawing(svg: str) -> Any:
    """A drawing of ours, whose words are escaped already; what they hide is spelled out and escaped as well."""
    from markupsafe import Markup, escape

    for sign in sorted(set(svg) - set(visible(svg))):
        svg = svg.replace(sign, str(escape(visible(sign))))
    return Markup(svg)  # noqa: S704 - our own drawing


def _shell(path: object) -> str:
    """A path as a shell takes it."""
    return shlex.quote(str(path))
