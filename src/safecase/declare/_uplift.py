"""A human uplift study as it is declared before its first participant: arms, outcome, grading, effect and power."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from safecase.declare._framework import Id, Record, Text
from safecase.declare._yaml import Document


class UpliftOutcome(Record):
    """What is graded. `proportion`: done or not, 0 or 1. `points`: a score between `lowest` and `highest`."""

    scale: Literal["proportion", "points"]
    what: Text
    lowest: float = 0.0
    highest: float = 1.0

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not self.lowest < self.highest:
            raise ValueError(f"highest must be over lowest, got {self.lowest:g} to {self.highest:g}")
        if self.scale == "proportion" and (self.lowest, self.highest) != (0.0, 1.0):
            raise ValueError("a proportion runs from 0 to 1; leave lowest and highest out")
        return self

    @property
    def span(self) -> float:
        """Highest less lowest."""
        return self.highest - self.lowest


class UpliftStudy(Record):
    """People with and without the model at one task. Recorded in a case before results can be taken.

    Attributes of note:
        suite: by which the framework's gates name the study; its measure is `uplift`.
        arm: the version of the model that participants had.
        effect: smallest uplift of concern, in units of the outcome.
        control_mean, spread: supposed mean and standard deviation of the control arm, in units of the outcome; they
            enter the power only. A proportion has its own spread.
        exclusions: reasons for which a participant may be left out, named beforehand. Whoever is left out counts as
            absent all the same.
    """

    id: Id
    title: Text
    suite: Id
    arm: Literal["bare", "trained", "guarded"] = "bare"
    control: Text = Field(description="what the control arm may use")
    treatment: Text = Field(description="what the treatment arm has besides")
    participants: Text = Field(description="who they are, and how they were found")
    per_arm: int = Field(ge=2, le=100_000)
    seed: int = Field(ge=0, description="of the randomisation, drawn before the first participant")
    outcome: UpliftOutcome
    grading: Text = Field(description="who grades, by which rubric, and how they are kept from knowing the arm")
    effect: float = Field(gt=0)
    power: float = Field(default=0.8, gt=0, lt=1)
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    control_mean: float
    spread: float | None = Field(default=None, gt=0)
    exclusions: tuple[Id, ...] = ()
    registration: Text = Field(description="where else it was registered, or that it was not")

    @model_validator(mode="after")
    def _fits_its_scale(self) -> Self:
        low, high = self.outcome.lowest, self.outcome.highest
        if not low <= self.control_mean or not self.control_mean + self.effect <= high:
            raise ValueError(f"control_mean and control_mean + effect must lie in {low:g} to {high:g}")
        if (self.spread is None) != (self.outcome.scale == "proportion"):
            raise ValueError("points take a spread, a proportion takes none")
        return self


def load_study(path: Path) -> UpliftStudy:
    """Read and check a study's YAML file.

    Raises:
        PackError: with file and line of every fault.
    """
    return Document(path).parse(UpliftStudy)
