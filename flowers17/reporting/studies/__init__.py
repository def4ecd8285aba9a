"""Studies of a store beside each other: compared, in order of time, as sweeps."""
