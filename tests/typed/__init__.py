"""Scripts as users write them, for the type checkers alone: nothing here is run."""
