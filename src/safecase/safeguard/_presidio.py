"""Presidio's recognisers for kinds of personal data that our own patterns do not know.

Only recognisers that hold a check digit against a number are used, and only what passes it. The others rest on words
around the number, which a stream may not have shown yet, or on a language model, which would have to be downloaded.
"""

import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from safecase.evidence import digest_value
from safecase.safeguard._personal import FurtherKind

_RECOGNISERS: dict[FurtherKind, tuple[str, ...]] = {
    "crypto-wallet": ("CryptoRecognizer",),
    "health-number": ("NhsRecognizer", "AuMedicareRecognizer"),
    "medical-licence": ("MedicalLicenseRecognizer",),
    "national-id": (
        "EsNieRecognizer",
        "EsNifRecognizer",
        "FiPersonalIdentityCodeRecognizer",
        "InAadhaarRecognizer",
        "ItFiscalCodeRecognizer",
    ),
}
# Six digits in a row, the six letters and two digits of Italian codes, or a stretch as long as a wallet's address:
# every number looked for has one of these, few replies do, and asking first is a hundred times faster.
_MAY_HOLD = re.compile(r"\d(?:[ ./-]?\d){5}|[A-Za-z]{6}[0-9LMNPQRSTUVlmnpqrstuv]{2}|[A-Za-z0-9]{25}")
_CERTAIN = 1.0  # the score of a match whose check digit holds
_PACKAGE = "presidio-analyzer"


def is_presidio_installed() -> bool:
    """Whether the package is there; it is not loaded."""
    return importlib.util.find_spec("presidio_analyzer") is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class PresidioFinder:
    """Finds numbers of these kinds by Presidio's recognisers, in their order.

    Attributes:
        recognisers: of the package; `Any` because it ships no types.
        digest: kinds, recognisers, and the version of the package.
    """

    recognisers: tuple[Any, ...]
    digest: str

    def find(self, text: str) -> list[tuple[int, int]]:
        """Stretches whose check digit holds."""
        if not _MAY_HOLD.search(text):
            return []
        return [
            (found.start, found.end)
            for recogniser in self.recognisers
            for found in recogniser.analyze(text, recogniser.supported_entities, None)
            if found.score >= _CERTAIN
        ]


def presidio_finder(kinds: Sequence[FurtherKind]) -> PresidioFinder:
    """Load the recognisers of these kinds; the package takes a second to load.

    Raises:
        ModuleNotFoundError: presidio-analyzer is not installed.
    """
    from presidio_analyzer import predefined_recognizers  # late: it loads spaCy

    names = [name for kind in kinds for name in _RECOGNISERS[kind]]
    return PresidioFinder(
        recognisers=tuple(getattr(predefined_recognizers, name)() for name in names),
        digest=digest_value([_PACKAGE, version(_PACKAGE), list(kinds), names]),
    )
