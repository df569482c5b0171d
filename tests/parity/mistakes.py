"""Mistakes that one could make in the decoding rules: what `mutations.py` tries out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutation:
    """A mistake that one could make.

    Attributes:
        name: What goes wrong.
        module: Where, below `engine`.
        changes: Texts of the source, each there once, and what stands there instead.
    """

    name: str
    module: str
    changes: tuple[tuple[str, str], ...]

    def apply(self, root: Path) -> None:
        """Change the copy below `root`."""
        path = root / "engine" / f"{self.module}.py"
        source = path.read_text(encoding="utf-8")
        for old, new in self.changes:
            if source.count(old) != 1:
                raise SystemExit(f"{self.name}: {source.count(old)} times in {path.name}: {old!r}")
            source = source.replace(old, new)
        path.write_text(source, encoding="utf-8")


def _one(module: str, name: str, old: str, new: str) -> Mutation:
    return Mutation(name, f"decoding/{module}", ((old, new),))


_NO_END = """        if len(answer) < plan.min_new_tokens:
            scores[vocabulary.end_of_text] = -np.inf
"""
_TIMES = """        if plan.timestamps:
            apply_timestamp_rules(scores, answer, vocabulary)
"""
_TOP_P = """    if plan.top_p < 1:
        kept = keep_top_p(kept, plan.top_p)
"""
_TYPICAL = """    if plan.typical_p < 1:
        kept = keep_typical(kept, plan.typical_p)
"""
_EPSILON = """    if plan.epsilon_cutoff > 0:
        kept = keep_above(kept, plan.epsilon_cutoff)
"""
_ETA = """    if plan.eta_cutoff > 0:
        kept = keep_above(kept, eta(kept, plan.eta_cutoff))
"""
_TOP_K = """    if 0 < plan.top_k < len(scores):
        scores = keep_top_k(scores, plan.top_k)
"""
_LATE_TOP_K = (
    _TOP_P
    + """    if 0 < plan.top_k < len(kept):
        kept = keep_top_k(kept, plan.top_k)
