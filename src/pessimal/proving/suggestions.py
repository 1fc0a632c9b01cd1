"""What somebody may have meant by a word that is not known.

Contents:
    did_you_mean — what to put behind an unknown word in a sentence.
    unknown_strategy — what to say of a name that no strategy has.
    PATTERN — how the published names are made.
    closest — the known words that are like it, the closest first.
"""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

from pessimal.proving.registry import STRATEGIES
from pessimal.strategies import PUBLISHED, StrategyError

MAX_NAMED = 3
# Of a word that is compared: what is longer is no slip of the fingers.
MAX_LENGTH = 80
LIKE = 0.6
# A word that begins another, or is part of it, from so many letters on.
MIN_PART = 3
# As `pessimal strategies` prints it.
PATTERN = "eupu-A--attn-B--attn-err-C"
PUBLISHED_NAME = re.compile(r"eupu-(.+?)--attn-(?!err-)(.+?)--attn-err-(.+)")
EXPLAINED = "`pessimal strategies` lists them"


def closest(word: str, known: Iterable[str]) -> list[str]:
    """The known words that are like a word, the closest first, at most three."""
    plain = {name.lower().replace("_", "-"): name for name in known}
    asked = word[:MAX_LENGTH].lower().replace("_", "-").strip()
    if asked in plain:
        return [plain[asked]]
    found = get_close_matches(asked, plain, MAX_NAMED, LIKE)
    bare = asked.replace("-", "")
    if len(bare) >= MIN_PART:
        inside = [name for name in plain if name.replace("-", "").startswith(bare) or bare in name.replace("-", "")]
        inside.sort(key=lambda name: -SequenceMatcher(None, asked, name).ratio())
        found += [name for name in inside if name not in found]
    return [plain[name] for name in found[:MAX_NAMED]]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean X?)`, or nothing where no known word is like it."""
    found = closest(word, known)
    return f" (did you mean {' or '.join(found)}?)" if found else ""


def unknown_strategy(name: str) -> StrategyError:
    """What to say of a name that no strategy has."""
    asked, said = name.lower(), repr(name[:120])
    if asked == PATTERN.lower():
        example = next(iter(PUBLISHED))
        return StrategyError(
            f"{PATTERN} stands for {len(PUBLISHED)} published strategies: put a word in the place of A, of B and of C,"
            f" for example {example}. A is one of {', '.join(_published_words(0))}; B of"
            f" {', '.join(_published_words(1))}; C of {', '.join(_published_words(2))}"
        )
    parts = PUBLISHED_NAME.fullmatch(asked)
    for place, part in enumerate(parts.groups() if parts is not None else ()):
        words = _published_words(place)
        if part not in words:
            return StrategyError(
                f"strategy {said}: {'ABC'[place]} of {PATTERN} is one of {', '.join(words)},"
                f" not {part}{did_you_mean(part, words)}"
            )
    known = ", ".join(sorted(STRATEGIES.keys() - PUBLISHED.keys()))
    hint = did_you_mean(name, STRATEGIES)
    return StrategyError(
        f"unknown strategy {said}{hint}; known: {known}, and {len(PUBLISHED)} published ones named {PATTERN}:"
        f" {EXPLAINED}"
    )


def _published_words(place: int) -> list[str]:
    """The words that stand in one place of the published names."""
    found = [PUBLISHED_NAME.fullmatch(name) for name in PUBLISHED]
    return list(dict.fromkeys(parts.groups()[place] for parts in found if parts is not None))
