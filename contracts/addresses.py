"""E-mail addresses: the one spelling by which they are compared, wherever they come from."""

from unicodedata import normalize


def spelled(email: str) -> str:
    """The one spelling of an address: nobody tells two people apart by capitals, nor by how a letter is composed."""
    # casefold makes capitals of a few letters, and both may take a text out of its normal form
    return normalize("NFKC", normalize("NFKC", email.strip()).casefold().lower())
