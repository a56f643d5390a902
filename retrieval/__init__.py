"""What the views mean: documents made from the catalogue, found by meaning and by words; the models that do it."""
