"""MLPerf's scenarios, run by its own LoadGen in a process of their own."""
