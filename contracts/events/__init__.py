"""All events of Sluice, one module per group of aggregates; `registry` finds them, `envelope` wraps them."""
