"""What code makes a step's result: a hash of every definition that the step reaches, the same in every Python version.

From the step's function the names it uses are followed, inside `helpers`, from definition to definition. That is finer
than whole modules: a changed caption or record asks nobody whether a model would come out different. A class counts
as a whole where it is named, if only in a type hint, since the methods of an object are not followed.

A definition is hashed as its syntax tree, written out here: `ast.dump` and `ast.unparse` differ between Python 3.11 and
3.12. Left out is what cannot change a result: comments, layout, docstrings, type hints, what an error says, a step's
own version.

Only the standard library is used, so that another Python can check it: `python tests/step_code.py FOLDER`.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Step", "steps"]

# how results are kept, and what is printed, cannot change them
EXCLUDED = ("helpers.artifacts", "helpers.records", "helpers.environment.quiet")
DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
# positions, and fields that are empty in all our code but new in 3.12
SKIPPED = {"annotation", "returns", "type_comment", "type_params", "kind", "ctx"}


@dataclass(frozen=True)
class Step:
    """A step as its source declares it, and the hash of each definition that it reaches, by dotted name."""

    version: int
    definitions: dict[str, str] = field(hash=False)

    @property
    def code(self) -> str:
        """One hash of all definitions."""
        return _digest(json.dumps(self.definitions, sort_keys=True))


def steps(root: Path) -> dict[str, Step]:
    """Return all steps declared under `root`/helpers, by name."""
    source = _Source(root)
    found = {}
    for file in sorted((root / "helpers").rglob("*.py")):
        if "@step(" not in file.read_text(encoding="utf-8"):
            continue
        module = ".".join(file.relative_to(root).with_suffix("").parts)
        for name, definition in source.module(module).definitions.items():
            version = _version(definition)
            if version is not None:
                found[name] = Step(version, source.reached(module, name))
    return found


class _Module:
    """A module's top-level definitions, and what its imports from `helpers` are called in it."""

    def __init__(self, path: Path, root: Path) -> None:
        self.definitions: dict[str, ast.AST] = {}
        self.imports: dict[str, tuple[str, str | None]] = {}  # name: (module, name there, or None for the module)
        self.libraries: dict[str, str] = {}  # name: what it is in another library
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for part in tree.body:
            for name in _names(part):
                self.definitions[name] = part
        for part in ast.walk(tree):  # imports inside functions, too
            if not isinstance(part, ast.Import | ast.ImportFrom):
                continue
            module = getattr(part, "module", None) or ""
            for alias in part.names:
                name, inside = alias.asname or alias.name, (module or alias.name).partition(".")[0] == "helpers"
                if inside and not module:
                    raise ValueError(f"{path}: write `from helpers import x`; `{ast.unparse(part)}` is not followed.")
                if not inside:
                    self.libraries[name if alias.asname else name.partition(".")[0]] = f"{module}.{alias.name}"
                elif _is_module(root.joinpath(*module.split("."), alias.name)):
                    self.imports[name] = (f"{module}.{alias.name}", None)
                else:
                    self.imports[name] = (module, alias.name)


class _Source:
    """All modules of a tree, parsed when they are reached."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @functools.cache  # noqa: B019 - one short-lived object
    def module(self, name: str) -> _Module:
        file = self.root.joinpath(*name.split("."))
        return _Module(file / "__init__.py" if _is_module(file / "__init__") else file.with_suffix(".py"), self.root)

    def reached(self, module: str, name: str) -> dict[str, str]:
        """Return the hash of each definition that `name` in `module` reaches, itself first."""
        waiting, found = [(module, name)], {}
        while waiting:
            where, what = waiting.pop()
            dotted = f"{where}.{what}"
            if dotted in found or dotted.startswith(EXCLUDED):
                continue
            known = self.module(where)
            if what in known.definitions:
                found[dotted], uses = self._definition(where, what)
                waiting += uses
            elif what in known.libraries:
                found[dotted] = _digest(known.libraries[what])
            elif what in known.imports:
                target, there = known.imports[what]
                waiting += [(target, there)] if there else self._all(target)
            elif not what.startswith("__"):
                raise ValueError(f"{where} has no {what!r} that its source shows.")
        return dict(sorted(found.items()))

    @functools.cache  # noqa: B019
    def _definition(self, where: str, what: str) -> tuple[str, list[tuple[str, str]]]:
        definition = self.module(where).definitions[what]
        return _digest(json.dumps(_plain(definition))), list(self._uses(where, definition))

    def _uses(self, where: str, definition: ast.AST) -> Iterator[tuple[str, str]]:
        known, taken, hints = self.module(where), set(), set()
        for part in ast.walk(definition):
            if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
                module, there = known.imports.get(part.value.id, (None, ""))
                if module and there is None:
                    taken.add(part.value)
                    yield module, part.attr
            for hint in (getattr(part, "annotation", None), getattr(part, "returns", None)):
                hints.update(ast.walk(hint) if hint else ())
        for part in ast.walk(definition):
            if isinstance(part, ast.Name) and part not in taken:
                if part.id in known.imports and known.imports[part.id][1] is None:
                    yield from self._all(known.imports[part.id][0])
                elif part.id in known.definitions | known.imports or (part.id in known.libraries and part not in hints):
                    yield where, part.id

    def _all(self, module: str) -> Iterator[tuple[str, str]]:
        return ((module, name) for name in self.module(module).definitions)


def _is_module(path: Path) -> bool:
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def _names(part: ast.stmt) -> list[str]:
    if isinstance(part, DEFINITIONS):
        return [part.name]
    if isinstance(part, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = part.targets if isinstance(part, ast.Assign) else [part.target]
        return [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]
    return []


def _version(definition: ast.AST) -> int | None:
    for call in getattr(definition, "decorator_list", []):
        if _is_step(call):
            return next(keyword.value.value for keyword in call.keywords if keyword.arg == "version")
    return None


def _is_step(decorator: ast.AST) -> bool:
    return isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == "step"


def _plain(value: object) -> object:
    """Return a syntax tree as lists: [kind, [field, value], …], without what is empty or cannot change a result."""
    if isinstance(value, ast.Raise):
        return ["Raise"]  # that it raises counts, not the sentence
    if isinstance(value, ast.JoinedStr):
        return ["JoinedStr", *_joined(value.values)]
    if isinstance(value, ast.AST):
        fields = {name: part for name, part in ast.iter_fields(value) if name not in SKIPPED}
        if isinstance(value, DEFINITIONS):
            fields["decorator_list"] = [each for each in value.decorator_list if not _is_step(each)]
            documented = ast.get_docstring(value, clean=False) is not None
            fields["body"] = value.body[1:] if documented else value.body
        kept = [[name, _plain(part)] for name, part in sorted(fields.items()) if part is not None and part != []]
        return [type(value).__name__, *kept]
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return repr(value)


def _joined(values: list[ast.expr]) -> list[object]:
    """Join the neighbouring constants of an f-string: versions cut them differently."""
    parts: list[object] = []
    for value in values:
        if isinstance(value, ast.Constant):
            if parts and isinstance(parts[-1], str):
                parts[-1] += value.value
            elif value.value:
                parts.append(value.value)
        else:
            parts.append(_plain(value))
    return parts


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


if __name__ == "__main__":
    print(json.dumps({name: step.code for name, step in steps(Path(sys.argv[1])).items()}))
