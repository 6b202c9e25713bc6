"""Names for the signatures of this slice's endpoints: the parts of the app, and from where somebody signs in."""

from typing import Annotated

from fastapi import Depends, Request

from api.edge.addresses import address_of
from api.edge.services import Services, services_of
from api.identity.sign_in import Client

_LONGEST_AGENT = 300


async def _services(request: Request) -> Services:
    return services_of(request)


async def _client(request: Request) -> Client:
    agent = request.headers.get("User-Agent")
    shown = "".join(letter for letter in agent[:_LONGEST_AGENT] if letter.isprintable()) if agent else None
    return Client(request.state.correlation_id, address_of(request), shown)


#: The parts that requests share.
TheServices = Annotated[Services, Depends(_services)]
#: From where somebody signs in.
TheClient = Annotated[Client, Depends(_client)]
