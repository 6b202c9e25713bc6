"""What people write, as others are shown it: nothing in a name changes how the line around it is read."""

import re

#: Embeddings, overrides and isolates: they hold until they are ended, in whatever stands after them too. Marks of one
#: place (U+200E, U+200F), which Arabic and Hebrew are written with, turn nothing else.
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")


def unturned(text: str) -> str:
    """The text without the characters that turn the direction of what follows: `\\u202etxt.exe` reads as it is."""
    return _TURNING.sub("", text)
