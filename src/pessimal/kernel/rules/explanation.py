r"""An explanation of every path of a model, and a count that knows nothing else of it.

Theorem. The bound of the rule named by the option `by`, with the tables of the explanation in the place of the
weights' own, holds for the model, and for every other model with tables inside the same enclosures; the explanation
may say anything.

*Proof.* Those rules rest on the obligation of a source alone (`model/source.py`), and `model/story.py` keeps it. What
integers leave open is counted as wrong, not decided with the weights. The other models keep the obligation by
definition. ∎

So the bound is at most the accuracy of the model whose tables are what the explanation says, nothing left over, and
everything that it does not say is as bad as it can be.

Balls of Arb hold no interval from nearly zero to one without reaching below zero, so with wide ranges the bounds are
weak in that arithmetic, and certificates made in float64 are refused there.

Soundness: for all weights without LayerNorm before attention, tasks and distributions that the counting rule covers;
    for every explanation and every hint.
Cost: the tables, some seven operations for each of their entries, a product for each word that is one, and the count.
Source: new.

Contents:
    ExplanationInstance, ExplanationRule — about one question, and about all.
    COUNTED_BY — the rules that may count.
"""

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import ClassVar

from pessimal.kernel.arithmetic.interface import AbstractArithmetic
from pessimal.kernel.cost import Uncounted
from pessimal.kernel.hints import Hints
from pessimal.kernel.model.requirements import require_separable
from pessimal.kernel.model.source import Sourced
from pessimal.kernel.model.story import Story, StoryTables
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.kernel.rules.interface import AbstractInstance, AbstractRule, CountBound, Progress, no_progress
from pessimal.spec.architecture import Architecture
from pessimal.spec.distribution import DISTRIBUTIONS
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights

OF_ONE_HEAD = "comparisons"
COUNTED_BY = (OF_ONE_HEAD, "exponential-moment", "grid-count")


@dataclass(frozen=True, eq=False)
class ExplanationInstance(AbstractInstance):
    """The theorem about one question.

    Attributes:
        story: the explanation.
        count: the instance of the rule that counts.
    """

    story: Story
    count: AbstractInstance

    @property
    def length(self) -> Hashable:
        """The words, and the length of the count."""
        return *self.story.words.items(), type(self.count), self.count.length

    def uncounted(self) -> Uncounted:
        """The free numbers of the explanation, and what the count has."""
        found = self.count.uncounted()
        hint_numbers = found.hint_numbers + self.story.n_numbers
        return replace(found, table_numbers=self.story.free_numbers, hint_numbers=hint_numbers)

    def run(self, weights: Weights, arith: AbstractArithmetic) -> object:
        """What the count does."""
        return self.count.run(weights, arith)

    def bound(self, weights: Weights, arith: AbstractArithmetic, progress: Progress = no_progress) -> CountBound:
        """That of the count."""
        return self.count.bound(weights, arith, progress)


class ExplanationRule(AbstractRule):
    """A story as the source of tables of another rule."""

    name: ClassVar[str] = "explanation"
    distributions: ClassVar[tuple[str, ...]] = tuple(DISTRIBUTIONS)

    def require_conditions(self, weights: Weights, question: Question) -> None:
        """No LayerNorm before attention, no final biases, at least two positions; every task, any number of heads."""
        require_separable(weights, question, one_head=False, additive=True)

    def read(self, hints: Hints, architecture: Architecture, question: Question) -> ExplanationInstance:
        """The words of all paths and their arrays; the rest is what the rule that counts reads."""
        # Whoever reads what an explanation is need not read all rules that may count.
        from pessimal.kernel.rules import RULES  # noqa: PLC0415

        rule = RULES[hints.word("by", COUNTED_BY)]
        if question.distribution.name not in rule.distributions:
            covered = " and ".join(rule.distributions)
            raise Rejected(Reason.BAD_HINT, f"{rule.name} covers the distributions {covered}")
        if rule.name == OF_ONE_HEAD and architecture.shape.n_heads > 1:
            raise Rejected(Reason.BAD_HINT, f"{rule.name} covers one head")
        story, rest = Story.read(hints, architecture)
        options = {name: value for name, value in rest.options.items() if name != "by"}
        count = rule.read(replace(rest, options=options), architecture, question)
        if not isinstance(count, Sourced):
            raise Rejected(Reason.RULE_FAILED, f"{rule.name} takes no tables")
        told = count.with_source(StoryTables(story, question.semantics))
        return ExplanationInstance(architecture, question, story, told)
