"""Which instants facts can have, the same for everybody: what lies outside is a slip of the pen."""

#: Years of the Gregorian calendar, both included.
FIRST_YEAR, LAST_YEAR = 1900, 2199
