"""The languages of Whisper: their codes and English names, and what else people call them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection

from ..errors import InvalidOption

_DETECT = ("", "auto")  # instead of a language: it is detected once
_DETECT_EACH = "multi"  # instead of a language: it is detected in each chunk
_MAX_SHOWN = 40  # characters of a wrong name in the message
_MIN_LIKENESS = 0.6  # of a name in the message, by difflib's measure

_TAG = re.compile(r"[a-z]{2,3}(-[a-z0-9]{1,8})+")  # of BCP 47, more than a code

# Whisper's codes, in the order of the alphabet, with the names that OpenAI's answers have.
NAMES = {
    "af": "afrikaans", "am": "amharic", "ar": "arabic", "as": "assamese", "az": "azerbaijani",
    "ba": "bashkir", "be": "belarusian", "bg": "bulgarian", "bn": "bengali", "bo": "tibetan",
    "br": "breton", "bs": "bosnian", "ca": "catalan", "cs": "czech", "cy": "welsh",
    "da": "danish", "de": "german", "el": "greek", "en": "english", "es": "spanish",
    "et": "estonian", "eu": "basque", "fa": "persian", "fi": "finnish", "fo": "faroese",
    "fr": "french", "gl": "galician", "gu": "gujarati", "ha": "hausa", "haw": "hawaiian",
    "he": "hebrew", "hi": "hindi", "hr": "croatian", "ht": "haitian creole", "hu": "hungarian",
    "hy": "armenian", "id": "indonesian", "is": "icelandic", "it": "italian", "ja": "japanese",
    "jw": "javanese", "ka": "georgian", "kk": "kazakh", "km": "khmer", "kn": "kannada",
    "ko": "korean", "la": "latin", "lb": "luxembourgish", "ln": "lingala", "lo": "lao",
    "lt": "lithuanian", "lv": "latvian", "mg": "malagasy", "mi": "maori", "mk": "macedonian",
    "ml": "malayalam", "mn": "mongolian", "mr": "marathi", "ms": "malay", "mt": "maltese",
    "my": "myanmar", "ne": "nepali", "nl": "dutch", "nn": "nynorsk", "no": "norwegian",
    "oc": "occitan", "pa": "punjabi", "pl": "polish", "ps": "pashto", "pt": "portuguese",
    "ro": "romanian", "ru": "russian", "sa": "sanskrit", "sd": "sindhi", "si": "sinhala",
    "sk": "slovak", "sl": "slovenian", "sn": "shona", "so": "somali", "sq": "albanian",
    "sr": "serbian", "su": "sundanese", "sv": "swedish", "sw": "swahili", "ta": "tamil",
    "te": "telugu", "tg": "tajik", "th": "thai", "tk": "turkmen", "tl": "tagalog",
    "tr": "turkish", "tt": "tatar", "uk": "ukrainian", "ur": "urdu", "uz": "uzbek",
    "vi": "vietnamese", "yi": "yiddish", "yo": "yoruba", "yue": "cantonese", "zh": "chinese",
}  # fmt: skip

# Other names of these languages, and other codes: those of ISO 639 and BCP 47 that Whisper lacks.
_ALIASES = {
    "bokmål": "no", "burmese": "my", "castilian": "es", "farsi": "fa", "filipino": "tl",
    "flemish": "nl", "haitian": "ht", "mandarin": "zh", "moldavian": "ro", "moldovan": "ro",
    "panjabi": "pa", "pushto": "ps", "sinhalese": "si", "valencian": "ca",
    "cmn": "zh", "fil": "tl", "in": "id", "iw": "he", "ji": "yi", "jv": "jw", "nb": "no",
    "zh-yue": "yue",
}  # fmt: skip

_CODES = {name: code for code, name in NAMES.items()} | _ALIASES


def language_name(code: str) -> str:
    """Return the English name of a language in lower case; the code itself if it has none here."""
    return NAMES.get(code, code)


def is_open(language: str | None) -> bool:
    """Return whether the value of a request's language leaves it to be detected."""
    return language is None or language.strip().casefold() in (*_DETECT, _DETECT_EACH)


def is_multi(language: str | None) -> bool:
    """Return whether a request asks for the language of each chunk."""
    return language is not None and language.strip().casefold() == _DETECT_EACH


def find_language(language: str, known: Collection[str], field: str, model_name: str) -> str:
    """Return the code of a language.

    Args:
        language: A code ("en"), also of BCP 47 ("pt-BR") or as Whisper's token ("<|en|>"), or an
            English name; in any case.
        known: Codes of the languages that the model has.
        field: The field that holds it.
        model_name: The model.

    Raises:
        InvalidOption: None of the model's languages is called so; the message names the nearest.
    """
    wanted = language.strip().casefold().removeprefix("<|").removesuffix("|>").replace("_", "-")
    candidates = [wanted]
    if _TAG.fullmatch(wanted):
        first, second, *_ = wanted.split("-")
        candidates += [f"{first}-{second}", first]
    for candidate in candidates:
        for code in (candidate, _CODES.get(candidate, "")):
            if code in known:
                return code
    given = repr(language[:_MAX_SHOWN])
    raise InvalidOption(
        f"{field} {given} is not a language of {model_name}: {_nearest(wanted, known)}", field
    )


def _nearest(wanted: str, known: Collection[str]) -> str:
    names = {name: code for name, code in _CODES.items() if code in known}
    names |= {code: code for code in known}
    found = difflib.get_close_matches(wanted[:_MAX_SHOWN], names, n=3, cutoff=_MIN_LIKENESS)
    if not found:
        return f"it has {', '.join(sorted(known))}"
    nearest = dict.fromkeys(names[name] for name in found)
    return f"the nearest are {', '.join(f'{code} ({language_name(code)})' for code in nearest)}"
