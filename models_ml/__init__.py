"""Lead scoring: plain functions over frames. Knows nothing of where frames come from or scores go to."""
