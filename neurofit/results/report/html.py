"""HTML whose text is escaped unless it is HTML already."""

from __future__ import annotations

import html
import json
import re
from typing import Any

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that are shown as escapes: terminals and browsers would act on them, or fail."""


class Html(str):
    """Text that is HTML already; every other text is escaped."""


def tag(_name: str, *content: str, **attributes: str | int | float | bool | None) -> Html:
    """Return an element.

    Parameters
    ----------
    *content
        Elements (`Html`), and text, which is escaped.
    **attributes
        Attributes; `class_` is class, `aria_label` is aria-label. True is an attribute without a
        value; None and False leave it out.
    """
    shown = []
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            shown.append(f" {key}")
        elif value is not None and value is not False:
            shown.append(f' {key}="{html.escape(visible(str(value)), quote=True)}"')
    start = f"<{_name}{''.join(shown)}>"
    return Html(start if _name in VOID else f"{start}{joined(*content)}</{_name}>")


VOID = ("input", "br", "meta")


def joined(*content: str) -> Html:
    """Return elements and escaped texts one after the other."""
    return Html(
        "".join(
            part if isinstance(part, Html) else html.escape(visible(part), quote=False)
            for part in content
        )
    )


def visible(text: str) -> str:
    r"""Return a text in which control characters are escapes, such as \x1b."""
    return CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def data(values: Any) -> Html:
    """Return values as a block of JSON, in which no text can end the block."""
    text = json.dumps(values, separators=(",", ":")).replace("<", "\\u003c")
    return Html(f'<script type="application/json">{text}</script>')
