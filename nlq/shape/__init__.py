"""The shape of an answer: list or figure, cut by what, ranked how, and which comparisons hold before or after counting."""
