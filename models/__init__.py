"""The zoo: model cards, the bundled family, pulled and added models."""
