"""Reading YAML strictly: every complaint says where it is and what was expected there."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import yaml

from deploy.loading import UsageError

INT_MAX = (1 << 64) - 1


class Place:
    """Where something stands: file, case, step; said in front of every complaint."""

    def __init__(self, file: str, case: str = "", within: str = "") -> None:
        self.file = file
        self.case = case
        self.within = within

    def case_of(self, name: str) -> "Place":
        """The same file, inside a case."""
        return Place(self.file, name)

    def at(self, within: str) -> "Place":
        """A field or an element of what stands here: `.key` or `[index]`."""
        return Place(self.file, self.case, f"{self.within}{within}".removeprefix("."))

    def refuse(self, expected: str, got: object) -> NoReturn:
        """The file is malformed here."""
        case = f"case {self.case}: " if self.case else ""
        within = f"at {self.within}: " if self.within else ""
        raise UsageError(f"{self.file}: {case}{within}expected {expected}, got {shown(got)}")


def shown(got: object) -> str:
    """What was found, short enough for one line."""
    if got is MISSING:
        return "nothing"
    text = repr(got)
    return text if len(text) <= 80 else f"{text[:77]}..."


MISSING = object()


class Fields:
    """The keys of one mapping, taken one by one; `end` refuses those that nobody took."""

    def __init__(self, data: object, place: Place, what: str) -> None:
        if not isinstance(data, Mapping):
            place.refuse(what, data)
        for key in data:
            if not isinstance(key, str):
                place.refuse("keys that are words", key)
        self.place = place
        self._left: dict[str, object] = dict(data)
        self._known: dict[str, None] = {}

    def __contains__(self, key: str) -> bool:
        self._known[key] = None
        return key in self._left

    def take(self, key: str, default: object = MISSING) -> Any:
        """The value of a key, which may not be used again."""
        self._known[key] = None
        return self._left.pop(key, default)

    def peek(self, key: str) -> object:
        """The value of a key without taking it; None without one."""
        return self._left.get(key)

    def at(self, key: str) -> Place:
        """Where the value of a key stands."""
        return self.place.at(f".{key}")

    def number(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """A plain number in a range; without a default the key has to be there."""
        got = self.take(key, MISSING if default is None else default)
        if isinstance(got, bool) or not isinstance(got, int) or not low <= got <= high:
            self.at(key).refuse(f"a number from {low} to {high}", got)
        return got

    def flag(self, key: str, default: bool | None = None) -> bool:
        """true or false."""
        got = self.take(key, MISSING if default is None else default)
        if not isinstance(got, bool):
            self.at(key).refuse("true or false", got)
        return got

    def word(self, key: str, known: Sequence[str], default: str | None = None) -> str:
        """One of the words that are known there."""
        got = self.take(key, MISSING if default is None else default)
        if not isinstance(got, str) or got not in known:
            self.at(key).refuse(f"one of {', '.join(known)}", got)
        return got

    def items(self, key: str, what: str) -> list[Any]:
        """A list with at least one element."""
        got = self.take(key)
        if not isinstance(got, list) or not got:
            self.at(key).refuse(f"a list of {what}", got)
        return got

    def end(self) -> None:
        """Nothing else may stand here."""
        for key in self._left:
            self.place.refuse(f"only {', '.join(self._known)}", key)


_MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """YAML in which a key stands once in its mapping."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """As the base does, but the second of two equal keys is an error, not the winner."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, list | dict):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key is no plain word", key_node.start_mark
                )
            if (type(key), key) in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add((type(key), key))
        return super().construct_mapping(node, deep)


def read_yaml(text: str, file: str) -> object:
    """The content of a YAML text; raises `UsageError` with line and column."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "the top"
        problem = error.problem or error.context or "it cannot be read"
        raise UsageError(f"{file}: at {where}: expected YAML, but {problem}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{file}: expected YAML text, but {error}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file}: expected YAML, but a value cannot be read: {error}") from error
