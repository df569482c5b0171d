"""Random sentences of the demo model's domain: lower case words, numbers spelled out.

Independent of voices and audio.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from training.grammar import CLAUSES, NOUN_PHRASES, PLACES, QUESTIONS, TEMPLATES
from training.words import ALL_WORDS, CATEGORIES, ORDINALS, TEENS, TENS

_DIGITS = CATEGORIES["digit"]


def spell_number(number: int) -> str:
    """Return a whole number from 0 to 999,999 in words, without hyphens or "and"."""
    if number < 10:
        return _DIGITS[number]
    if number < 20:
        return TEENS[number - 10]
    for size, name in ((1000, " thousand"), (100, " hundred")):
        if number >= size:
            head, rest = divmod(number, size)
            return spell_number(head) + name + (f" {spell_number(rest)}" if rest else "")
    tens, ones = divmod(number, 10)
    return TENS[tens - 2] + (f" {_DIGITS[ones]}" if ones else "")


def _number(rng: random.Random) -> str:
    highest = rng.choice((20, 100, 100, 1000, 10_000))
    number = rng.randrange(highest)
    if rng.random() < 0.2:
        number = max(1, number // 10) * 10
    return spell_number(number)


def _digits(rng: random.Random) -> str:
    return " ".join(rng.choice(_DIGITS) for _ in range(rng.randint(1, 8)))


def _time(rng: random.Random) -> str:
    hour, minute = rng.randint(1, 12), rng.choice((0, 5, 10, 15, 20, 30, 45, rng.randint(10, 59)))
    if rng.random() < 0.3:
        part = rng.choice(("half past", "quarter past", "quarter to", "ten past", "twenty to"))
        return f"{part} {spell_number(hour)}"
    suffix = rng.choice(("", "", " in the morning", " in the evening", " o'clock", " sharp"))
    if suffix == " o'clock" or minute == 0:
        return spell_number(hour) + (suffix or " o'clock")
    return f"{spell_number(hour)} {'oh ' if minute < 10 else ''}{spell_number(minute)}{suffix}"


def _ordinal(rng: random.Random) -> str:
    number = rng.randint(1, 31)
    if number <= 20:
        return ORDINALS[number - 1]
    if number == 30:
        return "thirtieth"
    return f"{TENS[number // 10 - 2]} {ORDINALS[number % 10 - 1]}"


def _date(rng: random.Random) -> str:
    month = rng.choice(CATEGORIES["month"])
    form = rng.choice(("{o} of {m}", "{m} {o}", "{m} {n}", "the {o} of {m}", "{m} {o} {y}"))
    day_number = spell_number(rng.randint(1, 31))
    return form.format(o=_ordinal(rng), m=month, n=day_number, y=_year(rng))


def _year(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return f"nineteen {spell_number(rng.randint(10, 99))}"
    return f"twenty {spell_number(rng.randint(10, 40))}"


def _money(rng: random.Random) -> str:
    currency = rng.choice(("dollars", "dollars", "euros", "pounds"))
    amount = f"{_number(rng)} {currency}"
    if rng.random() < 0.35:
        amount += f" and {spell_number(rng.choice((10, 25, 50, 75, 99, rng.randint(1, 99))))} cents"
    return amount


def _random_words(rng: random.Random) -> str:
    return " ".join(rng.choice(ALL_WORDS) for _ in range(rng.randint(2, 7)))


def _one_of(templates: tuple[str, ...]) -> Callable[[random.Random], str]:
    return lambda rng: _fill(rng, rng.choice(templates))


_SLOTS: dict[str, Callable[[random.Random], str]] = {
    "N": _number, "DIGITS": _digits, "TIME": _time, "DATE": _date, "ORDINAL": _ordinal,
    "YEAR": _year, "MONEY": _money, "RANDOM": _random_words,
    "ONOFF": lambda rng: rng.choice(("on", "off")),
    "CLAUSE": _one_of(CLAUSES), "QUESTION": _one_of(QUESTIONS), "NP": _one_of(NOUN_PHRASES),
    "PP": _one_of(PLACES),
}  # fmt: skip


def _fill(rng: random.Random, template: str) -> str:
    def replace(match: re.Match[str]) -> str:
        slot = match.group(1)
        return _SLOTS[slot](rng) if slot in _SLOTS else rng.choice(CATEGORIES[slot])

    return re.sub(r"\{(\w+)\}", replace, template)


@dataclass(frozen=True)
class Sentence:
    """One text to speak and the category it was drawn from."""

    text: str
    category: str


SHARES: dict[str, float] = {
    "digits": 0.12, "number": 0.08, "time": 0.06, "date": 0.06, "money": 0.05, "travel": 0.08,
    "command": 0.13, "everyday": 0.34, "random": 0.08,
}  # fmt: skip


def draw_sentence(rng: random.Random, category: str | None = None) -> Sentence:
    """Return a random sentence; without `category`, one is drawn by `SHARES`."""
    if category is None:
        category = rng.choices(list(SHARES), list(SHARES.values()))[0]
    text = _fill(rng, rng.choice(TEMPLATES[category]))
    # The templates append "s"; correct the irregular plurals.
    for wrong, right in (
        ("sheeps", "sheep"),
        ("foxs", "foxes"),
        ("mouses", "mice"),
        ("wolfs", "wolves"),
    ):
        text = text.replace(wrong, right)
    return Sentence(text, category)


def draw_held_out(seed: int, num_per_category: int) -> list[Sentence]:
    """Return distinct sentences for evaluation, `num_per_category` of each category.

    They have at least three words: single words are the vocabulary and cannot be held out.
    """
    rng = random.Random(seed)
    held_out: dict[str, Sentence] = {}
    for category in SHARES:
        missing = num_per_category
        while missing:
            sentence = draw_sentence(rng, category)
            if len(sentence.text.split()) >= 3 and sentence.text not in held_out:
                held_out[sentence.text] = sentence
                missing -= 1
    return list(held_out.values())
