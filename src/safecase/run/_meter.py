"""Tokens and money: limits that no call can pass, because each call sets aside beforehand the most it can take."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Self

from safecase.declare import Budget, Prices
from safecase.evidence import Identity
from safecase.models import Answer, Delta, EndpointError, Model, Request
from safecase.run._errors import UnheldBudget

_PER_TURN = 16
"""Tokens that a chat template may put around a turn."""


class BudgetSpent(Exception):
    """The next call does not fit into what is left, and nothing in flight will give any back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Tokens, and their price where there is one (USD)."""

    tokens: int
    usd: float

    def plus(self, other: "Use", *, times: int) -> "Use":
        """This and so many times the other."""
        return Use(tokens=self.tokens + times * other.tokens, usd=self.usd + times * other.usd)


class Purse:
    """What a run may still take.

    Args:
        budget: limits; None is no limit.
        prices: USD per million tokens; None where the case names none.
        by_model: prices of models that have others, by name.

    Raises:
        UnheldBudget: a limit on cost without prices.
    """

    def __init__(self, budget: Budget, prices: Prices | None, by_model: Mapping[str, Prices] | None = None) -> None:
        if budget.cost_usd is not None and prices is None:
            raise UnheldBudget(
                "budget.cost_usd needs prices; add `prices: {input: ..., output: ...}` to the model in safecase.yaml"
            )
        self.budget, self.prices, self._by_model = budget, prices, by_model or {}
        self.tokens, self.usd = 0, 0.0
        self._held: list[Use] = []
        self._changed = asyncio.Event()

    def price(self, model: str, tokens_in: int, tokens_out: int) -> Use:
        """What so many tokens of a model come to."""
        prices = self._by_model.get(model, self.prices)
        usd = (prices.input * tokens_in + prices.output * tokens_out) / 1e6 if prices else 0.0
        return Use(tokens=tokens_in + tokens_out, usd=usd)

    async def hold(self, most: Use) -> None:
        """Set aside the most that a call can take; waits while calls in flight may give back enough.

        Raises:
            BudgetSpent: it does not fit, and nothing is in flight.
        """
        while (spent := self._over(most)) is not None:
            if not self._held:
                raise BudgetSpent(spent)
            self._changed.clear()
            await self._changed.wait()
        self._held.append(most)

    def settle(self, most: Use, really: Use) -> None:
        """Take what a call really took, and give back the rest."""
        self._held.remove(most)
        self.tokens += really.tokens
        self.usd += really.usd
        self._changed.set()

    def _over(self, most: Use) -> str | None:
        tokens, usd = self.budget.tokens, self.budget.cost_usd
        if tokens is not None and self.tokens + sum(use.tokens for use in self._held) + most.tokens > tokens:
            rest = max(0, tokens - self.tokens)
            return f"token budget of {tokens} is spent but for {rest}; the next answer may take {most.tokens}"
        if usd is not None and self.usd + sum(use.usd for use in self._held) + most.usd > usd:
            left = max(0.0, usd - self.usd)
            return f"cost budget of {usd:g} USD is spent but for {left:.4f}; the next answer may cost {most.usd:.4f}"
        return None


class MeteredModel:
    """A model whose every call is paid from a purse. What an endpoint does not count is taken at its most.

    So is every answer that a dropped connection lost before the one that came; those alone can pass a limit, by what
    one call's retries lose, and the run then stops.
    """

    def __init__(self, model: Model, purse: Purse) -> None:
        self._model, self._purse = model, purse

    @property
    def name(self) -> str:
        """The model's own."""
        return self._model.name

    @property
    def concurrency(self) -> int:
        """The model's own."""
        return self._model.concurrency

    async def generate(self, request: Request) -> Answer:
        """Answer whole, if it fits.

        Raises:
            BudgetSpent: it does not.
        """
        # No tokeniser makes more tokens than there are bytes.
        longest = sum(len(turn.content.encode()) + _PER_TURN for turn in request.messages)
        most = self._purse.price(self.name, longest, request.settings.max_tokens)
        await self._purse.hold(most)
        really = most
        try:
            answer = await self._model.generate(request)
            if answer.cached:
                really = Use(tokens=0, usd=0.0)
            elif answer.tokens_in is not None and answer.tokens_out is not None:
                really = self._purse.price(self.name, answer.tokens_in, answer.tokens_out)
            really = really.plus(most, times=answer.lost)
        except EndpointError as fault:
            # Refused or never reached, nothing was made; an answer that was lost on its way may have been.
            really = Use(tokens=0, usd=0.0).plus(most, times=fault.lost)
            raise
        finally:
            self._purse.settle(most, really)
        return answer

    def stream(self, request: Request) -> AsyncGenerator[Delta]:
        """Not metered: campaigns ask for whole answers."""
        raise NotImplementedError("a metered model answers whole")

    async def identity(self) -> Identity:
        """The model's own."""
        return await self._model.identity()

    async def aclose(self) -> None:
        """Nothing of its own is open."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass
