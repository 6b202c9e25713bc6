"""Faults on purpose: real processes that are killed, stopped and cut off while logged writers work, and a checker.

`proxy` spoils connections, `processes` starts and harms the spine, `operations` writes and logs, `checker` compares.
"""
