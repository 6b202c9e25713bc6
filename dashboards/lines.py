"""The lines of a deal on its page: what it sells, and a form that adds to it or takes from it."""

from collections.abc import Iterable, Sequence
from functools import partial

import streamlit as st

from contracts.calls import deals, products
from contracts.calls.schemas import LineItem, LineItemRead, LineItemsRead
from dashboards import client, money, record, states, tables
from dashboards.session import SignIn


def show(who: SignIn, deal_id: str) -> None:
    """Draw them."""
    found = client.ask(who, deals.read_line_items(deal_id))
    lines, currency = found["items"], found["currency"]
    with st.expander(f"Line items ({len(lines)})", expanded=bool(lines)):
        if lines:
            rows = [
                {
                    "What": line["name"],
                    "Quantity": line["quantity"],
                    "Price": money.amount(line["unit_price_minor"], currency),
                    "Discount": f"{line['discount_percent']} %",
                    "Total": money.amount(line["total_minor"], currency),
                }
                for line in lines
            ]
            tables.show(rows, height="content", alt="Line items")
            st.text(f"Together {money.amount(found['total_minor'], currency)}: the deal's amount")
            _take_out(who, deal_id, found, lines)
        _add(who, deal_id, found, lines)


def _add(who: SignIn, deal_id: str, found: LineItemsRead, lines: Sequence[LineItemRead]) -> None:
    sold = {one["id"]: one for one in client.ask_all(who, partial(products.list_products, is_active=True, limit=100))}
    with st.form(f"line {deal_id}", clear_on_submit=True):
        chosen = st.selectbox(
            "Product", [None, *sold], format_func=lambda key: sold[key]["name"] if key else "Something else"
        )
        name = st.text_input("Or what it is")
        quantity = st.text_input("Quantity", value="1")
        price = st.number_input("Price of one in minor units (empty: the product's)", value=None, step=1)
        discount = st.text_input("Discount in percent", value="0")
        is_sent = st.form_submit_button("Add line", icon=":material/add:")
    if is_sent:
        new: LineItem = {
            "product_id": chosen,
            "name": name.strip() or None,
            "quantity": quantity.replace(",", "."),
            "unit_price_minor": price,
            "discount_percent": discount.replace(",", "."),
        }
        _save(who, deal_id, found, [*_kept(lines), new])


def _take_out(who: SignIn, deal_id: str, found: LineItemsRead, lines: Sequence[LineItemRead]) -> None:
    names = {line["id"]: line["name"] for line in lines}
    with st.popover("Take a line out"):
        chosen = st.selectbox("Line", list(names), format_func=names.__getitem__, key=f"out {deal_id}")
        if st.button("Take it out", key=f"take {deal_id}"):
            _save(who, deal_id, found, _kept(one for one in lines if one["id"] != chosen))


def _kept(lines: Iterable[LineItemRead]) -> list[LineItem]:
    return [
        {
            "id": line["id"],
            "product_id": line["product_id"],
            "name": line["name"],
            "quantity": line["quantity"],
            "unit_price_minor": line["unit_price_minor"],
            "discount_percent": line["discount_percent"],
        }
        for line in lines
    ]


def _save(who: SignIn, deal_id: str, found: LineItemsRead, items: list[LineItem]) -> None:
    try:
        client.ask(who, deals.set_line_items(deal_id, {"items": items}, version=found["version"]))
    except client.StaleError:
        st.warning("Somebody changed this while you did. Here is what it is now; change it again.")
        return
    except (client.RefusedError, client.ConflictError) as error:
        states.refused(error)
        return
    record.forget(deals.read_deal(deal_id).path)
    st.rerun()
