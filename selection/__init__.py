"""The brain: budgets, and every selection policy as a pure vectorised function."""
