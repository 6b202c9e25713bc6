"""All events of Sluice, one module per group of aggregates; `registry` lists them, `envelope` wraps them."""
