"""Uploaded files of imports that name somebody: they go whole, as their rows are in the database long since."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

_BLOCK = 1 << 20


def remove_mentioning(files_path: Path, organization_id: UUID, mentions: Sequence[str]) -> int:
    """Remove the folders of an organization's imports in which a file mentions one of these; says how many."""
    wanted = [form for one in mentions for form in _forms(one)]
    folders = [folder for folder in (files_path / str(organization_id)).glob("*") if folder.is_dir()]
    found = [folder for folder in folders if any(_holds(path, wanted) for path in folder.rglob("*") if path.is_file())]
    for folder in found:
        shutil.rmtree(folder, ignore_errors=True)
    return len(found)


def _forms(text: str) -> set[bytes]:
    """A text as files may hold it."""
    encodings = ("utf-8", "cp1252", "cp1251", "utf-16-le", "utf-16-be")
    return {one.encode(encoding, "ignore") for encoding in encodings for one in (text, text.lower())} - {b""}


def _holds(path: Path, wanted: Sequence[bytes]) -> bool:
    longest = max((len(one) for one in wanted), default=0)
    kept = b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            block = kept + block
            if any(one in block for one in wanted):
                return True
            kept = block[-longest:]
    return False