"""
)
_TEMPERATURE = (
    "    scores = (scores - scores.max()) / np.float32(max(plan.temperature, _COLDEST))\n"
)


def _swap(name: str, first: str, second: str) -> Mutation:
    return Mutation(name, "decoding/sampling", ((first + second, second + first),))


RULES = (
    Mutation(
        "end suppressed after the timestamp rules",
        "decoding/rules",
        ((_NO_END, ""), (_TIMES, _TIMES + _NO_END)),
    ),
    _one("rules", "minimum off by one", "len(answer) < plan.min", "len(answer) <= plan.min"),
    _one("rules", "repetition forgets the prompt", "np.unique([*self._prompt, *answer])",
         "np.unique(np.array(answer, int))"),
    _one("rules", "repetition ignores the sign", "np.where(scores[said] < 0, scores[said] * "
         "penalty, scores[said] / penalty)", "scores[said] / penalty"),
    _one("rules", "n-grams forget the prompt", "tokens = [*self._prompt, *answer]",
         "tokens = list(answer)"),
    _one("rules", "n-grams miss the last", "for i in range(len(tokens) - size + 1)",
         "for i in range(len(tokens) - size)"),
    _one("rules", "n-grams one longer", "size = self._plan.no_repeat_ngram_size",
         "size = self._plan.no_repeat_ngram_size + 1"),
    _one("rules", "request's suppressed tokens forgotten",
         "[*vocabulary.suppress, *plan.suppress_tokens]", "[*vocabulary.suppress]"),
    _one("rules", "first-token suppression always", "        if not answer:\n            "
         "scores[self._sup", "        if True:\n            scores[self._sup"),
    _one("rules", "times in pairs: first time may pair", "if len(answer) < 2 or is_time[0]:\n"
         "            scores[begin:]", "if len(answer) >= 2 and is_time[0]:\n            "
         "scores[begin:]"),
    _one("rules", "the same time again", "(0 if closes else 1)", "0"),
    _one("rules", "a closed phrase cannot end in a pair", "(0 if closes else 1)", "1"),
    _one("rules", "first time off by one", "MAX_INITIAL_TIMESTAMP + 1 :",
         "MAX_INITIAL_TIMESTAMP :"),
    _one("rules", "the best time instead of all times",
         "peak + np.log(np.exp(times - peak).sum())", "peak"),
    _one("rules", "words all likelier instead of any", "> words.max():", "> np.log("
         "np.exp(words - words.max()).sum()) + words.max():"),
    _one("rules", "not HF's: goes on where nothing may follow", "if scores.max() == -np.inf:",
         "if False:"),
    _one("rules", "<|notimestamps|> left in", "    scores[begin - 1] = -np.inf", "    pass"),
)  # fmt: skip

SAMPLING = (
    Mutation("top p before top k", "decoding/sampling", ((_TOP_K, ""), (_TOP_P, _LATE_TOP_K))),
    _swap("typical before top p", _TOP_P, _TYPICAL),
    _swap("epsilon before typical", _TYPICAL, _EPSILON),
    _swap("eta before epsilon", _EPSILON, _ETA),
    Mutation(
        "temperature last",
        "decoding/sampling",
        (
            (_TEMPERATURE, "    scores = scores.copy()\n"),
            (_ETA, _ETA + "    kept = kept / np.float32(max(plan.temperature, _COLDEST))\n"),
        ),
    ),
    _one("sampling", "top k without the last", "scores >= np.partition", "scores > np.partition"),
    _one("sampling", "top k one more", "np.partition(scores, -k)[-k]",
         "np.sort(scores)[-k - 1]"),
    _one("sampling", "top p by rank", "int((below <= np.float32(1 - p)).sum())",
         "int((1 - p) * len(below))"),
    _one("sampling", "top p without the token that reaches it", "len(scores) - 1)\n    last",
         "len(scores) - 2) + 1\n    last"),
    _one("sampling", "top p drops all equals of the last", "kept = scores > last\n    # HF",
         "return _keep(scores, scores > last)\n    # HF"),
    _one("sampling", "typical sorted by probability", "np.argsort(distance)",
         "np.argsort(-probabilities)"),
    _one("sampling", "typical without the token that reaches it", "kept = distance <= last",
         "kept = distance < last"),
    _one("sampling", "typical by rank", "int((np.cumsum(probabilities[order]) < "
         "np.float32(mass)).sum())", "int(mass * len(order))"),
    _one("sampling", "epsilon may drop all", " | (scores >= scores.max())", ""),
    _one("sampling", "epsilon of the logits", "softmax(scores) >= np.float32(probability)",
         "np.exp(scores) >= np.float32(probability)"),
    _one("sampling", "eta takes the greater", "return min(epsilon", "return max(epsilon"),
    _one("sampling", "eta without the root", "np.sqrt(epsilon) *", "epsilon *"),
    _one("sampling", "eta grows with entropy", "np.exp(-entropy)", "np.exp(entropy)"),
    _one("sampling", "draws ignore the chunk", "np.array([seed, chunk]", "np.array([seed, 0]"),
    _one("sampling", "draws ignore the position", "counter=[position, 0", "counter=[0, 0"),
    _one("sampling", "seeds lose digits", "np.array([seed, chunk], np.uint64)",
         "np.array([float(seed), chunk]).astype(np.uint64)"),
    _one("sampling", "draws one further", "int(tokens[np.", "1 + int(tokens[np."),
    _one("sampling", "draws never the last", "cumulative[:-1], point", "cumulative[:-2], point"),
    _one("sampling", "draws too boldly", "softmax(scores[tokens])",
         "softmax(scores[tokens] * np.float32(1.3))"),
)  # fmt: skip

BEAM = (
    _one("beam", "length without the end", "len(longer[0]) ** plan", "max(1, len(longer[0]) - 1) "
         "** plan"),
    _one("beam", "early_stopping never: length so far", 'is_patient = plan.early_stopping == '
         '"never" and plan.length_penalty > 0', "is_patient = False"),
    _one("beam", "early_stopping never: whatever the penalty", '"never" and plan.length_penalty > '
         '0', '"never"'),
    _one("beam", "early_stopping false: greatest length", 'plan.early_stopping == "never" and',
         "plan.early_stopping is not True and"),
    _one("beam", "early_stopping true goes on", "(plan.early_stopping is True and all_kept)",
         "False"),
    _one("beam", "early_stopping true at the first answer", "all_kept = all(", "all_kept = any("),
    _one("beam", "any pick may be kept", "ends & (np.arange(len(picked)) < plan.num_beams)",
         "ends"),
    _one("beam", "too few picks", "best(totals.reshape(-1), 2 * num_beams)",
         "best(totals.reshape(-1), num_beams + 1)"),
    _one("beam", "all beams start", "    scores[0] = 0  #", "    scores[:] = 0  #"),
    _one("beam", "the best kept is to be beaten", "worst = min(hyp", "worst = max(hyp"),
    _one("beam", "probabilities scaled up after the rules", "    totals += scores[:, None]",
         "    totals = log_softmax(totals) + scores[:, None]"),
    _one("beam", "finished beams run on", "picked + ends.astype(np.float32) * _UNLIKELY",
         "picked + 0 * ends"),
    _one("beam", "beams keep their rows", "parents = beams[running]",
         "parents = np.arange(num_beams)"),
)  # fmt: skip

GROUPS = (
    _one("diverse_beam", "tokens taken twice count once", "plan.diversity_penalty * count",
         "plan.diversity_penalty"),
    _one("diverse_beam", "no diversity", "plan.diversity_penalty * count", "0"),
    _one("diverse_beam", "length without the end", "length = len(self.answers[0]) + 1",
         "length = max(1, len(self.answers[0]))"),
    _one("diverse_beam", "running beams are dropped at the end", "        if not self.is_done:\n",
         "        if False:\n"),
    _one("diverse_beam", "any pick may be kept", "if rank < self.size:", "if True:"),
    _one("diverse_beam", "early_stopping true goes on", "if plan.early_stopping is True:",
         "if False:"),
    _one("diverse_beam", "early_stopping never: length so far", "is_patient = plan",
         "is_patient = False and plan"),
    _one("diverse_beam", "finished groups fall silent", "tokens += own_tokens",
         "tokens += own_tokens if not group.is_done else [0] * size"),
    _one("diverse_beam", "rules before diversity",
         "totals[:, token] -= np.float32(plan.diversity_penalty * count)\n            for row, "
         "answer in zip(totals, group.answers, strict=True):\n                rules.apply(row, "
         "answer)\n",
         "pass\n            for row, answer in zip(totals, group.answers, strict=True):\n"
         "                rules.apply(row, answer)\n            for token, count in "
         "Counter(tokens).items():\n                totals[:, token] -= "
         "np.float32(plan.diversity_penalty * count)\n"),
)  # fmt: skip

SINGLE = (
    _one("single", "contrastive without the prompt's states", "context = _unit(observation.hidden)",
         "context = _unit(observation.hidden[-1:])"),
    _one("single", "contrastive forgets what it said",
         "        context = np.concatenate([context, hidden[chosen : chosen + 1]])\n", ""),
    _one("single", "contrastive: mean likeness", "(hidden @ context.T).max(-1)",
         "(hidden @ context.T).mean(-1)"),
    _one("single", "contrastive: product, not cosine", "hidden = _unit(observation.hidden)",
         "hidden = observation.hidden"),
    _one("single", "contrastive: whole probability", "(1 - alpha) * probabilities[candidates]",
         "probabilities[candidates]"),
    _one("single", "contrastive: one candidate fewer", "alpha * likeness\n",
         "alpha * likeness\n        worth[-1] = -np.inf\n"),
    _one("single", "contrastive goes on from the first row", "logits = observation.logits[chosen]",
         "logits = observation.logits[0]"),
    _one("single", "contrastive says what is forbidden",
         "        worth[scores[candidates] == -np.inf] = -np.inf\n", ""),
    _one("single", "sampling without warpers", "draw(warp(scores, plan), seed",
         "draw(scores, seed"),
    _one("single", "rules spoil what was given", "scores = observation.logits[0].copy()",
         "scores = observation.logits[0]"),
)  # fmt: skip

BEST = (
    _one("search", "best: too few blocks", "np.partition(peaks, -k)[-k] if k <= len(peaks)",
         "np.partition(peaks, -k)[-k + 1] if 1 < k <= len(peaks)"),
    _one("search", "best: of equals the last", "equal[: k - len(above)]",
         "equal[len(equal) - (k - len(above)) :]"),
    _one("softmax", "no softmax", "result -= np.log(np.exp(result).sum(-1, keepdims=True))",
         "result -= 0"),
)  # fmt: skip

LANE = (
    _one("exact", "nobody asks whether a chunk is wanted", "if not one.task.is_wanted():",
         "if False:"),
    _one("exact", "rows of the chunk before", "first += one.num_rows", "first += 1"),
    _one("../model/step_decoder", "what lay in memory shows",
         "self.xp.zeros((len(taken), capacity", "self.xp.empty((len(taken), capacity"),
    _one("../model/step_decoder", "caches of other sizes do not join",
         "        for state in states:\n            self._grow(state, capacity)\n", ""),
    _one("../model/step_decoder", "no mask over shorter rows",
         "if at.shape[1] == 1 and (at == at[0]).all():", "if at.shape[1] == 1:"),
    _one("../model/step_decoder", "padded prompts count", "        state.lengths = lengths\n", ""),
    _one("../model/step_decoder", "rows that swap overwrite each other",
         "            taken = cache[self.xp.asarray(rows[changed]), :length]\n"
         "            cache[self.xp.asarray(changed), :length] = taken\n",
         "            for i in changed:\n"
         "                cache[i, :length] = cache[rows[i], :length]\n"),
    _one("plan", "not HF's: native penalties after text", "if has_previous and (",
         "if False and ("),
    _one("plan", "not HF's: native beams", "return plan.patience is None", "return False"),
    _one("plan", "min_length forgets the prompt", "max(0, (given.min_length or 0) - "
         "prompt_length)", "given.min_length or 0"),
    _one("plan", "max_length forgets the prompt", "(given.max_length or MAX_POSITIONS) - "
         "prompt_length", "(given.max_length or MAX_POSITIONS)"),
)  # fmt: skip

MUTATIONS = (*RULES, *SAMPLING, *BEAM, *GROUPS, *SINGLE, *BEST, *LANE)
