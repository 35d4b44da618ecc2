"""What is known of an endpoint: how it is asked, how its replies are read, and what is to be expected of it."""
