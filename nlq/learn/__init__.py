"""The learnt parser: proposes outcome, views, column roles and shape with probabilities; decides nothing.

    parser = Parser.load(catalogue)
    proposal = parser.propose("how many orders did T103 cancel today", history=(), role="officer")

`Parser.load(catalogue, without_author="cco")` takes the weights of the fold that never saw that author's questions:
every figure measured on the corpus must come from those. `propose` takes less than 60 ms on one CPU thread.
`Confidence.load().score(features)` turns an interpretation's features into the probability that it is right.
Role and shape names are in `nlq.learn.labels`.
"""
