"""Units of board time, in nanoseconds."""

NS = 1
US = 1_000
MS = 1_000_000
S = 1_000_000_000
