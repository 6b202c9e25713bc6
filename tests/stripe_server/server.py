"""Stripe's API over HTTP: forms in brackets, idempotency keys, errors in Stripe's shape, signed deliveries."""

import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

import stripe

from tests.stripe_server import direct, meters, one_off
from tests.stripe_server.account import Object, RefusedError, StripeAccount, pages

KEY = "sk_test_of_throw_away_servers"
_INDEX = re.compile(r"\[([^\]]*)\]")


@dataclass
class StripeServer:
    """A running server. `is_down` makes it answer 503; `answers` are those of success, `kept`
    all by their key."""

    port: int
    account: StripeAccount
    lock: threading.Lock = field(default_factory=threading.Lock)
    is_down: bool = False
    kept: dict[str, tuple[Object, int, Object]] = field(default_factory=dict)
    answers: list[tuple[str, str, Object]] = field(default_factory=list)
    #: Requests that got there, in order: verb, path, form.
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    #: The answer to the request of this number is lost on its way, though what was asked for is done.
    losing: int | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"


def delivery(event: Object, secret: str, *, at: int | None = None) -> tuple[bytes, dict[str, str]]:
    """The body and headers with which Stripe delivers an event."""
    body = json.dumps(event, indent=2)
    header = stripe.WebhookSignature.generate_signature_header(body, secret, at)
    return body.encode(), {"Stripe-Signature": header, "Content-Type": "application/json"}


