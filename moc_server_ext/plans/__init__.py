"""Plans: map-reduce over the lines of a buffer, from the plan to its output."""
