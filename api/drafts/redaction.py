"""People's names, addresses and numbers stay here: the model sees placeholders, and what it writes gets them back."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import phonenumbers

_EMAIL = re.compile(r"[\w.+'-]+@[\w-]+(?:\.[\w-]+)+")
_HANDLE = re.compile(r"(?<![\w@])@[A-Za-z]\w{3,}")
_SHORTEST_NAME = 3


@dataclass
class Redaction:
    """Who stands behind which placeholder. `names` are known people, `regions` those of their numbers (`DE`).

    With `is_on` false nothing is hidden.
    """

    names: Iterable[str] = ()
    regions: Collection[str] = ()
    is_on: bool = True
    _behind: dict[str, str] = field(default_factory=dict)
    _placeholders: dict[str, str] = field(default_factory=dict)

    def hide(self, value: Any) -> Any:  # noqa: ANN401 # JSON is what it is
        """The same JSON with placeholders in its texts."""
        if not self.is_on:
            return value
        if isinstance(value, str):
            return self._hide_text(value)
        if isinstance(value, Mapping):
            return {name: self.hide(one) for name, one in value.items()}
        return [self.hide(one) for one in value] if isinstance(value, list) else value

    def show(self, text: str) -> str:
        """A text with what stands behind its placeholders."""
        for placeholder, original in self._behind.items():
            text = text.replace(placeholder, original)
        return text

    def _hide_text(self, text: str) -> str:
        text = _EMAIL.sub(lambda found: self._placeholder("EMAIL", found.group()), text)
        for region in (None, *sorted(self.regions)):  # as they are written abroad, and at home
            for found in reversed(list(phonenumbers.PhoneNumberMatcher(text, region))):
                text = text[: found.start] + self._placeholder("PHONE", found.raw_string) + text[found.end :]
        text = _HANDLE.sub(lambda found: self._placeholder("HANDLE", found.group()), text)
        for name in sorted(self._parts(), key=len, reverse=True):
            text = re.sub(
                rf"(?<!\w){re.escape(name)}(?!\w)",
                lambda found: self._placeholder("NAME", found.group()),
                text,
                flags=re.IGNORECASE,
            )
        return text

    def _parts(self) -> set[str]:
        whole = {name.strip() for name in self.names if name}
        parts = {part for name in whole for part in name.split()}
        return {part for part in whole | parts if len(part) >= _SHORTEST_NAME}

    def _placeholder(self, kind: str, original: str) -> str:
        if original not in self._placeholders:
            placeholder = f"[{kind}_{len(self._placeholders) + 1}]"
            self._placeholders[original], self._behind[placeholder] = placeholder, original
        return self._placeholders[original]


def regions_of(phone: str | None) -> set[str]:
    """The region in which a number is, as `DE`; none where it is none."""
    try:
        region = phonenumbers.region_code_for_number(phonenumbers.parse(phone or "", None))
    except phonenumbers.NumberParseException:
        return set()
    return {region} if region else set()
