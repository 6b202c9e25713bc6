"""Products: what is sold, and for how much."""

from functools import partial

import streamlit as st

from contracts.calls import products as calls
from contracts.calls.schemas import ProductCreate, ProductRead
from dashboards import client, money, states, tables
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Products", icon="sell", group="Admin", position=14, roles=frozenset({"owner", "admin", "manager"}))


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    st.title("Products", anchor=False)
    with states.explained():
        products = client.ask_all(who, partial(calls.list_products, limit=100))
        if products:
            _table(products)
            _change(who, products)
        else:
            states.nothing_here("No product", "Make the first one below; deals then have lines of it.")
        _create(who, me)


def _table(products: list[ProductRead]) -> None:
    rows = [
        {
            "Product": one["name"],
            "Code": one["code"],
            "Price": money.amount(one["unit_price_minor"], one["currency"]),
            "Sold": "yes" if one["is_active"] else "no longer",
        }
        for one in products
    ]
    tables.show(rows, height="content", alt="All products")


def _change(who: SignIn, products: list[ProductRead]) -> None:
    by_id = {one["id"]: one for one in products}
    with st.popover("Change a product"):
        chosen = st.selectbox("Product", list(by_id), format_func=lambda key: by_id[key]["name"])
        product = by_id[chosen]
        as_read = f"{chosen} {product['version']}"
        is_late = states.is_overtaken(chosen, product["version"])
        name = st.text_input("Name", value=product["name"], key=f"name {as_read}")
        price = st.number_input(
            "Price in minor units", value=product["unit_price_minor"], step=1, key=f"price {as_read}"
        )
        is_active = st.checkbox("Is sold", value=product["is_active"], key=f"active {as_read}")
        if st.button("Save", key=f"save {chosen}"):
            call = calls.update_product(
                chosen,
                {"name": name, "unit_price_minor": price, "is_active": is_active},
                version=product["version"],
            )
            states.tried(lambda: client.ask(who, call), is_late=is_late)


def _create(who: SignIn, me: Me) -> None:
    with st.form("new product", clear_on_submit=True):
        name = st.text_input("A new product", max_chars=200)
        code = st.text_input("Code", max_chars=120)
        price = st.number_input("Price of one in minor units (cents)", value=None, step=1)
        currency = st.text_input("Currency", value=me.organization.currency, max_chars=3)
        is_sent = st.form_submit_button("Make it", icon=":material/add:")
    if is_sent:
        body: ProductCreate = {
            "name": name,
            "code": code.strip() or None,
            "unit_price_minor": price,
            "currency": currency.upper(),
        }
        states.tried(lambda: client.ask(who, calls.create_product(body)))
