"""Database URLs: settings carry plain `postgresql://`, SQLAlchemy wants to hear of its driver."""

from sqlalchemy import URL, make_url


def sqlalchemy_url(url: str) -> URL:
    """`url` with psycopg 3 as the driver; serves synchronous and asynchronous engines."""
    return make_url(url).set(drivername="postgresql+psycopg")
