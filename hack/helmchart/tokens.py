"""Template expressions inside of objects: put in as words, written as YAML, and then replaced.

Every expression begins at `$`, the root, so that it means the same inside of a `range`.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

Object = dict[str, Any]

_VALUE = re.compile(r"XvalueX([0-9a-f]+)X")
_WHOLE = re.compile(r"(?<=[:-] )XvalueX([0-9a-f]+)X$", re.MULTILINE)
_BLOCK = re.compile(r"^( *)(.*: )XblockX([0-9a-f]+)X$", re.MULTILINE)
_MORE = re.compile(r"^( *)(?:- )?XmoreX([0-9a-f]+)X(?:: null)?$", re.MULTILINE)
_LINE = re.compile(r"^ *(?:- )?XlineX([0-9a-f]+)X(?:: null)?$", re.MULTILINE)
_BARE = re.compile(r"XbareX([0-9a-f]+)X")


def value(expression: str) -> str:
    """A text that depends on the release; alone it is quoted, inside of a longer one it is not."""
    return _token("value", expression)


def bare(expression: str) -> str:
    """A number or a truth from the values."""
    return _token("bare", expression)


def block(expression: str) -> str:
    """A mapping or a list from the values, as the value of a key."""
    return _token("block", expression)


def more(expression: str) -> str:
    """An item or a key that stands for all those in the values, if there are any."""
    return _token("more", expression)


def when(condition: str, items: list[Any]) -> list[Any]:
    """Items of a list that are there under a condition."""
    return [_token("line", f"if {condition}"), *items, _token("line", "end")]


def either(condition: str, item: str, otherwise: str) -> list[Any]:
    """One of two items of a list."""
    begin, middle, end = (_token("line", word) for word in (f"if {condition}", "else", "end"))
    return [begin, item, middle, otherwise, end]


def fields_when(condition: str, fields: Object) -> Object:
    """Fields that are there under a condition. They can't be the first of an item of a list."""
    mark = next(iter(fields))
    begin, end = _token("line", f"if {condition}"), _token("line", f"end {{{{/* {mark} */}}}}")
    return {begin: None, **fields, end: None}


def optional(**fields: str) -> Object:
    """Fields that are there if their value is not empty."""
    found: Object = {}
    for name, expression in fields.items():
        found |= fields_when(expression, {name: block(expression)})
    return found


def to_yaml(document: Object) -> str:
    """The object as YAML with template expressions."""
    text = yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=10**6, allow_unicode=True)
    text = text.replace("{{", '{{ "{{" }}')  # what Prometheus, not Helm, is to replace
    text = _LINE.sub(lambda found: _line(_expression(found[1])), text)
    text = _BLOCK.sub(lambda found: _nested(found[1] + found[2].rstrip(), len(found[1]) + 2,
                                            f"toYaml ({_expression(found[3])})"), text)  # fmt: skip
    text = _MORE.sub(lambda found: _items(len(found[1]), _expression(found[2])), text)
    text = _WHOLE.sub(lambda found: f"{{{{ {_expression(found[1])} | quote }}}}", text)
    for pattern in (_VALUE, _BARE):
        text = pattern.sub(lambda found: f"{{{{ {_expression(found[1])} }}}}", text)
    return text


class _Dumper(yaml.SafeDumper):
    """YAML in the order that was given, with lists indented and without aliases."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002
        return True


def _token(kind: str, expression: str) -> str:
    return f"X{kind}X{expression.encode().hex()}X"


def _expression(digits: str) -> str:
    return bytes.fromhex(digits).decode()


def _line(statement: str) -> str:
    word = statement.partition(" {{/*")[0]
    return f"{{{{- {word} }}}}"


def _nested(before: str, indent: int, expression: str) -> str:
    return f"{before}\n{' ' * indent}{{{{- {expression} | nindent {indent} }}}}"


def _items(indent: int, expression: str) -> str:
    return f"{{{{- with {expression} }}}}\n{{{{- toYaml . | nindent {indent} }}}}\n{{{{- end }}}}"
