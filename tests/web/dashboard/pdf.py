"""The words of a PDF that Chromium has made."""

from __future__ import annotations

import re
import zlib

_OBJECT = re.compile(rb"^(\d+) 0 obj\b(.*?)^endobj", re.DOTALL | re.MULTILINE)
_STREAM = re.compile(rb"stream\r?\n(.*?)\r?\nendstream", re.DOTALL)
_SHOWN = re.compile(rb"/F(\d+) [\d.]+ Tf|<([0-9A-Fa-f]+)>(?= Tj)|\[((?:<[0-9A-Fa-f]+>|[-\d. ])*)\] TJ")


def words_of(pdf: bytes) -> str:
    """All letters that are drawn, without blanks, in the order of drawing (ISO 32000-1, section 9.10)."""
    objects = {int(number): body for number, body in _OBJECT.findall(pdf)}
    fonts = {
        number: _letters(_stream(objects[int(found[1])]))
        for number, body in objects.items()
        if (found := re.search(rb"/ToUnicode (\d+) 0 R", body)) is not None
    }
    names = {int(name): int(number) for name, number in re.findall(rb"/F(\d+) (\d+) 0 R", pdf)}
    text: list[str] = []
    for body in objects.values():
        letters: dict[int, str] = {}
        for font, one, several in _SHOWN.findall(_stream(body)):
            if font:
                letters = fonts.get(names.get(int(font), -1), {})
            codes = one or b"".join(re.findall(rb"<([0-9A-Fa-f]+)>", several))
            text += [letters.get(int(codes[at : at + 4], 16), "") for at in range(0, len(codes), 4)]
    return re.sub(r"\s", "", "".join(text))


def pages_in(pdf: bytes) -> int:
    """How many pages it has."""
    return len(re.findall(rb"/Type /Page\b", pdf))


def _stream(body: bytes) -> bytes:
    found = _STREAM.search(body)
    if found is None:
        return b""
    return zlib.decompress(found[1]) if b"/FlateDecode" in body and b"/Image" not in body else found[1]


def _letters(cmap: bytes) -> dict[int, str]:
    """The letter of each code of a font."""
    found: dict[int, str] = {}
    for part in re.findall(rb"beginbfchar(.*?)endbfchar", cmap, re.DOTALL):
        for code, text in re.findall(rb"<(\w+)>\s*<(\w+)>", part):
            found[int(code, 16)] = bytes.fromhex(text.decode()).decode("utf-16-be")
    for part in re.findall(rb"beginbfrange(.*?)endbfrange", cmap, re.DOTALL):
        for first, last, text in re.findall(rb"<(\w+)>\s*<(\w+)>\s*<(\w+)>", part):
            for at in range(int(first, 16), int(last, 16) + 1):
                found[at] = chr(int(text, 16) + at - int(first, 16))
    return found
