"""Products: what is sold, and for how much. A product that is sold no more is no longer active; lines keep it."""
