"""The page of a campaign: one document with its style and script inside, and a policy that allows nothing else.

Style and script are named in the policy by their digests, so what is injected by whatever way does not run; the script
writes text only through `textContent`. What the page shows of a campaign beside its title needs a key.
"""

from dataclasses import dataclass
from pathlib import Path

from safecase.redteam._campaign import Campaign
from safecase.web import source_of

_HERE = Path(__file__).parent / "page"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The document, and its `Content-Security-Policy`."""

    html: str
    policy: str


def load_page(campaign: Campaign) -> Page:
    """Render the page of a campaign."""
    import jinja2  # late: only a server needs it

    css, js = ((_HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    template = (_HERE / "page.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    html = environment.from_string(template).render(
        title=campaign.title, language=campaign.languages[0], css=css, js=js
    )
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {source_of(js)}",
            f"style-src {source_of(css)}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
    return Page(html=html, policy=policy)
