"""Saved views: a filter, a sort and columns of a list, one's own or shared with a team or with everybody."""
