"""Pipelines and their stages. A stage is known by its id and kind; its name, place and target may change at any time.

Every change of a stage is an event with its full state, so that a report of a past day shows the stages of that day.
"""
