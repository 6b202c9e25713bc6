"""In which encoding a file is written: what its bytes prove, and otherwise what they allow.

Marks and valid UTF-8 are proof. Of single-byte encodings those count under which every word could be one; where they
read the file alike, it is settled. Where they differ, charset-normalizer decides over many words; few are refused.
"""

import codecs
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from charset_normalizer import from_bytes

from api.imports.problems import FileProblem

#: What a file may be said to be written in.
NAMES = (
    "utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1257",
    "iso-8859-1", "iso-8859-2", "iso-8859-5", "iso-8859-15", "koi8-r", "cp866", "mac-roman", "gb18030", "big5",
    "shift_jis", "euc-kr",
)  # fmt: skip

_BLOCK = 1 << 20
_ONE_IN_TWENTY = 20
_SAMPLE_LINES, _SAMPLE_BYTES = 2_000, 256 * 1024
#: Distinct words beyond ASCII from which on a reading is more than a throw of dice.
_ENOUGH_WORDS = 12
_SINGLE_BYTE = ("cp1252", "cp1251", "cp1250", "cp1254", "cp1253", "cp1257", "koi8-r", "cp866", "mac-roman")
#: Those that others are told from only by words that are unlikely.
_COMMON = ("cp1252", "cp1251", "cp1250")
_WORD = re.compile(r"[^\s,;|\t\"()\[\]/.:!?<>=+*&%0-9-]+")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_AROUND_WORDS = "'’‘“”„«»–—…•·€£¥©®™°ºª№¿¡`´_#@$§~^{}\\"


@dataclass(frozen=True)
class Encoding:
    """A codec's name; for a guess, why it is one."""

    name: str
    reason: str | None = None


def find_encoding(name: str, path: Path, *, asked: str) -> Encoding:
    """The encoding of a file.

    Raises:
        FileProblem: it is not in the one asked for; it is no text; or nothing shows which one it is in.
    """
    with path.open("rb") as stream:
        head = stream.read(_SAMPLE_BYTES)
    if asked != "auto":
        return _asked(name, path, asked)
    marked = next((codec for mark, codec in _MARKS if head.startswith(mark)), None) or _unmarked_utf16(head)
    if marked is not None:
        _insist(name, path, marked)
        return Encoding(marked)
    # a stray NUL is one row's problem
    if head.count(0) * _ONE_IN_TWENTY > len(head):
        raise FileProblem(name, "This is a binary file, not a text file.", "Save the data as CSV and try again.")
    if _is_valid(path, "utf-8"):
        return Encoding("utf-8-sig")
    return _of_high_bytes(name, path)


def _asked(name: str, path: Path, asked: str) -> Encoding:
    codec = "utf-8-sig" if asked == "utf-8" else asked
    if asked.startswith("utf-16") or asked == "utf-32":
        _insist(name, path, codec)
    return Encoding(codec)


def _insist(name: str, path: Path, codec: str) -> None:
    if not _is_valid(path, codec):
        said = codec.removesuffix("-sig")
        raise FileProblem(name, f"The file is not written in {said}.", "Leave the encoding out, or give another one.")


def _is_valid(path: Path, codec: str) -> bool:
    decoder = codecs.getincrementaldecoder(codec)()
    try:
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                decoder.decode(block)
            decoder.decode(b"", final=True)
    except UnicodeError:
        return False
    return True


def _unmarked_utf16(head: bytes) -> str | None:
    """UTF-16 shows without a mark too: of text in it every other byte is mostly zero."""
    half = len(head) // 2
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if half and odd * 2 > half and even * _ONE_IN_TWENTY < half:
        return "utf-16-le"
    return "utf-16-be" if half and even * 2 > half and odd * _ONE_IN_TWENTY < half else None


def _of_high_bytes(name: str, path: Path) -> Encoding:
    sample = b"".join(_telling_lines(path))
    readings = {codec: text for codec in _SINGLE_BYTE if (text := _decoded(sample, codec)) is not None}
    likely = {codec: text for codec, text in readings.items() if _is_likely(text)}
    first = next(iter(likely), None)
    if first in _COMMON and all(text == likely[first] for text in likely.values()):
        return Encoding(first)
    best = from_bytes(sample).best()
    candidates = likely or {}
    if best is not None and best.encoding.replace("_", "-") not in ("ascii", "utf-8"):
        candidates = {**candidates, best.encoding: str(best)}
    words = {word for text in candidates.values() for word in _words(text)}
    per_reading = len(words) // max(len(set(candidates.values())), 1)
    if best is None or per_reading < _ENOUGH_WORDS:
        raise FileProblem(name, f"It is not clear in which encoding the text is written: {_shown(candidates)}.", _SAY)
    chosen = best.encoding.replace("_", "-") if best.encoding.replace("_", "-") in NAMES else best.encoding
    reason = f"of {_shown(candidates)} it reads most like a language, over {per_reading} words"
    return Encoding(chosen, reason)


_SAY = f"Save it as CSV UTF-8, or give the encoding, one of {', '.join(NAMES)}."


def _shown(candidates: dict[str, str]) -> str:
    """Readings of one word side by side."""
    shown: dict[str, str] = {}
    for codec, text in candidates.items():
        word = next(iter(_words(text)), "")
        shown.setdefault(word[:30], codec)
    return ", ".join(f"{word!r} ({codec})" for word, codec in shown.items()) or "none of the usual ones fits"


def _telling_lines(path: Path) -> Iterator[bytes]:
    taken = size = 0
    with path.open("rb") as stream:
        while taken < _SAMPLE_LINES and size < _SAMPLE_BYTES and (line := stream.readline(_SAMPLE_BYTES)):
            if not line.isascii():
                taken, size = taken + 1, size + len(line)
                yield line


def _decoded(sample: bytes, codec: str) -> str | None:
    try:
        return sample.decode(codec)
    except UnicodeDecodeError:
        return None


def _words(text: str) -> dict[str, None]:
    return dict.fromkeys(word for word in _WORD.findall(text) if not word.isascii())


def _is_likely(text: str) -> bool:
    words = _words(text)
    good = sum(1 for word in words if _is_word(word))
    return good * 20 >= len(words) * 19


def _is_word(word: str) -> bool:
    """Whether it could stand in a text: letters of one script, capitals in front or throughout, few accents."""
    core = word.strip(_AROUND_WORDS + "\u00a0")
    if not core:
        return True
    if any(not (one.isalpha() or one in _AROUND_WORDS) or unicodedata.category(one) in ("Lo", "Lm") for one in core):
        return False
    letters = [one for one in core if one.isalpha()]
    scripts = {unicodedata.name(one, "?").split()[0] for one in letters}
    if len(scripts) > 1:
        return False
    joined = "".join(letters)
    has_odd_case = any(a.islower() and b.isupper() for a, b in pairwise(joined))
    if scripts == {"GREEK"} and not _is_greek(joined):
        return False
    beyond = sum(not one.isascii() for one in letters)
    is_overloaded = scripts == {"LATIN"} and len(letters) > 2 and beyond * 5 > len(letters) * 3
    return not has_odd_case and not is_overloaded


def _is_greek(letters: str) -> bool:
    """Greek has one accent in a word, and a final sigma at its end."""
    accents = sum("\u0301" in unicodedata.normalize("NFD", one) for one in letters)
    return accents <= 1 and "ς" not in letters[:-1]