class _Http(ThreadingHTTPServer):
    stripe: StripeServer

    def handle_error(self, request: Any, client_address: Any) -> None:  # as http.server has it
        """Say nothing of a client that was killed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:  # http.server's name
        self._answer(urlsplit(self.path).query)

    def do_POST(self) -> None:  # http.server's name
        self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode())

    do_DELETE = do_GET  # noqa: N815  # http.server's name

    def _answer(self, form: str) -> None:
        stripe = self.server.stripe
        with stripe.lock:
            status, body = self._decide(stripe, form)
            is_lost = len(stripe.requests) - 1 == stripe.losing
        if is_lost:
            self.close_connection = True
            return
        sent = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def _decide(self, stripe: StripeServer, form: str) -> tuple[int, Object]:
        path, key = urlsplit(self.path).path, self.headers.get("Idempotency-Key")
        fields = parsed(form)
        stripe.requests.append((self.command, path, form))
        if stripe.is_down:
            return 503, _error("api_error", "Down.")
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            return 401, _error("invalid_request_error", "Invalid API Key provided.")
        if key is not None and key in stripe.kept:
            asked, status, answered = stripe.kept[key]
            if asked != fields:
                return 400, _error("idempotency_error", "Keys can only be used with the same parameters.")
            return status, answered
        try:
            status, found = 200, _route(stripe.account, self.command, path, fields)
        except RefusedError as error:
            status, found = error.status, _error(error.kind, str(error), param=error.param, code=error.code)
        answered = json.loads(json.dumps(found))
        if status == 200:
            stripe.answers.append((self.command, path, answered))
        if key is not None and status in (200, 402):
            stripe.kept[key] = fields, status, answered
        return status, answered


@contextmanager
def stripe_server() -> Iterator[StripeServer]:
    """A server on a free port, with an empty account."""
    with _Http(("127.0.0.1", 0), _Handler) as http:
        http.stripe = StripeServer(http.server_address[1], StripeAccount())
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield http.stripe
        finally:
            http.shutdown()
            thread.join()


def parsed(form: str) -> Object:
    """A form in brackets as nested values: `items[0][quantity]=3` is `{"items": [{"quantity": "3"}]}`."""
    made: Object = {}
    for name, value in parse_qsl(form, keep_blank_values=True):
        place: Any = made
        steps = [name.partition("[")[0], *_INDEX.findall(name)]
        for step in steps[:-1]:
            place = place.setdefault(step, {})
        place[steps[-1] or str(len(place))] = value
    listed: Object = _listed(made)
    return listed


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _listed(one) for name, one in value.items()}
    return list(inner.values()) if inner and all(name.isdigit() for name in inner) else inner


def _error(kind: str, message: str, *, param: str | None = None, code: str | None = None) -> Object:
    return {"error": {"type": kind, "message": message, "param": param, "code": code}}


def _route(account: StripeAccount, method: str, path: str, fields: Object) -> Object:
    for verb, pattern, act in _Routes.ALL:
        found = re.fullmatch(pattern, path) if verb == method else None
        if found:
            return act(account, fields, *found.groups())
    raise RefusedError(f"Unrecognized request URL ({method}: {path}).", status=404)


def _list(account: StripeAccount, fields: Object, kind: str, path: str) -> Object:
    found = account.all(kind)
    if keys := fields.get("lookup_keys"):
        found = [one for one in found if one.get("lookup_key") in keys]
    if customer := fields.get("customer"):
        found = [one for one in found if one.get("customer") == customer]
    kept, has_more = pages(found, int(fields.get("limit", 10)), fields.get("starting_after"))
    return {"object": "list", "data": kept, "has_more": has_more, "url": path}


def _cards(account: StripeAccount, fields: Object, customer: str) -> Object:
    path = f"/v1/customers/{customer}/payment_methods"
    return _list(account, {**fields, "customer": customer}, "payment_method", path)


def _shown(invoice: Object) -> Object:
    """An invoice as Stripe shows it: with the first ten of its lines."""
    lines = invoice["lines"]
    return invoice | {"lines": lines | {"data": lines["data"][:10], "has_more": len(lines["data"]) > 10}}


def _lines(account: StripeAccount, fields: Object, invoice_id: str) -> Object:
    kept, has_more = pages(
        account.find(invoice_id, "invoice")["lines"]["data"], int(fields.get("limit", 10)), fields.get("starting_after")
    )
    if "data.pricing.price_details.price" in fields.get("expand", ()):
        kept = [_with_price(account, line) if line.get("pricing") else line for line in kept]
    return {"object": "list", "data": kept, "has_more": has_more, "url": f"/v1/invoices/{invoice_id}/lines"}


def _with_price(account: StripeAccount, line: Object) -> Object:
    details = line["pricing"]["price_details"]
    details = details | {"price": account.find(details["price"], "price")}
    return line | {"pricing": line["pricing"] | {"price_details": details}}


def _invoices(account: StripeAccount, fields: Object) -> Object:
    found = _list(account, fields, "invoice", "/v1/invoices")
    return found | {"data": [_shown(one) for one in found["data"]]}


def _tax_ids(account: StripeAccount, fields: Object, customer: str) -> Object:
    return _list(account, {**fields, "customer": customer}, "tax_id", f"/v1/customers/{customer}/tax_ids")


def _portal(account: StripeAccount, fields: Object) -> Object:
    made = account.make("bps", "billing_portal.session", configuration="bpc_1", customer=fields["customer"])
    made |= {"url": f"https://billing.stripe.test/{made['id']}", "return_url": fields["return_url"], "flow": None}
    return made | {"locale": None, "on_behalf_of": None}


_Act = Callable[..., Object]


class _Routes:
    ALL: ClassVar[list[tuple[str, str, _Act]]] = [
        ("POST", "/v1/customers", direct.make_customer),
        ("GET", "/v1/customers/([^/]+)", lambda account, _, one: account.find(one, "customer")),
        ("POST", "/v1/customers/([^/]+)", direct.update_customer),
        ("POST", "/v1/payment_methods/([^/]+)/attach", direct.attach),
        ("POST", "/v1/products", lambda account, fields: account.make_product(fields)),
        ("POST", "/v1/prices", lambda account, fields: account.make_price(fields)),
        ("GET", "/v1/prices", lambda account, fields: _list(account, fields, "price", "/v1/prices")),
        ("POST", "/v1/checkout/sessions", lambda account, fields: account.make_checkout(fields)),
        ("POST", "/v1/billing_portal/sessions", _portal),
        ("GET", "/v1/subscriptions", lambda account, f: _list(account, f, "subscription", "/v1/subscriptions")),
        ("POST", "/v1/subscriptions", direct.subscribe),
        ("GET", "/v1/subscriptions/([^/]+)", lambda account, _, one: account.find(one, "subscription")),
        ("POST", "/v1/subscriptions/([^/]+)", lambda account, fields, one: account.change(one, fields)),
        ("DELETE", "/v1/subscriptions/([^/]+)", lambda account, _, one: account.cancel(one)),
        ("POST", "/v1/billing/meters", meters.make_meter),
        ("GET", "/v1/billing/meters", lambda account, f: _list(account, f, "billing.meter", "/v1/billing/meters")),
        ("POST", "/v1/billing/meter_events", meters.report),
        ("GET", "/v1/billing/meters/([^/]+)/event_summaries", meters.sum_up),
        ("POST", "/v1/invoices/create_preview", lambda account, fields: account.preview(fields)),
        ("GET", "/v1/customers/([^/]+)/payment_methods", _cards),
        ("POST", "/v1/invoices", one_off.make_invoice),
        ("POST", "/v1/invoiceitems", one_off.make_item),
        ("POST", "/v1/invoices/([^/]+)/finalize", lambda account, fields, one: one_off.finalize(account, one, fields)),
        ("POST", "/v1/invoices/([^/]+)/pay", lambda account, fields, one: one_off.pay(account, one, fields)),
        ("POST", "/v1/invoices/([^/]+)/void", lambda account, fields, one: one_off.void(account, one, fields)),
        ("DELETE", "/v1/invoices/([^/]+)", lambda account, _, one: one_off.delete(account, one)),
        ("POST", "/v1/credit_notes", one_off.credit),
        ("GET", "/v1/invoices", _invoices),
        ("GET", "/v1/invoices/([^/]+)", lambda account, _, one: _shown(account.find(one, "invoice"))),
        ("GET", "/v1/invoices/([^/]+)/lines", _lines),
        ("GET", "/v1/customers/([^/]+)/tax_ids", _tax_ids),
        ("POST", "/v1/customers/([^/]+)/tax_ids", direct.add_tax_id),
        ("DELETE", "/v1/customers/[^/]+/tax_ids/([^/]+)", lambda account, _, one: direct.delete_tax_id(account, one)),
        ("GET", "/v1/events", lambda account, fields: _list(account, fields, "event", "/v1/events")),
    ]
