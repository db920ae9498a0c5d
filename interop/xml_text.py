"""Write XML 1.0 (fifth edition) from texts that may contain anything. It writes no entities but the predefined ones."""

from __future__ import annotations

import re

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What the production Char (section 2.2) leaves out: no escape can write it."""
_ESCAPES = str.maketrans(
    {
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
        '"': "&quot;",
        "\t": "&#9;",  # a reader takes white space in an attribute for spaces unless it is a reference
        "\n": "&#10;",
        "\r": "&#13;",
    }
)


def element(name: str, attributes: dict[str, str | None], *children: str) -> str:
    """One element. An attribute that is None is absent; `children` are XML already."""
    start = name + "".join(
        f' {key}="{text(value)}"' for key, value in attributes.items() if value is not None
    )
    return f"<{start}>{''.join(children)}</{name}>" if children else f"<{start}/>"


def text(value: str) -> str:
    """`value` as the content of an element or an attribute. What XML can't hold becomes U+FFFD."""
    return _NOT_XML.sub("\ufffd", value).translate(_ESCAPES)
