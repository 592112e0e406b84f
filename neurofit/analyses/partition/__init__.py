"""Variance partitioning: what one source of features explains that another does not."""
