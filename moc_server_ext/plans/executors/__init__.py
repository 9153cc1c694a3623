"""Where the tasks of a plan run."""
