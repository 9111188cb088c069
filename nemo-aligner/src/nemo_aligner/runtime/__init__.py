"""Where roles run: in this process, or as Ray actors; how weights and rollouts travel between them."""
