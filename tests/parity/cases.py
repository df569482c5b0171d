"""What the goldens are taken for: HF's parameters, by name. Ours have the same names."""

from __future__ import annotations

Parameters = dict[str, bool | int | float | str | list[int]]

_EACH_STOPPING: dict[str, bool | str] = {"true": True, "false": False, "never": "never"}
_SHORT: Parameters = {"max_new_tokens": 60}  # random weights can talk for ever


def all_cases() -> dict[str, Parameters]:
    """Return every case; none of them draws."""
    cases = _searches() | _limits() | _penalties()
    return {
        name: case if {"max_new_tokens", "max_length"} & case.keys() else _SHORT | case
        for name, case in cases.items()
    }


def prompted_cases() -> dict[str, Parameters]:
    """Return those that are asked with preceding text in the prompt: what may count its tokens."""
    groups: Parameters = {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 1.0}
    searches: dict[str, Parameters] = {
        "greedy": {},
        "beam 4": {"num_beams": 4},
        "beam 3, true": {"num_beams": 3, "early_stopping": True},
        "groups 4/2": groups,
        "contrastive": {"penalty_alpha": 0.6, "top_k": 4},
    }
    rules: dict[str, Parameters] = {
        "": {},
        ", repetition_penalty 1.5": {"repetition_penalty": 1.5},
        ", repetition_penalty 0.8": {"repetition_penalty": 0.8},
        ", no_repeat_ngram_size 1": {"no_repeat_ngram_size": 1},
        ", no_repeat_ngram_size 2": {"no_repeat_ngram_size": 2},
        ", both": {"repetition_penalty": 1.2, "no_repeat_ngram_size": 3},
        ", max_length 30": {"max_length": 30},
        ", min_length 40": {"min_length": 40},
    }
    return {
        search + rule: ({} if "max_length" in given else _SHORT) | chosen | given
        for search, chosen in searches.items()
        for rule, given in rules.items()
    }


def speech_cases() -> dict[str, Parameters]:
    """Return those that the demo model is asked: without the ones that real speech never shows."""
    return {
        name: case
        for name, case in all_cases().items()
        if "1 at most" not in name and not ("length penalty" in name and "2.0" not in name)
    }


def _searches() -> dict[str, Parameters]:
    cases: dict[str, Parameters] = {
        "greedy": {},
        "beam 4": {"num_beams": 4},
        "as HF's pipeline": {"num_beams": 5, "max_new_tokens": 256},
    }
    for name, mode in _EACH_STOPPING.items():
        for num_beams in (2, 4, 5):
            cases[f"beam {num_beams}, {name}"] = {"num_beams": num_beams, "early_stopping": mode}
        for num_beams, num_groups in ((4, 2), (6, 3)):
            cases[f"groups {num_beams}/{num_groups}, {name}"] = {
                "num_beams": num_beams,
                "num_beam_groups": num_groups,
                "diversity_penalty": 1.0,
                "early_stopping": mode,
            }
    for penalty in (-1.0, 0.0, 0.5, 2.0):
        for name, mode in _EACH_STOPPING.items():
            cases[f"beam 4, {name}, length penalty {penalty}"] = {
                "num_beams": 4,
                "early_stopping": mode,
                "length_penalty": penalty,
            }
    for penalty in (-1.0, 2.0):
        cases[f"groups 4/2, length penalty {penalty}"] = {
            "num_beams": 4,
            "num_beam_groups": 2,
            "diversity_penalty": 1.0,
            "early_stopping": "never",
            "length_penalty": penalty,
        }
    cases["groups 4/4, diversity penalty 5"] = {
        "num_beams": 4,
        "num_beam_groups": 4,
        "diversity_penalty": 5.0,
        "early_stopping": False,
    }
    for alpha in (0.3, 0.6):
        for top_k in (4, 8):
            cases[f"contrastive {alpha}, {top_k}"] = {"penalty_alpha": alpha, "top_k": top_k}
    return cases


def _limits() -> dict[str, Parameters]:
    beams: Parameters = {"num_beams": 4, "early_stopping": False}
    groups: Parameters = {**beams, "num_beam_groups": 2, "diversity_penalty": 0.5}
    alike: Parameters = {"penalty_alpha": 0.5, "top_k": 4}
    cases: dict[str, Parameters] = {
        "max_length 448": {"max_length": 448},
        "max_length 12": {"max_length": 12},
        "max_length 12, max_new_tokens 6": {"max_length": 12, "max_new_tokens": 6},
        "min_length 25": {"min_length": 25},
        "min_length 40, min_new_tokens 8": {"min_length": 40, "min_new_tokens": 8},
        "min_length 3": {"min_length": 3},
        "min_new_tokens 12, max_new_tokens 9": {"min_new_tokens": 12, "max_new_tokens": 9},
        "beams, min_length 40, max_length 24": {**beams, "min_length": 40, "max_length": 24},
        "beams, true, 12 tokens": {**beams, "early_stopping": True, **_exactly(12)},
        "beams, never, min_length 20": {**beams, "early_stopping": "never", "min_length": 20},
    }
    for name, search in {"greedy": {}, "beams": beams, "groups": groups, "alike": alike}.items():
        cases[f"{name}, 30 at least"] = {**search, "min_new_tokens": 30}
        cases[f"{name}, 5 at most"] = {**search, "max_new_tokens": 5}
        cases[f"{name}, 1 at most"] = {**search, "max_new_tokens": 1}
        cases[f"{name}, 12 tokens"] = {**search, **_exactly(12)}
    return cases


def _exactly(count: int) -> Parameters:
    return {"min_new_tokens": count, "max_new_tokens": count}


def _penalties() -> dict[str, Parameters]:
    beams: Parameters = {"num_beams": 3, "early_stopping": True}
    groups: Parameters = {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 1.0}
    alike: Parameters = {"penalty_alpha": 0.6, "top_k": 4}
    return {
        "repetition_penalty": {"repetition_penalty": 1.5},
        "repetition_penalty below 1": {"repetition_penalty": 0.8},
        "beams, repetition_penalty": {**beams, "early_stopping": False, "repetition_penalty": 1.3},
        "groups, repetition_penalty": {**groups, "repetition_penalty": 1.3},
        "no_repeat_ngram_size 1": {"no_repeat_ngram_size": 1},
        "no_repeat_ngram_size 2": {"no_repeat_ngram_size": 2},
        "beams, no_repeat_ngram_size 2": {**beams, "no_repeat_ngram_size": 2},
        "alike, no_repeat_ngram_size 3": {**alike, "no_repeat_ngram_size": 3},
        "suppress_tokens": {"suppress_tokens": list(range(0, 300, 2))},
        "beams, suppress_tokens": {**beams, "suppress_tokens": list(range(100, 300))},
    }
