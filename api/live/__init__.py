"""Live updates: what happens in an organization, told within a moment to whoever may see it.

The worker numbers committed events, per organization and without a gap: `numbering`. Each API process reads them for
the organizations that somebody listens to, `channels`, and asks before each push who may still be told of what,
`audience`. Told are ids and kinds; what a record says is read by the endpoint that reads it for everybody.
"""
