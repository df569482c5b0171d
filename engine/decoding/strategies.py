"""From a plan to the search that it asks for."""

from __future__ import annotations

from talkmill.engine.decoding.beam import beam
from talkmill.engine.decoding.diverse_beam import diverse_beam
from talkmill.engine.decoding.plan import DecodePlan, Strategy
from talkmill.engine.decoding.rules import Rules
from talkmill.engine.decoding.search import Search
from talkmill.engine.decoding.single import contrastive, one_by_one


def new_search(plan: DecodePlan, rules: Rules, end_of_text: int, seed: int, chunk: int) -> Search:
    """Return the search that `plan` asks for, primed.

    Args:
        plan: How to search.
        rules: What may not be said.
        end_of_text: The token that ends an answer.
        seed: Of the draws, where there are any.
        chunk: Its place in the utterance, so that chunks draw differently.
    """
    search: Search
    if plan.strategy is Strategy.CONTRASTIVE:
        search = contrastive(plan, rules, end_of_text)
    elif plan.strategy is Strategy.BEAM:
        search = beam(plan, rules, end_of_text)
    elif plan.strategy is Strategy.DIVERSE_BEAM:
        search = diverse_beam(plan, rules, end_of_text)
    else:
        search = one_by_one(plan, rules, end_of_text, seed, chunk)
    next(search)
    return search
