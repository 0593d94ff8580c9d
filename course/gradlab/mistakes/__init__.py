"""Known misconceptions: one module a lab, each a list of wrong implementations with the belief behind them."""
