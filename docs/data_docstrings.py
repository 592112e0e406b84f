"""Docstrings of public objects that are neither classes nor functions, such as registries.

Python has no docstring of such an object: it is the string below the assignment.
"""

from __future__ import annotations

import ast
import inspect
from importlib import import_module
from pathlib import Path


def docstring_below(module: str, name: str) -> str:
    """Return the string below the assignment of a name, in this module or one that it imports from.

    It is empty if there is none.
    """
    source = Path(str(import_module(module).__file__)).read_text(encoding="utf-8")
    body = ast.parse(source).body
    for statement, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(statement, ast.ImportFrom) and statement.module:
            if any((each.asname or each.name) == name for each in statement.names):
                return docstring_below(statement.module, name)
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            if name in map(ast.unparse, targets) and isinstance(following, ast.Expr):
                return inspect.cleandoc(str(ast.literal_eval(following.value)))
    return ""
