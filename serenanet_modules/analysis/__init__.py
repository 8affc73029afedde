"""What the numbers mean: error rates, their intervals, whether two systems differ."""
