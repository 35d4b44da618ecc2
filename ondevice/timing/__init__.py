"""What is known of a time: its distribution, learned from samples and forgotten with age, and the saved record."""
