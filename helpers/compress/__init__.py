"""One module per compression method, and `chain`, which puts them in order."""
