"""Rules that act by themselves: what sets one off, on which condition, what it then does.

`document` is what a person writes, `conditions` its expressions, `facts` what they look at, `matching` decides which
rules fire: pure, the same for the worker and the backtest. `firing` lets a rule act, `worker` brings both together.
"""
