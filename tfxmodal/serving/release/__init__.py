"""Moving versions of a served model into production and back."""
