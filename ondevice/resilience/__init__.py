"""State machines that keep trouble from spreading, as when a failing server may be asked again; on a given clock."""
