"""One module per compression method; `steps` shared by all, `chain` that puts them in order, `checks` that they fit."""
