"""The dashboards: Streamlit pages over the API, read with the signed-in person's own token.

`client.py` is the only door to the outside; `views/` draws one page a file; `charts.py`, `money.py` and `periods.py`
are pure. No SQL, no warehouse, no counting: every figure on a page is a figure the API answered.
"""
