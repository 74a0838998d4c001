"""The pages of the desk: forms without script, style named in the policy by its digest, every value escaped.

What is injected by whatever way does not run: the policy allows no script at all. No request or answer of anybody is
shown to anybody else here; a reporter sees their own words, as text.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safecase.respond._attachments import TYPES
from safecase.respond._desk import Desk
from safecase.web import source_of

_HERE = Path(__file__).parent / "page"
LABELS: Mapping[str, str] = {
    "feedback": "Feedback",
    "risky-output": "The model gave a harmful or risky answer",
    "model-fault": "The model is wrong or does not work",
    "security": "A security vulnerability",
    "policy-violation": "Somebody breaks the rules of use",
    "non-compliance": "The organisation does not keep to law or to its own framework",
}


@dataclass(frozen=True, slots=True)
class Pages:
    """Renders the pages of one desk.

    Attributes:
        policy: the Content-Security-Policy to send with each.
    """

    policy: str
    _templates: Any  # jinja2's environment, loaded late
    _common: Mapping[str, Any]

    def render(self, name: str, **values: Any) -> str:
        """A page: `report`, `receipt` or `follow`."""
        return str(self._templates.get_template(f"{name}.html.j2").render(**self._common, **values))


def load_pages(desk: Desk) -> Pages:
    """Prepare the pages of a desk."""
    import jinja2  # late: only a server needs it

    css = (_HERE / "page.css").read_text(encoding="utf-8")
    templates = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, loader=jinja2.FileSystemLoader(_HERE)
    )
    common = {
        "organisation": desk.spec.organisation,
        "css": css,
        "channels": LABELS,
        "contexts": desk.case.spec.contexts,
        "limits": desk.spec.limits,
        "types": ", ".join(TYPES),
    }
    policy = (
        f"default-src 'none'; style-src {source_of(css)}; img-src data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    return Pages(policy, templates, common)
