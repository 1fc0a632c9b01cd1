"""Strategies of other people: a class in a Python file, or one that an installed package offers.

Such a strategy is a prover like any other: what it finds is hints, and the rules are sound for all of them.

Contents:
    strategy_class — a strategy by its name, by the place of its class, or by the name a package gives it.
    strategy, made — likewise, with options.
    hints_of — what a strategy finds, its errors in one sentence.
    is_plugin — whether a strategy is not one of ours.
    load_object — an object of a Python file.
    GROUP — the entry points of packages that offer strategies.
"""

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from pessimal.kernel.hints import Hints
from pessimal.kernel.rejection import Rejected
from pessimal.kernel.rules import RULES
from pessimal.kernel.rules.interface import Progress
from pessimal.proving.registry import STRATEGIES
from pessimal.proving.suggestions import did_you_mean, unknown_strategy
from pessimal.spec.question import Question
from pessimal.spec.weights import Weights
from pessimal.strategies import AbstractStrategy, OutOfTimeError, StrategyError

GROUP = "pessimal.strategies"
# Names go into certificates and names of files.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,99}")
MAX_SAID = 200
_loaded: dict[tuple[str, int, int], ModuleType] = {}


def strategy_class(name: str) -> type[AbstractStrategy] | None:
    """The class of a name of ours, of `path/file.py:Class`, or of an entry point; None if there is none.

    Raises:
        StrategyError: the class cannot be had, or is no strategy; one sentence.
    """
    if ".py" in name:
        return _require_strategy(load_object(name, StrategyError), name)
    known = STRATEGIES.get(name.lower())
    if known is not None:
        return known
    found = [one for one in entry_points(group=GROUP) if one.name == name]
    return _require_strategy(_entry(found[0]), name) if found else None


def strategy(name: str, **options: Any) -> AbstractStrategy:
    """A strategy by its name, `path/file.py:Class`, or the name that an installed package gives it.

    Args:
        name: that.
        options: its options.

    Raises:
        StrategyError: one sentence.
    """
    kind = strategy_class(name)
    if kind is None:
        raise unknown_strategy(name)
    unknown = sorted(options.keys() - set(kind.option_names()))
    if unknown:
        names = ", ".join(kind.option_names()) or "none"
        hint = did_you_mean(unknown[0], kind.option_names())
        raise StrategyError(f"strategy {name} has no option {unknown[0]!r}{hint}; its options: {names}")
    return made(kind, options, name)


def made(kind: type[AbstractStrategy], options: Mapping[str, Any], name: str) -> AbstractStrategy:
    """A strategy with options, its errors in one sentence that names it."""
    with _one_sentence(f"strategy {name}"):
        return kind(**options)


def hints_of(strategy: AbstractStrategy, weights: Weights, question: Question, progress: Progress) -> Hints:
    """`AbstractStrategy.hints`; of a strategy that is not ours, every error in one sentence.

    Raises:
        StrategyError: it failed, or what it returns are no hints.
    """
    if not is_plugin(strategy):
        return strategy.hints(weights, question, progress)
    found: list[Any] = []
    with _one_sentence(f"strategy {strategy.name}"):
        found.append(strategy.hints(weights, question, progress))
    hints = found[0]
    if isinstance(hints, Hints):
        return hints
    raise StrategyError(f"strategy {strategy.name} returned {type(hints).__name__}, not Hints")


def is_plugin(strategy: AbstractStrategy) -> bool:
    """Whether a strategy's class is defined outside this package."""
    return type(strategy).__module__.partition(".")[0] != "pessimal"


def load_object(place: str, kind: type[ValueError]) -> Any:
    """The object named after the last colon of `path/file.py:name`.

    Args:
        place: that.
        kind: of the error.

    Raises:
        ValueError: of this kind, one sentence.
    """
    file, colon, name = place.rpartition(":")
    if not colon or not file or not name.isidentifier():
        raise kind(f"{place[:MAX_SAID]!r} is not a place such as path/file.py:name")
    path = Path(file)
    try:
        status = path.stat()
        if not path.is_file():
            raise kind(f"{file} is not a file")
    except OSError as error:
        raise kind(f"{file}: {error.strerror or 'cannot be read'}") from None
    module = _module(path, (str(path.resolve()), status.st_mtime_ns, status.st_size), kind)
    if not hasattr(module, name):
        # What a file imports is not what it is about.
        own = [key for key, one in vars(module).items() if getattr(one, "__module__", None) == module.__name__]
        raise kind(f"{path.name} has no {name}; it defines {', '.join(own[:20]) or 'nothing'}")
    return getattr(module, name)


def _module(path: Path, key: tuple[str, int, int], kind: type[ValueError]) -> ModuleType:
    """A file as a module, run once as long as it does not change; it may import what lies beside it."""
    if key in _loaded:
        return _loaded[key]
    name = f"plugin_{sha256(repr(key).encode()).hexdigest()[:16]}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise kind(f"{path.name} is not a Python file")
    module = module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        with _one_sentence(f"importing {path.name}", kind):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(str(path.resolve().parent))
    _loaded[key] = module
    return module


def _entry(point: EntryPoint) -> Any:
    with _one_sentence(f"strategy {point.name} of {point.value}"):
        return point.load()


def _require_strategy(found: Any, name: str) -> type[AbstractStrategy]:
    """Refuse what is no strategy, and say why."""
    if not (inspect.isclass(found) and issubclass(found, AbstractStrategy)):
        raise StrategyError(f"{name} is not a strategy: it is no class that derives AbstractStrategy")
    if inspect.isabstract(found):
        missing = ", ".join(sorted(found.__abstractmethods__))
        raise StrategyError(f"{name} is not a strategy: it does not define {missing}")
    words = [getattr(found, word, None) for word in ("name", "rule")]
    if not all(isinstance(word, str) for word in words):
        raise StrategyError(f"{name} is not a strategy: it has no {'rule' if isinstance(words[0], str) else 'name'}")
    if not hasattr(found, "__dataclass_fields__"):
        raise StrategyError(f"{name} is not a strategy: it is no dataclass")
    if NAME.fullmatch(found.name) is None:
        raise StrategyError(f"{name}: a strategy's name has letters, digits and . + _ -, not {found.name[:40]!r}")
    if found.rule not in RULES:
        raise StrategyError(f"{name} appeals to the rule {found.rule[:40]!r}; known: {', '.join(sorted(RULES))}")
    return found


@contextmanager
def _one_sentence(what: str, kind: type[ValueError] = StrategyError) -> Iterator[None]:
    """Errors of other people's code as one sentence that says where; interrupts and what provers raise pass."""
    try:
        yield
    except (Rejected, OutOfTimeError, MemoryError, StrategyError):
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, it is theirs
        text = " ".join(str(error).split())[:MAX_SAID]
        raise kind(f"{what} failed: {type(error).__name__}{': ' if text else ''}{text}{_line(error)}") from None


def _line(error: BaseException) -> str:
    """Where it was raised."""
    if isinstance(error, SyntaxError):
        return ""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    return f" ({Path(trace.tb_frame.f_code.co_filename).name} line {trace.tb_lineno})"


__all__ = ["GROUP", "hints_of", "is_plugin", "load_object", "made", "strategy", "strategy_class"]
