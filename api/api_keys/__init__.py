"""Keys of programs: made by people, shown once, known afterwards by a digest.

A key acts for whoever made it, with their role of the moment, and never beyond its scopes. A service's key has a role
of its own, none above its maker's, and goes on when they leave.
"""
