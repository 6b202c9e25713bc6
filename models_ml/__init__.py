"""Lead scoring: plain functions over frames. Knows nothing of where frames come from or scores go to.

`reading` and `columns` make typed columns of a file or a frame, `outcome` says what was won and lost, `suspicion` names
what must not be learned from, `training` chooses and calibrates a model by time, `card` says how good it is and whether
it may be used, `scoring` applies it and says why.
"""
