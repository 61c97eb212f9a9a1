"""The cookbook: each example served and asked as its own docstring says, and at its edges."""
