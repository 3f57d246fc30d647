"""Read YAML of someone else's: plain values or one clear line, never objects, code or a traceback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from helpers.environment import InputError

__all__ = ["parse", "read", "read_text"]


class _Loader(yaml.SafeLoader):
    """YAML in which a name may stand once: of two, PyYAML takes the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping. Raises `YAMLError` where a name stands twice."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.YAMLError(
                        f"{key.value!r} stands twice, the second time in line {key.start_mark.line + 1}"
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read(path: Path) -> Any:
    """Return what a YAML file holds. Raises `InputError` if it cannot be read or is not valid."""
    return parse(read_text(path), f"{path}")


def read_text(path: Path) -> str:
    """Return a YAML file's text. Raises `InputError` if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give a YAML file.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text; save it as such.") from error


def parse(text: str, where: str) -> Any:
    """Return what a YAML text holds. Raises `InputError`, which begins with `where`, if it is not valid.

    Tags that would make objects are not valid here, nor is what is nested too deeply or is a number of thousands of
    digits, which Python refuses.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, ValueError, OverflowError, TypeError, AttributeError) as error:
        raise InputError(f"{where} is not valid YAML: {error}.") from error
    except RecursionError as error:
        raise InputError(f"{where} is nested too deeply for YAML.") from error
