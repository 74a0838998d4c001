"""For whom a layer stands: audiences by verified attribute, and rulings that a trusted-access tier is not held to."""

from collections.abc import Mapping
from dataclasses import dataclass

from safecase.safeguard._values import Ground, Ruling


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """Accounts with one of these values of a verified attribute.

    Attributes:
        values: of those in `known`, the ones that a layer is for.
        known: every value that the stack declares. Another one tells as little as none.
        unknown: whether an account of which nothing is known counts among them; it does unless the stack says
            otherwise, so that not knowing is the stricter side.
    """

    attribute: str
    values: frozenset[str]
    known: frozenset[str]
    unknown: bool = True

    def holds(self, attributes: Mapping[str, str]) -> bool:
        """Whether an account with these attributes is of this audience.

        >>> minors = Audience(attribute="age", values=frozenset({"minor"}), known=frozenset({"minor", "adult"}))
        >>> [minors.holds(told) for told in ({"age": "minor"}, {"age": "adult"}, {"age": "42"}, {})]
        [True, False, True, True]
        """
        value = attributes.get(self.attribute)
        return self.unknown if value not in self.known else value in self.values


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What accounts of a tier are not held to. Everything that is given has to fit.

    Attributes:
        rules: heads, topics or rules of the layer; empty for all of them.
    """

    tier: str
    layer: str | None = None
    rules: frozenset[str] = frozenset()
    principle: str | None = None

    def covers(self, layer: str, ground: Ground) -> bool:
        """Whether a ground of a layer's ruling is one that the tier is not held to."""
        return (
            (self.layer is None or self.layer == layer)
            and (not self.rules or ground.rule in self.rules)
            and (self.principle is None or self.principle == ground.principle)
        )


def relaxing_tier(passes: tuple[Pass, ...], tiers: frozenset[str], layer: str, ruling: Ruling) -> str | None:
    """The first tier, in the stack's order, that by itself covers every ground of a ruling; None without one.

    Two tiers that cover half of it each do not add up: one person's grant has to answer for the whole.
    """
    grounds = ruling.grounds or (Ground(rule=None, principle=ruling.principle),)
    for tier in dict.fromkeys(one.tier for one in passes if one.tier in tiers):
        granted = [one for one in passes if one.tier == tier]
        if all(any(one.covers(layer, ground) for one in granted) for ground in grounds):
            return tier
    return None
